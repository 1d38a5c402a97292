//! Answers that are made here: errors as pages, redirects.

use super::body::Answer;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// The page of an error.
pub(crate) fn error(status: StatusCode) -> Response<Answer> {
    let reason = match status {
        StatusCode::SERVICE_UNAVAILABLE => "Service Temporarily Unavailable",
        StatusCode::GATEWAY_TIMEOUT => "Gateway Time-out",
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or_default(),
    };
    let title = format!("{} {reason}", status.as_u16());
    page(status, &title)
}

/// A redirect that keeps the method.
pub(crate) fn redirect(location: &str) -> Response<Answer> {
    let Ok(location) = HeaderValue::from_str(location) else { return error(StatusCode::BAD_REQUEST) };
    let mut response = page(StatusCode::PERMANENT_REDIRECT, "308 Permanent Redirect");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn page(status: StatusCode, title: &str) -> Response<Answer> {
    let text = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>proa</center>\r\n</body>\r\n</html>\r\n"
    );
    let mut response = Response::new(Answer::Own(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}
