//! Connections to whatever requests are passed on to: TCP, TLS where asked for, HTTP/1.1.
//!
//! Each request has a connection of its own, driven by a task on the relay's runtime that ends with the answer's body or
//! when the answer is dropped. Error texts follow Go's, which clients show to people.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use proa_server::upgrade::Connection;
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, runtime::Handle, task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;

/// How long a host may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// How long nothing may come before the other side is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where a request goes.
#[derive(Clone)]
pub(crate) struct Target {
    /// How to speak TLS; none: it is not spoken.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Address or name.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whose certificate is expected; none: the host's.
    pub(crate) name: Option<String>,
}

impl Target {
    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
    /// The whole URL of a path.
    pub(crate) fn url(&self, path_and_query: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path_and_query}", self.authority())
    }
}

/// `host:port`, with brackets around IPv6 addresses.
pub(crate) fn authority(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("dial tcp {address}: {}", go_text(.source))]
    Connect { address: String, source: io::Error },
    #[error("tls: {0}")]
    Tls(String),
    #[error("{0}")]
    Http(#[source] hyper::Error),
    #[error("the server is stopping")]
    Stopping,
}

/// An error of the operating system in Go's words.
fn go_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

/// Why there is no agreement on TLS, in Go's words where it has such.
fn tls_text(error: &io::Error) -> String {
    use rustls::{CertificateError, Error};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        // Another authority of the same name signs differently.
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        }
        Some(Error::InvalidCertificate(why)) => format!("failed to verify certificate: x509: {why}"),
        _ => error.to_string(),
    }
}

/// An answer, and the task that brings it.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) driver: Driver,
}

/// Ends the task when it is dropped.
pub(crate) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes connections.
pub(crate) struct Dialer {
    runtime: Handle,
}

/// The near end of a connection that speaks HTTP.
pub(crate) type Sender = http1::SendRequest<Full<Bytes>>;

impl Dialer {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { runtime }
    }

    /// Runs a task where connections are driven.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(task)
    }

    /// Sends a request on a new connection.
    pub(crate) async fn send(
        &self,
        target: Target,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, DialError> {
        let (mut sender, driver) = self.open(target).await?;
        let response = sender.send_request(request).await.map_err(DialError::Http)?;
        Ok(Answer { response, driver })
    }

    /// A connection that speaks HTTP. Sockets belong to the runtime that drives them, so they are made there.
    pub(crate) async fn open(&self, target: Target) -> Result<(Sender, Driver), DialError> {
        let (opened, open) = tokio::sync::oneshot::channel();
        let task = self.runtime.spawn(async move {
            let connected = async {
                http1::handshake(TokioIo::new(connect(&target).await?)).await.map_err(DialError::Http)
            };
            match connected.await {
                Err(error) => drop(opened.send(Err(error))),
                Ok((sender, connection)) => {
                    drop(opened.send(Ok(sender)));
                    if let Err(error) = connection.with_upgrades().await {
                        tracing::debug!(%error, "connection of the relay lost");
                    }
                }
            }
        });
        let driver = Driver(task);
        let sender = open.await.map_err(|_| DialError::Stopping)??;
        Ok((sender, driver))
    }
}

async fn connect(target: &Target) -> Result<Box<dyn Connection>, DialError> {
    let failed = |source| DialError::Connect { address: target.authority(), source };
    let socket = timeout(CONNECT, TcpStream::connect((target.host.as_str(), target.port))).await;
    let socket = socket.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE)).map_err(failed)?;
    let Some(config) = &target.tls else { return Ok(Box::new(socket)) };
    let name = target.name.as_ref().unwrap_or(&target.host);
    let name = ServerName::try_from(name.clone()).map_err(|e| DialError::Tls(e.to_string()))?;
    let agreed = timeout(HANDSHAKE, TlsConnector::from(Arc::clone(config)).connect(name, socket)).await;
    let agreed = agreed.map_err(|_| DialError::Tls("handshake timeout".to_owned()))?;
    Ok(Box::new(agreed.map_err(|e| DialError::Tls(tls_text(&e)))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_in_urls() {
        let target = Target { tls: None, host: "fd00::1".to_owned(), port: 80, name: None };
        assert_eq!(target.url("/a?b"), "http://[fd00::1]:80/a?b");
        assert_eq!(authority("n1", 1), "n1:1");
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_in_gos_words() {
        // A port that was free a moment ago.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let target = Target { tls: None, host: "127.0.0.1".to_owned(), port, name: None };
        let error = connect(&target).await.err().unwrap();
        assert_eq!(error.to_string(), format!("dial tcp 127.0.0.1:{port}: connect: connection refused"));
    }
}
