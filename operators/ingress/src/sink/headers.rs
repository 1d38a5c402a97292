//! Headers on their way to a backend and back.
//!
//! What a client says about who it is does not count: `X-Forwarded-*` and `X-Real-IP` are what this server sees. Headers
//! about one connection go no further (RFC 9110, section 7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE},
};
use std::net::{IpAddr, SocketAddr};

/// How a client reached this server, and how backends are told.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The client.
    pub(crate) client: IpAddr,
    /// Whether by TLS.
    pub(crate) is_tls: bool,
    client_text: HeaderValue,
    port_text: HeaderValue,
    scheme: HeaderValue,
}

impl Arrival {
    /// From a client, at a port.
    pub(crate) fn new(client: SocketAddr, is_tls: bool, port: u16) -> Self {
        let client = client.ip().to_canonical();
        let text = HeaderValue::from_str(&client.to_string());
        Self {
            client,
            is_tls,
            client_text: text.expect("addresses are written in visible letters of ASCII"),
            port_text: port.into(),
            scheme: HeaderValue::from_static(if is_tls { "https" } else { "http" }),
        }
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");
/// How many headers a request gains at most.
const ADDED: usize = 10;
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const ONE_HOP: [HeaderName; 6] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE];

/// Another protocol that the client asks for, such as `websocket`.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = has_token(headers, &CONNECTION, "upgrade");
    // HTTP inside of a tunnel would pass all routes and their rules by.
    let is_http = has_token(headers, &UPGRADE, "h2c");
    headers.get(UPGRADE).filter(|_| asks && !is_http).cloned()
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// Takes out what is about one connection.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Most heads have nothing of it, and a walk over all names costs less than a look at each.
    if !headers.keys().any(|name| ONE_HOP.contains(name)) {
        return;
    }
    let named: Vec<HeaderName> = connection_options(headers).filter_map(|name| name.parse().ok()).collect();
    named.iter().filter(|name| **name != TE).for_each(|name| drop(headers.remove(name)));
    // A length beside an encoding is not to be trusted (RFC 9112, section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in &ONE_HOP {
        headers.remove(name);
    }
}

/// The headers that `Connection` names, but for its usual words, which are taken out anyway or name none.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.filter(|name| {
        !["keep-alive", "close", "upgrade"].iter().any(|usual| usual.eq_ignore_ascii_case(name))
    })
}

/// Makes a client's headers those for a backend.
pub(crate) fn forward(
    headers: &mut HeaderMap,
    host: &HeaderValue,
    arrival: &Arrival,
    upgrade: Option<HeaderValue>,
) {
    headers.reserve(ADDED);
    let takes_trailers = has_token(headers, &TE, "trailers");
    strip(headers);
    headers.remove(TE);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    join_cookies(headers);
    // Programs behind gateways like CGI cannot tell `x_forwarded_for` from the real one.
    let is_forged =
        |name: &&HeaderName| name.as_str().contains('_') || name.as_str().starts_with("x-forwarded-");
    let forged: Vec<HeaderName> = headers.keys().filter(is_forged).cloned().collect();
    forged.iter().for_each(|name| drop(headers.remove(name)));
    for (name, value) in [
        (X_REAL_IP, &arrival.client_text),
        (X_FORWARDED_FOR, &arrival.client_text),
        (X_FORWARDED_HOST, host),
        (X_FORWARDED_PORT, &arrival.port_text),
        (X_FORWARDED_PROTO, &arrival.scheme),
        (X_FORWARDED_SCHEME, &arrival.scheme),
        (X_SCHEME, &arrival.scheme),
    ] {
        headers.insert(name, value.clone());
    }
    // What these named in place of the above; backends that trust them must not be told by clients.
    headers.remove("forwarded");
    headers.remove("http2-settings");
}

/// HTTP/2 may send cookies one by one, HTTP/1.1 may not (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(COOKIE).into_iter();
    if all.next().is_none() || all.next().is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_passed_on_but_http_is_not() {
        let asked = |protocol: &'static str| {
            let headers = [("connection", "Upgrade"), ("upgrade", protocol)];
            let named = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
            upgrade(&headers.into_iter().map(named).collect())
        };
        assert_eq!(asked("websocket"), Some(HeaderValue::from_static("websocket")));
        assert_eq!(asked("h2c"), None);
    }

    #[test]
    fn clients_cannot_say_who_they_are() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=1.2.3.4"),
            ("x_forwarded_for", "1.2.3.4"),
            ("x-forwarded-user", "root"),
            ("connection", "close, x-secret"),
            ("x-secret", "1"),
            ("te", "trailers, gzip"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("cookie", "a=1"),
            ("accept", "*/*"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        headers.append("cookie", "b=2".parse().unwrap());
        let arrival = Arrival::new(([192, 0, 2, 7], 999).into(), false, 80);
        forward(&mut headers, &HeaderValue::from_static("a.example"), &arrival, None);
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "accept: */*",
                "cookie: a=1; b=2",
                "te: trailers",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: a.example",
                "x-forwarded-port: 80",
                "x-forwarded-proto: http",
                "x-forwarded-scheme: http",
                "x-real-ip: 192.0.2.7",
                "x-scheme: http",
            ]
        );
    }

    #[test]
    fn other_protocols_are_asked_for_by_both_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "websocket".parse().unwrap());
        assert_eq!(upgrade(&headers), None);
        headers.insert("connection", "keep-alive, Upgrade".parse().unwrap());
        assert_eq!(upgrade(&headers), Some("websocket".parse().unwrap()));
    }
}
