//! GET requests of probes and hooks: one connection each, redirects only to the same host, certificates not checked.
//!
//! Messages are those of Go's client, which upstream's events show. Upstream: `pkg/probe/http/{http,request}.go`.

mod tls;

use super::{
    action::{Outcome, authority},
    tcp,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

/// What of a body is read.
const MOST_BODY: usize = 10 << 10;
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 10;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Get {
    /// Over TLS.
    pub(crate) is_tls: bool,
    /// Host to connect to.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) path: String,
    /// Headers; a name may come more than once.
    pub(crate) headers: Vec<(String, String)>,
    /// `User-Agent`, unless the headers have one.
    pub(crate) user_agent: String,
}

/// An answer: its status and the beginning of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status.
    pub(crate) status: StatusCode,
    /// Beginning of the body.
    pub(crate) body: String,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[error("Get \"{url}\": {why}")]
pub(crate) struct GetError {
    url: String,
    why: String,
    /// The server does not speak TLS.
    pub(crate) is_plain_http: bool,
}

/// Why one step failed.
struct Fault {
    why: String,
    is_plain_http: bool,
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self { why, is_plain_http: false }
    }
}

pub(super) async fn probe(get: Get, within: Duration) -> Outcome {
    let answer = match timeout(within, send(&get)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Outcome::Failure(error.to_string()),
        Err(_) => {
            return Outcome::Failure(format!(
                "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                get.url()
            ));
        }
    };
    match answer.status.as_u16() {
        200..=299 => Outcome::Success,
        300..=399 => Outcome::Warning(format!("Probe terminated redirects, Response body: {}", answer.body)),
        // The body stays out: it may hold secrets, and events are read by many.
        status => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

/// Sends a request and follows redirects to the same host. Waits for as long as the server takes.
///
/// # Errors
/// No connection, no HTTP, or too many redirects.
pub(crate) async fn send(get: &Get) -> Result<Answer, GetError> {
    let mut url = get.url();
    let mut host_header = get.host_header();
    for _ in 0..=MOST_REDIRECTS {
        let failed =
            |fault: Fault| GetError { url: url.clone(), why: fault.why, is_plain_http: fault.is_plain_http };
        let uri: Uri = url.parse().map_err(|error| failed(Fault::from(format!("{error}"))))?;
        let response = exchange(get, &uri, host_header.as_deref()).await.map_err(failed)?;
        let Some((next, is_relative)) = redirect(&response, &uri, &get.host) else {
            return answer(response).await.map_err(|why| failed(Fault::from(why)));
        };
        if !is_relative {
            host_header = None;
        }
        url = next;
    }
    Err(GetError { url, why: format!("stopped after {MOST_REDIRECTS} redirects"), is_plain_http: false })
}

impl Get {
    /// The whole address.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{}{slash}{}", authority(&self.host, self.port), self.path)
    }

    fn host_header(&self) -> Option<String> {
        let mut named = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        named.next().map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    fn request(&self, uri: &Uri, host_header: Option<&str>) -> Result<Request<Empty<Bytes>>, String> {
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::get(path).body(Empty::new()).map_err(|error| error.to_string())?;
        let headers = request.headers_mut();
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            let name: HeaderName =
                name.parse().map_err(|_| format!("net/http: invalid header field name {name:?}"))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("net/http: invalid header field value for {:?}", name.as_str()))?;
            headers.append(name, value);
        }
        let host =
            host_header.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        headers.insert(header::HOST, value(host)?);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.entry(header::USER_AGENT).or_insert(value(&self.user_agent)?);
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(request)
    }
}

async fn exchange(get: &Get, uri: &Uri, host_header: Option<&str>) -> Result<Response<Incoming>, Fault> {
    let request = get.request(uri, host_header)?;
    let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| tcp::refused(&authority(host, port), &error))?;
    if is_tls { talk(tls::connect(stream, host).await?, request).await } else { talk(stream, request).await }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Fault> {
    let failed = |error: hyper::Error| Fault::from(words(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with the sender or the response's body, whichever lives longer.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(failed)
}

fn words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() }
}

/// Where a response sends the client, if that is the same host, and whether it says so without a host.
fn redirect(response: &Response<Incoming>, from: &Uri, host: &str) -> Option<(String, bool)> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok().filter(|text| !text.is_empty())?;
    let is_absolute = location.contains("://") || location.starts_with("//");
    let next = resolve(from, location);
    let uri: Uri = next.parse().ok()?;
    let to = uri.host()?.trim_matches(['[', ']']);
    to.eq_ignore_ascii_case(host).then_some((next, !is_absolute))
}

/// A location relative to where it was found.
fn resolve(from: &Uri, location: &str) -> String {
    let scheme = from.scheme_str().unwrap_or("http");
    let authority = from.authority().map_or("", http::uri::Authority::as_str);
    let location = location.split('#').next().unwrap_or(location);
    if location.starts_with("//") {
        return format!("{scheme}:{location}");
    }
    if location.contains("://") {
        return location.to_owned();
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}");
    }
    let directory = from.path().rsplit_once('/').map_or("", |(directory, _)| directory);
    format!("{scheme}://{authority}{directory}/{location}")
}

async fn answer(response: Response<Incoming>) -> Result<Answer, String> {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while bytes.len() < MOST_BODY {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame.map_err(|error| words(&error))?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes.truncate(MOST_BODY);
    Ok(Answer { status: head.status, body: String::from_utf8_lossy(&bytes).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_where_they_were_found() {
        let from: Uri = "http://10.0.0.1:8080/a/b?q".parse().unwrap();
        let to = |location| resolve(&from, location);
        assert_eq!(to("/x"), "http://10.0.0.1:8080/x");
        assert_eq!(to("x?y#z"), "http://10.0.0.1:8080/a/x?y");
        assert_eq!(to("//h/x"), "http://h/x");
        assert_eq!(to("https://h/x"), "https://h/x");
    }
}
