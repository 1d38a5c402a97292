//! Connections that leave HTTP: who may ask for it, and what gets the connection afterwards.
//!
//! Invariants: a [`Tunnel`] runs only after the 101 has been sent, on the connection that asked for it, and owns that
//! connection until both of its sides have ended; only a request whose [`Switch`] is [`Switch::Offered`] may be
//! answered with one. Deliberately absent: what is spoken afterwards (SPDY, WebSocket).
//! Upstream: apimachinery `pkg/util/httpstream`, `pkg/util/proxy/upgradeaware.go`.

use crate::api::Request;
use futures::future::BoxFuture;
use http::{HeaderMap, header};
use proa_meta::{ApiError, ApiResult};
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};

/// Whether a request may be answered by leaving HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// HTTP/1.1, and the client asks for it.
    Offered,
    /// HTTP/1.1, but the client does not ask.
    NotAsked,
    /// Whatever carries the request cannot: HTTP/2, HTTP/1.0, a client in the process.
    Impossible,
}

/// A connection that has left HTTP.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// What gets the connection once the 101 is sent.
pub struct Tunnel(Box<dyn FnOnce(Box<dyn Connection>) -> BoxFuture<'static, ()> + Send>);

impl Tunnel {
    /// `run` owns the connection until it returns.
    pub fn new<F, R>(run: F) -> Self
    where
        F: FnOnce(Box<dyn Connection>) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(|connection| Box::pin(run(connection))))
    }
    /// Hands over the connection. Dropping the future ends the tunnel.
    pub async fn run(self, connection: Box<dyn Connection>) {
        (self.0)(connection).await;
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}

/// Whether `Connection` names an upgrade.
pub fn is_asked(headers: &HeaderMap) -> bool {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    connection.into_iter().any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

impl Request {
    /// # Errors
    /// 400 with upstream's text when the request cannot be answered by leaving HTTP.
    pub fn require_upgrade(&self) -> ApiResult<()> {
        const REQUIRED: &str = "Upgrade request required";
        match self.switch {
            Switch::Offered => Ok(()),
            Switch::NotAsked => Err(ApiError::bad_request(REQUIRED)),
            Switch::Impossible => Err(ApiError::bad_request(format!(
                "{REQUIRED}: this connection cannot switch protocols, use a new HTTP/1.1 connection"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_asked_for_by_the_connection_header() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "websocket".parse().unwrap());
        assert!(!is_asked(&headers));
        headers.append("connection", "keep-alive".parse().unwrap());
        headers.append("connection", "TE, Upgrade".parse().unwrap());
        assert!(is_asked(&headers));
    }
}
