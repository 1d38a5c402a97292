//! Sending a request on and bringing back the answer: as a stream, or as a connection that has left HTTP.
//!
//! Upstream: apimachinery `pkg/util/proxy/upgradeaware.go`.

use crate::{
    Relay,
    dial::{Answer, DialError, Driver, Target},
    headers,
};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use proa_meta::{ApiError, ApiResult, Reason};
use proa_server::{Body, Caller, Request, Response, Tunnel};
use tokio::io::copy_bidirectional_with_sizes;

/// Bytes on their way through a tunnel, each way.
const BUFFER: usize = 64 << 10;

impl Relay {
    /// Asks the other side to leave HTTP, too, and joins the two connections. What it answers instead goes to the client.
    ///
    /// # Errors
    /// 500 when the other side is not reached, or answers with neither an upgrade nor an error.
    pub(crate) async fn upgrade(&self, target: Target, path: &str, request: &Request) -> ApiResult<Response> {
        let headers = headers::forwarded(&request.headers, client(request));
        self.switch(target, path, request.method.clone(), headers).await
    }

    /// The same with headers as they are to be sent.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn switch(
        &self,
        target: Target,
        path: &str,
        method: Method,
        mut headers: HeaderMap,
    ) -> ApiResult<Response> {
        let failed = |error: DialError| unknown(format!("error dialing backend: {error}"));
        // The other side must not expect a body: there is none.
        headers.remove(header::TRANSFER_ENCODING);
        let asked = outgoing(&target, path, method, headers, Bytes::new())?;
        let mut answer = self.dialer.send(target, asked).await.map_err(failed)?;
        let status = answer.response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(&mut answer.response).await;
            let upgraded = upgraded.map_err(|error| unknown(format!("error dialing backend: {error}")))?;
            return Ok(joined(answer, upgraded));
        }
        if status.is_client_error() || status.is_server_error() {
            return Ok(streamed(answer));
        }
        Err(unknown(format!("invalid upgrade response: status code {}", status.as_u16())))
    }
}

/// The address at the client's end of the connection.
pub(crate) fn client(request: &Request) -> Option<std::net::IpAddr> {
    match &request.caller {
        Caller::Network(peer) => Some(peer.address().ip()),
        Caller::InProcess(_) => None,
    }
}

/// A request as it goes out. The host stays the one that the client named, as upstream.
pub(crate) fn outgoing(
    target: &Target,
    path_and_query: &str,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<http::Request<Full<Bytes>>> {
    let malformed =
        |error: http::Error| ApiError::bad_request(format!("cannot pass on the request: {error}"));
    let mut request = http::Request::builder()
        .method(method)
        .uri(path_and_query)
        .body(Full::new(body))
        .map_err(malformed)?;
    *request.headers_mut() = headers;
    let host = HeaderValue::from_str(&target.authority());
    let host = host.map_err(|error| malformed(error.into()))?;
    request.headers_mut().entry(header::HOST).or_insert(host);
    Ok(request)
}

/// An error that has no reason but its text.
pub(crate) fn unknown(message: String) -> ApiError {
    ApiError::new(Reason::Unknown, message)
}

/// The answer as it comes in.
pub(crate) fn streamed(answer: Answer) -> Response {
    let Answer { response, driver } = answer;
    let (mut parts, body) = response.into_parts();
    headers::remove_hop_by_hop(&mut parts.headers);
    Response { status: parts.status, headers: parts.headers, body: pieces(body, driver) }
}

/// A body piece by piece; the connection behind it ends with it.
pub(crate) fn pieces(body: Incoming, driver: Driver) -> Body {
    let frames = BodyStream::new(body).filter_map(move |frame| {
        let _held = &driver;
        std::future::ready(match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(unknown(error.to_string()))),
        })
    });
    Body::Stream(frames.boxed())
}

/// At most so many bytes of a body, as text; for error messages.
pub(crate) async fn text(mut body: Incoming, most: usize) -> String {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
        if bytes.len() >= most {
            bytes.truncate(most);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Both connections, joined once the client's is handed over.
fn joined(answer: Answer, upgraded: Upgraded) -> Response {
    let (parts, _) = answer.response.into_parts();
    let mut headers = parts.headers;
    headers.remove(header::CONNECTION);
    let tunnel = Tunnel::new(|mut client| async move {
        let mut other = TokioIo::new(upgraded);
        // An end of one side is passed on to the other, which may go on; an error ends both.
        if let Err(error) = copy_bidirectional_with_sizes(&mut client, &mut other, BUFFER, BUFFER).await {
            tracing::debug!(%error, "tunnel broken");
        }
    });
    Response { status: StatusCode::SWITCHING_PROTOCOLS, headers, body: Body::Upgrade(tunnel) }
}
