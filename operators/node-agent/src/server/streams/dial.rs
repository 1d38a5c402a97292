//! Connects to the runtime's streaming server.

use super::Upgraded;
use crate::server::reply::Refusal;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::TaskTracker;

/// How long the runtime may take to answer. It is on this machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of a refusal that are passed on.
const LARGEST_REFUSAL: usize = 64 << 10;

/// What came of it.
pub(super) enum Dialed {
    /// The connection speaks SPDY now; these were the answer's headers.
    Switched(Upgraded, HeaderMap),
    /// The runtime said no.
    Refused(Refusal),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The runtime named no address.
    #[error("{0:?} is no URL of a streaming server")]
    Url(String),
    /// It cannot be connected to.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// It does not speak HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// It says nothing.
    #[error("no answer within {PATIENCE:?}")]
    Silent,
}

/// Asks for what is at `url`, with `protocols` on offer.
pub(super) async fn dial(url: &str, protocols: HeaderMap, tasks: &TaskTracker) -> Result<Dialed, DialError> {
    match timeout(PATIENCE, ask(url, protocols, tasks)).await {
        Ok(response) => switched(response?).await,
        Err(_) => Err(DialError::Silent),
    }
}

async fn ask(url: &str, protocols: HeaderMap, tasks: &TaskTracker) -> Result<Response<Incoming>, DialError> {
    let (authority, request) = request(url, protocols).ok_or_else(|| DialError::Url(url.to_owned()))?;
    let stream =
        TcpStream::connect(&authority).await.map_err(|e| DialError::Connect(authority.clone(), e))?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends when the connection has switched, or when its answer was read.
    tasks.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "the connection to the container runtime's streaming server broke");
        }
    });
    Ok(sender.send_request(request).await?)
}

fn request(url: &str, protocols: HeaderMap) -> Option<(String, Request<Empty<Bytes>>)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(80));
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::POST;
    *request.headers_mut() = protocols;
    let fixed = [
        (header::HOST, HeaderValue::from_str(authority.as_str()).ok()?),
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("SPDY/3.1")),
        (header::CONTENT_LENGTH, HeaderValue::from_static("0")),
    ];
    request.headers_mut().extend(fixed);
    *request.uri_mut() = uri.path_and_query()?.as_str().parse().ok()?;
    Some((format!("{host}:{port}"), request))
}

async fn switched(response: Response<Incoming>) -> Result<Dialed, DialError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Dialed::Refused(refusal(response).await));
    }
    let headers = response.headers().clone();
    let runtime = hyper::upgrade::on(response).await?;
    Ok(Dialed::Switched(TokioIo::new(runtime), headers))
}

async fn refusal(response: Response<Incoming>) -> Refusal {
    // An answer that is no switch must not look like success.
    let status = Some(response.status()).filter(|s| !s.is_success()).unwrap_or(StatusCode::BAD_GATEWAY);
    let body = Limited::new(response.into_body(), LARGEST_REFUSAL).collect().await;
    let text = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
    Refusal::new(status, text)
}
