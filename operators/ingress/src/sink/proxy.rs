//! One request: found in the table, checked, sent to an endpoint, answered.
//!
//! Flow: path and host are normalized, the route is found, redirects and refusals are answered here; then a canary or the
//! route's own service is chosen, an endpoint of it, and the request is sent. While nothing of a request was sent another
//! endpoint is tried, at most [`TRIES`] in all; what was sent on a connection that was kept and broke is sent again only if the
//! method allows it and there is no body.
//! Answers: 400 for a path or host that makes no sense, 403 for clients that may not come in, 404 where no route is, 413
//! for a body that is too large, 502 when endpoints cannot be reached or break off, 503 when there are none, 504 when they
//! are silent.

use super::{
    Published,
    body::{Answer, Download, Progress, Upload},
    endpoint::{Endpoint, Held},
    headers::{self, Arrival},
    path, reply,
    table::Table,
    tunnel::{Bounds, tunnel},
    upstream::{Upstream, cookie, is_for_canary, name},
};
use crate::render::{
    options::{Affinity, Options},
    routes::{Found, Route},
};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery,
};
use http_body::Body as _;
use http_body_util::Empty;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::time::Instant;

/// Endpoints that one request may be tried on.
const TRIES: usize = 3;
/// What certificate authorities ask for by plain HTTP.
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Proxy {
    published: Published,
    /// Where HTTPS is served.
    https_port: u16,
    lots: AtomicU64,
}

/// Where a request goes and how.
struct Sending {
    upstream: Arc<Upstream>,
    options: Arc<Options>,
    /// The endpoint that the client's cookie names.
    sticky: Option<Arc<Endpoint>>,
}

impl Proxy {
    pub(crate) fn new(published: Published, https_port: u16) -> Self {
        Self { published, https_port, lots: AtomicU64::new(0) }
    }

    /// Answers a request.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
        arrival: &Arrival,
        bounds: &Arc<Bounds>,
    ) -> Response<Answer> {
        let answered = self.answer(request, arrival, bounds).await;
        answered.unwrap_or_else(|refusal| *refusal)
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        arrival: &Arrival,
        bounds: &Arc<Bounds>,
    ) -> Result<Response<Answer>, Box<Response<Answer>>> {
        let bad = || refused(StatusCode::BAD_REQUEST);
        let host = host(&request).ok_or_else(bad)?;
        let wanted = path::normal(request.uri().path()).ok_or_else(bad)?.into_owned();
        let is_free = request.method() != Method::CONNECT;
        let (sending, uri) = {
            let table = self.published.load();
            let found = table.routes.find(bare(&host), &wanted).filter(|_| is_free);
            let found = found.ok_or_else(|| refused(StatusCode::NOT_FOUND))?;
            self.check(&found, &request, &host, &wanted, arrival)?;
            let new = found.rewritten(&wanted).map(|new| path::written(&new, request.uri().query()));
            let new = new.map(PathAndQuery::try_from).transpose().map_err(|_| bad())?;
            (self.choose(&table, found.route, request.headers())?, new)
        };
        let uri = uri.unwrap_or_else(|| origin(request.uri()));
        let upgrade = headers::upgrade(request.headers())
            .filter(|_| request.version() == Version::HTTP_11 && !sending.options.protocol.is_h2());
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let host = HeaderValue::from_str(&host).map_err(|_| bad())?;
        let request = sending.prepare(request, uri, &host, upgrade, arrival)?;
        let (response, held) = sending.send(request, bounds.place.worker()).await?;
        Ok(sending.finish(response, held, client.map(|client| (client, bounds)), arrival))
    }

    /// What is answered without a backend.
    fn check(
        &self,
        found: &Found<'_>,
        request: &Request<Incoming>,
        host: &str,
        path: &str,
        arrival: &Arrival,
    ) -> Result<(), Box<Response<Answer>>> {
        let options = &found.route.options;
        let wants_tls = options.force_ssl_redirect || options.ssl_redirect && found.has_tls;
        if wants_tls && !arrival.is_tls && !path.starts_with(CHALLENGE) {
            let port = if self.https_port == 443 { String::new() } else { format!(":{}", self.https_port) };
            let (host, target) = (bare(host), origin(request.uri()));
            return Err(Box::new(reply::redirect(&format!("https://{host}{port}{target}"))));
        }
        if options.is_closed {
            return Err(refused(StatusCode::SERVICE_UNAVAILABLE));
        }
        if !options.admits(arrival.client) {
            return Err(refused(StatusCode::FORBIDDEN));
        }
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match (length, options.body_limit) {
            (Some(length), Some(limit)) if length > limit => Err(refused(StatusCode::PAYLOAD_TOO_LARGE)),
            _ => Ok(()),
        }
    }

    /// The endpoints for a request: those of the canary or of the route itself. A cookie keeps clients where they are.
    fn choose(
        &self,
        table: &Table,
        route: &Route,
        headers: &HeaderMap,
    ) -> Result<Sending, Box<Response<Answer>>> {
        let unavailable = || refused(StatusCode::SERVICE_UNAVAILABLE);
        let own = table.upstream(route.target.as_ref().ok_or_else(unavailable)?);
        // A canary without endpoints is none.
        let some = |target| table.upstream(target).filter(|upstream| !upstream.is_empty());
        let canary = route.canary.as_ref().and_then(|canary| Some((canary, some(&canary.target)?)));
        let affinity = route.options.affinity.as_ref();
        let said = affinity.and_then(|affinity| cookie(headers, &affinity.cookie));
        let named = |upstream: Option<&Arc<Upstream>>| upstream.and_then(|own| own.named(said?)).cloned();
        let own_named = named(own);
        let canary_named = named(canary.map(|(_, upstream)| upstream));
        let to_canary = match (&own_named, &canary_named) {
            (Some(_), _) => None,
            (None, Some(_)) => canary,
            (None, None) => canary.filter(|(canary, _)| is_for_canary(&canary.share, headers, &self.lots)),
        };
        let upstream = to_canary.map(|(_, upstream)| upstream).or(own).ok_or_else(unavailable)?.clone();
        Ok(Sending { upstream, options: route.options.clone(), sticky: own_named.or(canary_named) })
    }
}

impl Sending {
    /// The request as a backend gets it.
    fn prepare(
        &self,
        request: Request<Incoming>,
        uri: PathAndQuery,
        host: &HeaderValue,
        upgrade: Option<HeaderValue>,
        arrival: &Arrival,
    ) -> Result<Request<Upload>, Box<Response<Answer>>> {
        let bad = |_| refused(StatusCode::BAD_REQUEST);
        let (mut parts, incoming) = request.into_parts();
        headers::forward(&mut parts.headers, host, arrival, upgrade);
        if self.options.protocol.is_h2() {
            let scheme = if self.options.protocol.is_tls() { "https" } else { "http" };
            let builder = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(uri);
            parts.uri = builder.build().map_err(bad)?;
            parts.version = Version::HTTP_2;
            parts.headers.remove(header::HOST);
        } else {
            parts.uri = uri.into();
            parts.version = Version::HTTP_11;
            parts.headers.insert(header::HOST, host.clone());
        }
        parts.extensions.clear();
        let body = Upload::new(incoming, self.options.body_limit);
        // Else hyper sends none with methods that seldom have one.
        if !self.options.protocol.is_h2() && body.size_hint().exact().is_none() {
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ok(Request::from_parts(parts, body))
    }

    async fn send(
        &self,
        mut request: Request<Upload>,
        worker: usize,
    ) -> Result<(Response<Incoming>, Held), Box<Response<Answer>>> {
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut fresh = false;
        let mut failure = StatusCode::SERVICE_UNAVAILABLE;
        let progress = request.body().progress();
        while tried.len() < TRIES {
            let sticky = self.sticky.as_ref().filter(|own| !tried.contains(&own.address));
            let Some(endpoint) = sticky.or_else(|| self.upstream.choose(&tried)) else { break };
            let held =
                endpoint.hold(worker, self.options.protocol, self.options.connect_timeout, fresh).await;
            let mut held = match held {
                Ok(held) => held,
                Err(error) => {
                    tracing::debug!(%error, endpoint = %endpoint.address, "backend cannot be reached");
                    failure = unreachable(&error);
                    tried.push(endpoint.address);
                    continue;
                }
            };
            let copy = copy(&request, &held);
            let sent = in_time(held.send(request), progress.as_deref(), self.options.read_timeout).await;
            let mut error = match sent {
                Some(Ok(response)) => return Ok((response, held)),
                Some(Err(error)) => error,
                None => return Err(refused(StatusCode::GATEWAY_TIMEOUT)),
            };
            if progress.as_ref().is_some_and(|progress| progress.is_too_large()) {
                return Err(refused(StatusCode::PAYLOAD_TOO_LARGE));
            }
            failure = StatusCode::BAD_GATEWAY;
            match error.take_message().or(copy) {
                Some(again) => request = again,
                None => {
                    tracing::debug!(error = %error.into_error(), endpoint = %held.endpoint().address, "backend broke off");
                    return Err(refused(failure));
                }
            }
            // What was kept was closed by the other side; that says nothing about the endpoint.
            if held.is_used { fresh = true } else { tried.push(held.endpoint().address) }
        }
        Err(refused(failure))
    }

    fn finish(
        &self,
        response: Response<Incoming>,
        held: Held,
        client: Option<(OnUpgrade, &Arc<Bounds>)>,
        arrival: &Arrival,
    ) -> Response<Answer> {
        let address = held.endpoint().address;
        let mut response = response;
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = is_upgrade.then(|| headers::upgrade(response.headers())).flatten();
        headers::strip(response.headers_mut());
        response.extensions_mut().remove::<hyper::ext::ReasonPhrase>();
        *response.version_mut() = Version::HTTP_11;
        if let Some(affinity) = &self.options.affinity
            && self.sticky.as_ref().is_none_or(|own| own.address != address)
            && let Ok(value) = HeaderValue::from_str(&set_cookie(affinity, address, arrival.is_tls))
        {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        if !is_upgrade {
            let patience = self.options.read_timeout;
            return response
                .map(|incoming| Answer::Backend(Box::new(Download::new(incoming, held, patience))));
        }
        let (Some((client, bounds)), Some(protocol)) = (client, protocol) else {
            return reply::error(StatusCode::BAD_GATEWAY);
        };
        let backend = hyper::upgrade::on(&mut response);
        tokio::spawn(tunnel(client, backend, held.into_lease(), bounds.clone(), self.options.read_timeout));
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
        response.map(|_| Answer::Nothing(Empty::new()))
    }
}

fn refused(status: StatusCode) -> Box<Response<Answer>> {
    Box::new(reply::error(status))
}

fn unreachable(error: &io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// The request once more, for the case that a kept connection breaks before it answers: only what may be done twice, and
/// only without a body.
fn copy(request: &Request<Upload>, held: &Held) -> Option<Request<Upload>> {
    let is_whole = matches!(request.body(), Upload::Nothing);
    if !held.is_used || !is_whole || !request.method().is_idempotent() {
        return None;
    }
    let mut copy = Request::new(Upload::Nothing);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Waits for an answer; `None` when neither it came nor the body moved for `patience`.
async fn in_time<T>(
    answer: impl Future<Output = T>,
    progress: Option<&Progress>,
    patience: Duration,
) -> Option<T> {
    let mut answer = pin!(answer);
    let mut deadline = Instant::now() + patience;
    loop {
        if let Ok(answered) = tokio::time::timeout_at(deadline, &mut answer).await {
            return Some(answered);
        }
        let later = progress.map(|progress| progress.last() + patience).filter(|later| *later > deadline);
        deadline = later?;
    }
}

/// Whom a request is for, as written, in lower case; with HTTP/1.0 that may be nobody.
fn host<B>(request: &Request<B>) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.host_and_port());
    }
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = host.to_str().ok()?.to_ascii_lowercase();
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
            host.bytes().all(fits).then_some(host)
        }
        (None, _) if request.version() < Version::HTTP_11 => Some(String::new()),
        _ => None,
    }
}

/// A host without its port and without a dot at the end.
fn bare(host: &str) -> &str {
    let end = host.rfind(':').filter(|at| !host[*at..].contains(']')).unwrap_or(host.len());
    host[..end].trim_end_matches('.')
}

trait HostAndPort {
    fn host_and_port(&self) -> String;
}

impl HostAndPort for http::uri::Authority {
    /// Without a user's name.
    fn host_and_port(&self) -> String {
        let host = self.host().to_ascii_lowercase();
        self.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }
}

fn origin(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn set_cookie(affinity: &Affinity, address: SocketAddr, is_tls: bool) -> String {
    let Affinity { cookie, path, max_age } = affinity;
    let age = max_age.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{cookie}={}; Path={path}{age}{secure}; HttpOnly", name(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_ports() {
        for (host, expected) in [
            ("a.b:80", "a.b"),
            ("a.b", "a.b"),
            ("a.b.", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(bare(host), expected);
        }
    }

    #[test]
    fn a_request_is_for_one_host() {
        let request = |hosts: &[&str]| {
            let mut request = Request::new(());
            for host in hosts {
                request.headers_mut().append(header::HOST, host.parse().unwrap());
            }
            host(&request)
        };
        assert_eq!(request(&["A.Example:8080"]).as_deref(), Some("a.example:8080"));
        assert_eq!((request(&[]), request(&["a", "b"]), request(&["a/b"])), (None, None, None));
    }
}
