//! Which protocol a client asks to switch to, and how that is agreed to. Pure.

use crate::server::reply::Refusal;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Names the protocol spoken on streams, in SPDY's requests and answers.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SPDY: HeaderValue = HeaderValue::from_static("SPDY/3.1");

/// What a client asks to switch to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// SPDY/3.1.
    Spdy,
    /// WebSocket.
    WebSocket(WebSocketRequest),
}

/// A request for a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WebSocketRequest {
    accept: String,
    /// The first protocol of the client's that is spoken here; empty when it named none.
    pub(super) protocol: String,
}

impl Upgrade {
    /// Reads a request's headers. `spoken` are the WebSocket protocols that the path speaks.
    pub(super) fn of(headers: &HeaderMap, spoken: &[&str]) -> Result<Self, Refusal> {
        let wants = |name: &str| has_token(headers, &header::UPGRADE, name);
        if !has_token(headers, &header::CONNECTION, "upgrade") {
            return Err(Refusal::bad_request("Upgrade request required"));
        }
        if wants("SPDY/3.1") {
            return Ok(Self::Spdy);
        }
        if !wants("websocket") {
            return Err(Refusal::bad_request("unable to upgrade: SPDY/3.1 and websocket are spoken"));
        }
        WebSocketRequest::of(headers, spoken).map(Self::WebSocket).map_err(Refusal::bad_request)
    }

    /// Whether its data travels on numbered channels.
    pub(super) fn is_channels(&self) -> bool {
        matches!(self, Self::WebSocket(socket) if socket.protocol != super::TUNNEL)
    }
}

impl WebSocketRequest {
    fn of(headers: &HeaderMap, spoken: &[&str]) -> Result<Self, &'static str> {
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
            return Err("websocket: version 13 is spoken");
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("websocket: Sec-WebSocket-Key is missing")?;
        let offered: Vec<_> = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect();
        let protocol = match offered.iter().find(|offer| spoken.contains(offer)) {
            Some(protocol) => (*protocol).to_owned(),
            None if offered.is_empty() => String::new(),
            None => return Err("websocket: none of the offered protocols is spoken"),
        };
        Ok(Self { accept: derive_accept_key(key.as_bytes()), protocol })
    }

    /// Headers of the answer that agrees.
    pub(super) fn answer(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(header::UPGRADE, HeaderValue::from_static("websocket"))];
        let named =
            [(header::SEC_WEBSOCKET_ACCEPT, &self.accept), (header::SEC_WEBSOCKET_PROTOCOL, &self.protocol)];
        for (name, value) in named {
            if let Some(value) = HeaderValue::from_str(value).ok().filter(|v| !v.is_empty()) {
                headers.push((name, value));
            }
        }
        headers
    }
}

/// Headers of the answer that agrees to SPDY, with the stream protocol that the runtime chose.
pub(super) fn spdy_headers(runtime: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let chosen = runtime.get_all(&STREAM_PROTOCOL).iter().map(|v| (STREAM_PROTOCOL, v.clone()));
    std::iter::once((header::UPGRADE, SPDY)).chain(chosen).collect()
}

/// The stream protocols that a client offers, as headers of the request to the runtime.
pub(super) fn stream_protocols(headers: &HeaderMap) -> HeaderMap {
    headers.get_all(&STREAM_PROTOCOL).iter().map(|v| (STREAM_PROTOCOL, v.clone())).collect()
}

/// One stream protocol, as headers of the request to the runtime.
pub(super) fn one_stream_protocol(protocol: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(STREAM_PROTOCOL, HeaderValue::from_static(protocol))])
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|t| t.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_clients_first_known_protocol_is_agreed_to() {
        let request = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "v9.channel.k8s.io, v5.channel.k8s.io"),
            ("sec-websocket-protocol", "v4.channel.k8s.io"),
        ]);
        let spoken = ["v4.channel.k8s.io", "v5.channel.k8s.io"];
        let Ok(Upgrade::WebSocket(socket)) = Upgrade::of(&request, &spoken) else { panic!() };
        let answer: HeaderMap = socket.answer().into_iter().collect();
        assert_eq!(answer["sec-websocket-protocol"], "v5.channel.k8s.io");
        // The example of the protocol's own text.
        assert_eq!(answer["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(Upgrade::of(&request, &["other"]).is_err());
    }

    #[test]
    fn spdy_is_agreed_to_with_the_runtimes_choice() {
        let request = headers(&[("connection", "upgrade"), ("upgrade", "spdy/3.1")]);
        assert_eq!(Upgrade::of(&request, &[]).unwrap(), Upgrade::Spdy);
        let runtime = headers(&[("x-stream-protocol-version", "v4.channel.k8s.io"), ("date", "now")]);
        let answer: HeaderMap = spdy_headers(&runtime).into_iter().collect();
        assert_eq!(
            answer,
            headers(&[("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4.channel.k8s.io")])
        );
    }

    #[test]
    fn without_an_upgrade_nothing_is_streamed() {
        assert!(Upgrade::of(&HeaderMap::new(), &[]).is_err());
        assert!(Upgrade::of(&headers(&[("connection", "upgrade"), ("upgrade", "h2c")]), &[]).is_err());
    }
}
