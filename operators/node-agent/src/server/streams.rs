//! Streams between clients and containers: exec, attach, port-forward.
//!
//! The runtime speaks SPDY. A client that does too is spliced onto it, byte for byte; one that speaks WebSocket has its
//! channels translated, or its tunnel unwrapped. Invariant: the runtime is asked before the client is told that the
//! connection switches, so that a refusal still is an HTTP answer.
//! Upstream: `pkg/kubelet/server/server.go` (getExec, getAttach, getPortForward), `k8s.io/streaming`.

mod channels;
mod dial;
mod port_forward;
mod remote_command;
pub(super) mod spdy;
mod splice;
mod upgrade;

use super::{
    PodLookup, State,
    containers::runtime_failed,
    query,
    reply::{self, Answer, Refusal},
    route::Path,
};
use channels::{Codec, PORT_FORWARD, REMOTE_COMMAND, TUNNEL};
use dial::Dialed;
use http::HeaderMap;
use hyper::{Request, body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use proa_runtime_shim::{Runtime, Streams};
use std::{future::Future, sync::Arc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};
use upgrade::{Upgrade, WebSocketRequest};

/// What the runtime speaks for commands.
const COMMAND_PROTOCOL: &str = "v4.channel.k8s.io";
/// What it speaks for ports.
const PORT_PROTOCOL: &str = "portforward.k8s.io";
/// Largest message of a client.
const LARGEST_MESSAGE: usize = 16 << 20;

/// A connection that was HTTP and is now a client's.
type Upgraded = TokioIo<hyper::upgrade::Upgraded>;
/// The same, speaking WebSocket.
type Socket = WebSocketStream<Upgraded>;

impl<R: Runtime, P: PodLookup> State<R, P> {
    /// Runs a command with streams.
    pub(super) async fn exec(self: &Arc<Self>, path: &Path<'_>, request: Request<Incoming>) -> Answer {
        let command = query(&request).into_iter().filter(|(name, _)| name == "command");
        let command = command.map(|(_, value)| value).collect();
        self.command(path, request, Some(command)).await
    }

    /// Joins a container's first process.
    pub(super) async fn attach(self: &Arc<Self>, path: &Path<'_>, request: Request<Incoming>) -> Answer {
        self.command(path, request, None).await
    }

    async fn command(
        self: &Arc<Self>,
        path: &Path<'_>,
        request: Request<Incoming>,
        command: Option<Vec<String>>,
    ) -> Answer {
        let streams = wanted_streams(&query(&request))
            .ok_or_else(|| Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"))?;
        let container = self.running_container(path)?;
        let upgrade = Upgrade::of(request.headers(), &REMOTE_COMMAND)?;
        let url = match command {
            Some(command) => self.runtime.exec_url(&container, &command, streams).await,
            None => self.runtime.attach_url(&container, streams).await,
        };
        let url = url.map_err(runtime_failed)?;
        match upgrade {
            Upgrade::Spdy => self.spliced(&url, request).await,
            Upgrade::WebSocket(socket) => {
                let codec = Codec::of(&socket.protocol);
                self.translated(&url, COMMAND_PROTOCOL, request, socket, move |socket, runtime| {
                    remote_command::translate(socket, codec, runtime, streams)
                })
                .await
            }
        }
    }

    /// Forwards ports.
    pub(super) async fn port_forward(
        self: &Arc<Self>,
        path: &Path<'_>,
        request: Request<Incoming>,
    ) -> Answer {
        let entry = self.find_pod(path).ok_or_else(|| Refusal::not_found("pod does not exist"))?;
        let not_there = || format!("pod not found ({:?})", format!("{}_{}", path.pod, path.namespace));
        let sandbox = entry.sandbox.ok_or_else(|| Refusal::internal(not_there()))?;
        let upgrade = Upgrade::of(request.headers(), &PORT_FORWARD)?;
        let ports = match port_forward::wanted_ports(&query(&request)) {
            // Only the old protocol names its ports up front.
            Err(why) if upgrade.is_channels() => return Err(Refusal::bad_request(why)),
            ports => ports.unwrap_or_default(),
        };
        let url = self.runtime.port_forward_url(&sandbox).await.map_err(runtime_failed)?;
        match upgrade {
            Upgrade::Spdy => self.spliced(&url, request).await,
            Upgrade::WebSocket(socket) if socket.protocol == TUNNEL => {
                self.translated(&url, PORT_PROTOCOL, request, socket, port_forward::tunnel).await
            }
            Upgrade::WebSocket(socket) => {
                let codec = Codec::of(&socket.protocol);
                self.translated(&url, PORT_PROTOCOL, request, socket, move |socket, runtime| {
                    port_forward::translate(socket, codec, runtime, ports)
                })
                .await
            }
        }
    }

    /// Puts a client that speaks SPDY through to the runtime.
    async fn spliced(self: &Arc<Self>, url: &str, mut request: Request<Incoming>) -> Answer {
        let protocols = upgrade::stream_protocols(request.headers());
        let (runtime, headers) = self.dial(url, protocols).await?;
        let client = hyper::upgrade::on(&mut request);
        self.attend(client, |client| splice::splice(client, runtime));
        Ok(reply::switching(upgrade::spdy_headers(&headers)))
    }

    /// Puts a client that speaks WebSocket through to the runtime, by way of `translate`.
    async fn translated<F: Future<Output = ()> + Send>(
        self: &Arc<Self>,
        url: &str,
        protocol: &'static str,
        mut request: Request<Incoming>,
        socket: WebSocketRequest,
        translate: impl FnOnce(Socket, Upgraded) -> F + Send + 'static,
    ) -> Answer {
        let (runtime, _) = self.dial(url, upgrade::one_stream_protocol(protocol)).await?;
        let client = hyper::upgrade::on(&mut request);
        self.attend(client, |client| async move {
            let limits = WebSocketConfig::default()
                .max_message_size(Some(LARGEST_MESSAGE))
                .max_frame_size(Some(LARGEST_MESSAGE));
            let socket = WebSocketStream::from_raw_socket(client, Role::Server, Some(limits)).await;
            translate(socket, runtime).await;
        });
        Ok(reply::switching(socket.answer()))
    }

    async fn dial(&self, url: &str, protocols: HeaderMap) -> Result<(Upgraded, HeaderMap), Refusal> {
        match dial::dial(url, protocols, &self.tasks).await {
            Ok(Dialed::Switched(runtime, headers)) => Ok((runtime, headers)),
            Ok(Dialed::Refused(refusal)) => Err(refusal),
            Err(error) => {
                let text = format!("the container runtime's streaming server cannot be reached: {error}");
                Err(Refusal::internal(text))
            }
        }
    }

    /// Works on a connection once it has switched, until shutdown.
    fn attend<F: Future<Output = ()> + Send>(
        self: &Arc<Self>,
        client: OnUpgrade,
        work: impl FnOnce(Upgraded) -> F + Send + 'static,
    ) {
        let stopped = self.shutdown.clone().cancelled_owned();
        self.tasks.spawn(async move {
            let work = async move {
                match client.await {
                    Ok(client) => work(TokioIo::new(client)).await,
                    Err(error) => tracing::debug!(%error, "a client went before its connection switched"),
                }
            };
            tokio::select! { () = work => {} () = stopped => {} }
        });
    }
}

/// The streams that a query asks for. A terminal has no standard error of its own.
fn wanted_streams(query: &[(String, String)]) -> Option<Streams> {
    let is_set = |name: &str| query.iter().any(|(n, value)| n == name && value == "1");
    let tty = is_set("tty");
    let streams =
        Streams { stdin: is_set("input"), stdout: is_set("output"), stderr: is_set("error") && !tty, tty };
    (streams.stdin || streams.stdout || streams.stderr).then_some(streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_standard_error() {
        let wanted = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            wanted_streams(&pairs)
        };
        let all = wanted(&[("input", "1"), ("output", "1"), ("error", "1"), ("tty", "1")]);
        assert_eq!(all, Some(Streams { stdin: true, stdout: true, stderr: false, tty: true }));
        assert_eq!(wanted(&[("error", "1"), ("tty", "1")]), None);
        assert_eq!(wanted(&[("input", "true")]), None);
    }
}
