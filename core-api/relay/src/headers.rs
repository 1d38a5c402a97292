//! Which headers go on and which come back.
//!
//! Pure. Upstream: Go's `net/http/httputil/reverseproxy.go`, apimachinery `pkg/util/proxy/upgradeaware.go`.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// What one hop says to the next, besides what `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers of the client that the other side may see: no credentials, nothing about the framing of the body.
pub(crate) fn forwarded(from: &HeaderMap, client: Option<IpAddr>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 2);
    for (name, value) in from.iter().filter(|(name, _)| !is_credential(name)) {
        headers.append(name, value.clone());
    }
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    if let Some(client) = client {
        append_client(&mut headers, client);
    }
    headers
}

/// What proves or claims who the client is.
fn is_credential(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "authorization"
        || ["impersonate-", "x-remote-"].into_iter().any(|prefix| name.starts_with(prefix))
}

fn append_client(headers: &mut HeaderMap, client: IpAddr) {
    let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let mut all: Vec<&str> = before.collect();
    let client = client.to_string();
    all.push(&client);
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// The path under which the client sees what it asks for.
pub(crate) fn set_forwarded_uri(headers: &mut HeaderMap, uri: &str) {
    if let Ok(value) = HeaderValue::from_str(uri) {
        headers.insert(FORWARDED_URI, value);
    }
}

/// Takes out what concerns the connection only.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect();
    for name in HOP_BY_HOP.into_iter().chain(named.iter().map(String::as_str)) {
        headers.remove(name);
    }
}

/// Takes out what allows other sites to read answers: that is the API server's to say.
pub(crate) fn remove_cors(headers: &mut HeaderMap) {
    let cors = [
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
    ];
    for name in cors {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn credentials_stay_and_the_client_is_named() {
        let from = headers(&[
            ("authorization", "Bearer secret"),
            ("impersonate-user", "root"),
            ("x-remote-group", "system:masters"),
            ("x-forwarded-for", "10.0.0.9"),
            ("content-length", "3"),
            ("accept", "*/*"),
            ("cookie", "a=b"),
        ]);
        let to = forwarded(&from, Some(IpAddr::from([127, 0, 0, 1])));
        let want =
            headers(&[("x-forwarded-for", "10.0.0.9, 127.0.0.1"), ("accept", "*/*"), ("cookie", "a=b")]);
        assert_eq!(to, want);
    }

    #[test]
    fn what_concerns_the_connection_only_is_removed() {
        let mut all = headers(&[
            ("connection", "keep-alive, x-once"),
            ("x-once", "1"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("x-kept", "1"),
        ]);
        remove_hop_by_hop(&mut all);
        assert_eq!(all, headers(&[("x-kept", "1")]));
    }
}
