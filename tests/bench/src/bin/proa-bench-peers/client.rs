//! The load generator's side of a connection: HTTP/2 over TLS, JSON both ways, one connection per client.
//!
//! As small as it can be, for what it costs is taken from the servers' cores.

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, client::SendRequest};
use http::{Method, Request, header};
use kube::{
    client::ConfigExt as _,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Windows as Go's client has them.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    content_type: &'static str,
    body: Bytes,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into(), "application/json", String::new())
    }
    pub(crate) fn post(path: impl Into<String>, body: String) -> Self {
        Self::new(Method::POST, path.into(), "application/json", body)
    }
    pub(crate) fn put(path: impl Into<String>, body: String) -> Self {
        Self::new(Method::PUT, path.into(), "application/json", body)
    }
    /// A merge patch.
    pub(crate) fn merge(path: impl Into<String>, body: String) -> Self {
        Self::new(Method::PATCH, path.into(), "application/merge-patch+json", body)
    }
    fn new(method: Method, path: String, content_type: &'static str, body: String) -> Self {
        Self { method, path, content_type, body: body.into() }
    }
}

/// Where a server is and how to be its administrator.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: String,
    /// Whom requests are for.
    host: String,
    name: ServerName<'static>,
    tls: TlsConnector,
    authorization: Option<String>,
}

impl Endpoint {
    /// Reads where and how from a kubeconfig; `token` is sent with each request.
    pub(crate) async fn read(kubeconfig: &Path, token: Option<&str>) -> Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let host = config.cluster_url.host().context("a server with a host")?.to_owned();
        let port = config.cluster_url.port_u16().context("a server with a port")?;
        let mut tls = config.rustls_client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address: format!("{host}:{port}"),
            host: format!("{host}:{port}"),
            name: ServerName::try_from(host)?,
            tls: TlsConnector::from(Arc::new(tls)),
            authorization: token.map(|t| format!("Bearer {t}")),
        })
    }
    /// A server that takes HTTP/2 from anybody.
    pub(crate) fn new(address: SocketAddr, name: ServerName<'static>, tls: ClientConfig) -> Self {
        let tls = TlsConnector::from(Arc::new(tls));
        Self {
            host: name.to_str().into_owned(),
            address: address.to_string(),
            name,
            tls,
            authorization: None,
        }
    }
    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        timeout(PATIENCE, self.handshake()).await.context("the server does not take a connection")?
    }
    async fn handshake(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), tcp).await?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake::<_, Bytes>(stream)
            .await?;
        // How it ended is what the requests on it are told.
        let driver = tokio::spawn(async move { drop(connection.await) });
        let base = format!("https://{}", self.host);
        Ok(Connection { send, base, authorization: self.authorization.clone(), driver })
    }
    /// `count` connections.
    pub(crate) async fn connections(&self, count: usize) -> Result<Vec<Connection>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(self.connect().await?);
        }
        Ok(all)
    }
}

/// One client. The connection is closed when it is dropped.
pub(crate) struct Connection {
    send: SendRequest<Bytes>,
    base: String,
    authorization: Option<String>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Whether one of the sides ended it.
    pub(crate) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }
    /// Sends it, reads the whole answer and forgets it.
    ///
    /// # Errors
    /// Also when the answer is no success.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<()> {
        timeout(PATIENCE, self.exchange(call)).await.context("no answer in time")?
    }
    /// Sends it until it succeeds: for what becomes possible when something else has happened.
    ///
    /// # Errors
    /// The last answer, when it was no success within `within`.
    pub(crate) async fn insist(&mut self, call: &Call, within: Duration) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(5);
        let begun = tokio::time::Instant::now();
        loop {
            match self.send(call).await {
                Err(_) if begun.elapsed() < within => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }
    /// Opens a watch.
    pub(crate) async fn watch(&mut self, path: &str) -> Result<Lines> {
        let body = timeout(PATIENCE, self.open(&Call::get(path))).await.context("no answer in time")??;
        Ok(Lines { body, buffer: BytesMut::new() })
    }
    async fn exchange(&mut self, call: &Call) -> Result<()> {
        let mut body = self.open(call).await?;
        while let Some(chunk) = body.data().await {
            body.flow_control().release_capacity(chunk?.len())?;
        }
        Ok(())
    }
    async fn open(&mut self, call: &Call) -> Result<RecvStream> {
        let mut request = Request::builder()
            .method(&call.method)
            .uri(format!("{}{}", self.base, call.path))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "proa-bench");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, call.content_type);
        }
        let mut send = self.send.clone().ready().await?;
        let (answer, mut stream) = send.send_request(request.body(())?, call.body.is_empty())?;
        if !call.body.is_empty() {
            stream.send_data(call.body.clone(), true)?;
        }
        let (head, body) = answer.await?.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let reason = beginning(body).await;
        bail!("{} {}: {} {reason}", call.method, call.path, head.status)
    }
}

/// The first chunk of a failure's body: enough to see its reason.
async fn beginning(mut body: RecvStream) -> String {
    const MOST: usize = 300;
    let chunk = body.data().await.and_then(Result::ok).unwrap_or_default();
    String::from_utf8_lossy(&chunk[..chunk.len().min(MOST)]).into_owned()
}

/// Lines of a watch, one event each.
pub(crate) struct Lines {
    body: RecvStream,
    buffer: BytesMut,
}

impl Lines {
    /// The next event.
    ///
    /// # Errors
    /// When the server ends the watch, too.
    pub(crate) async fn next(&mut self) -> Result<BytesMut> {
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[searched..]) {
                return Ok(self.buffer.split_to(searched + end + 1));
            }
            searched = self.buffer.len();
            let chunk = self.body.data().await.context("the server ended the watch")??;
            self.body.flow_control().release_capacity(chunk.len())?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}
