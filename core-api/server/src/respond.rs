//! Building responses, and the one place where an [`ApiError`] becomes one.
//!
//! Upstream: apiserver `pkg/endpoints/handlers/responsewriters/{errors,status,writers}.go`.

use crate::{
    api::{Body, Response},
    encode::{binary, text},
    negotiate::{self, Form, Wire},
    openapi::SchemaDocs,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use proa_meta::ApiError;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
pub(crate) const PROTOBUF: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf");

/// A response with a content type.
pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    with_value(status, HeaderValue::from_static(content_type), body)
}

/// A response with a content type that is already a header value.
pub(crate) fn with_value(status: StatusCode, content_type: HeaderValue, body: Body) -> Response {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, content_type);
    Response { status, headers, body }
}

/// JSON bytes as they are.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    with_value(status, JSON, Body::Whole(Bytes::from(body)))
}

/// The plain 404 of paths that are not served.
pub(crate) fn no_such_path() -> Response {
    const NOSNIFF: (HeaderName, HeaderValue) =
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let body = Body::Whole(Bytes::from_static(b"404 page not found\n"));
    let mut response = with_type(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", body);
    response.headers.insert(NOSNIFF.0, NOSNIFF.1);
    response
}

/// An error as a `Status` in the form that the client accepts; JSON when it accepts nothing that is served.
pub(crate) fn error(
    error: &ApiError,
    request_headers: &HeaderMap,
    query: Option<&str>,
    docs: &dyn SchemaDocs,
) -> Response {
    let form = negotiate::plain(request_headers, query).unwrap_or_default();
    let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (content_type, bytes) = render(&error.to_status(), form, docs);
    let mut response = with_value(status, content_type, Body::Whole(bytes));
    if let Some(seconds) = error.details().map(|d| d.retry_after_seconds).filter(|s| *s > 0) {
        response.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    add_warnings(&mut response.headers, error.warnings());
    response
}

/// A document in a wire form; JSON where it has no protobuf form.
pub(crate) fn render(value: &serde_json::Value, form: Form, docs: &dyn SchemaDocs) -> (HeaderValue, Bytes) {
    match form.wire {
        Wire::Yaml => return (YAML, Bytes::from(text::yaml_of(value))),
        Wire::Protobuf => {
            if let Some(bytes) = binary::document(value, docs) {
                return (PROTOBUF, Bytes::from(bytes));
            }
        }
        Wire::Json => {}
    }
    let mut bytes = text::json_of(value);
    if form.pretty {
        bytes = text::pretty(&bytes);
    }
    bytes.push(b'\n');
    (JSON, Bytes::from(bytes))
}

/// Adds `Warning` headers: code 299 with the text quoted. Control characters cannot be sent and become spaces.
pub(crate) fn add_warnings(headers: &mut HeaderMap, warnings: &[String]) {
    const LONGEST: usize = 4 * 1024;
    const WARNING: HeaderName = HeaderName::from_static("warning");
    let mut written = 0;
    for warning in warnings {
        let mut line = String::with_capacity(warning.len() + 10);
        line.push_str("299 - \"");
        for c in warning.chars() {
            match c {
                '"' | '\\' => line.extend(['\\', c]),
                c if c.is_control() => line.push(' '),
                c => line.push(c),
            }
        }
        line.push('"');
        written += line.len();
        if written > LONGEST {
            return;
        }
        if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
            headers.append(WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::NoDocs;

    #[test]
    fn errors_follow_the_accept_header() {
        let why = ApiError::unauthorized();
        let mut headers = HeaderMap::new();
        let plain = error(&why, &headers, None, &NoDocs);
        assert_eq!(plain.status, 401);
        assert_eq!(plain.headers["content-type"], "application/json");
        let Body::Whole(bytes) = plain.body else { panic!("whole") };
        assert!(bytes.starts_with(b"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{}"));
        headers.insert("accept", "application/yaml".parse().unwrap());
        assert_eq!(error(&why, &headers, None, &NoDocs).headers["content-type"], "application/yaml");
        headers.insert("accept", "image/png".parse().unwrap());
        assert_eq!(error(&why, &headers, None, &NoDocs).headers["content-type"], "application/json");
    }

    #[test]
    fn retry_after_is_a_header_too() {
        let why = ApiError::new(proa_meta::Reason::TooManyRequests, "later").with_retry_after(3);
        assert_eq!(error(&why, &HeaderMap::new(), None, &NoDocs).headers["retry-after"], "3");
    }

    #[test]
    fn warnings_are_quoted() {
        let mut headers = HeaderMap::new();
        add_warnings(&mut headers, &["a \"b\"\n".to_owned()]);
        assert_eq!(headers["warning"], "299 - \"a \\\"b\\\" \"");
    }
}
