//! Logs for browsers: the same bytes as messages of a WebSocket.
//!
//! The subprotocol decides between binary messages and base64 texts; without one they are binary. Upstream: apimachinery
//! `pkg/util/httpstream/wsstream/stream.go`.

use crate::{dial::Answer, forward};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use proa_meta::{ApiError, ApiResult};
use proa_server::{
    Body, Response,
    websocket::{self, Message},
};

const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";

/// How pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Base64,
}

/// Switches protocols and sends what the agent sends.
pub(super) fn answer(asked: &HeaderMap, answer: Answer) -> ApiResult<Response> {
    let (form, protocol) = negotiate(asked)?;
    let pieces = match forward::pieces(answer.response.into_body(), answer.driver) {
        Body::Stream(pieces) => pieces,
        _ => futures::stream::empty().boxed(),
    };
    websocket::answer(asked, protocol, pieces.map(move |piece| piece.map(|piece| message(piece, form))))
}

/// The first subprotocol of the client that is known.
fn negotiate(asked: &HeaderMap) -> ApiResult<(Form, Option<&'static str>)> {
    let mut protocols = websocket::protocols(asked).peekable();
    if protocols.peek().is_none() {
        return Ok((Form::Binary, None));
    }
    let known = protocols.find_map(|protocol| match protocol {
        BINARY => Some((Form::Binary, Some(BINARY))),
        BASE64 => Some((Form::Base64, Some(BASE64))),
        _ => None,
    });
    known.ok_or_else(|| {
        ApiError::bad_request(format!("requested protocol(s) are not supported; use {BINARY} or {BASE64}"))
    })
}

fn message(piece: Bytes, form: Form) -> Message {
    match form {
        Form::Binary => Message::Binary(piece),
        Form::Base64 => Message::Text(STANDARD.encode(piece).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};

    #[test]
    fn the_first_known_protocol_is_chosen() {
        let asked = |protocols: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for protocol in protocols {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
            }
            negotiate(&headers).map_err(|error| error.code())
        };
        assert_eq!(asked(&[]), Ok((Form::Binary, None)));
        assert_eq!(asked(&["x, base64.binary.k8s.io", BINARY]), Ok((Form::Base64, Some(BASE64))));
        assert_eq!(asked(&[BINARY]), Ok((Form::Binary, Some(BINARY))));
        assert_eq!(asked(&["x"]), Err(400));
    }
}
