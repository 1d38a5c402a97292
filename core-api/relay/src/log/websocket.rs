//! Logs for browsers: the same bytes as messages of a WebSocket.
//!
//! The subprotocol decides between binary messages and base64 texts; without one they are binary. Upstream: apimachinery
//! `pkg/util/httpstream/wsstream/stream.go`.

use crate::{
    dial::Answer,
    forward::{self, unknown},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use proa_meta::{ApiError, ApiResult};
use proa_server::{Body, Response, Tunnel, upgrade::Connection};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

const BINARY: &str = "binary.k8s.io";
const BASE64: &str = "base64.binary.k8s.io";

/// How pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Base64,
}

/// Whether the upgrade that is asked for is this one.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let asked = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked.eq_ignore_ascii_case("websocket")
}

/// Switches protocols and sends what the agent sends.
pub(super) fn answer(asked: &HeaderMap, answer: Answer) -> ApiResult<Response> {
    let Some(key) = asked.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(ApiError::bad_request("the header Sec-WebSocket-Key is missing"));
    };
    let (form, protocol) = negotiate(asked)?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let mut headers = HeaderMap::new();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.map_err(ApiError::internal)?);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let tunnel = Tunnel::new(move |connection| async move {
        if let Err(error) = send(connection, answer, form).await {
            tracing::debug!(%error, "log over WebSocket broken");
        }
    });
    Ok(Response { status: StatusCode::SWITCHING_PROTOCOLS, headers, body: Body::Upgrade(tunnel) })
}

/// The first subprotocol of the client that is known.
fn negotiate(asked: &HeaderMap) -> ApiResult<(Form, Option<&'static str>)> {
    let values = asked.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut protocols = values.flat_map(|value| value.split(',')).map(str::trim).peekable();
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

async fn send(connection: Box<dyn Connection>, answer: Answer, form: Form) -> ApiResult<()> {
    let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
    let (mut sink, mut source) = socket.split();
    let Body::Stream(mut pieces) = forward::pieces(answer.response.into_body(), answer.driver) else {
        return Ok(());
    };
    let written = async {
        while let Some(piece) = pieces.next().await {
            sink.send(message(piece?, form)).await.map_err(|error| broken(&error))?;
        }
        sink.close().await.map_err(|error| broken(&error))
    };
    // Nothing is expected of the client but its end; reading also answers its pings.
    let ended = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
    tokio::select! {
        done = written => done,
        () = ended => Ok(()),
    }
}

fn message(piece: Bytes, form: Form) -> Message {
    match form {
        Form::Binary => Message::Binary(piece),
        Form::Base64 => Message::Text(STANDARD.encode(piece).into()),
    }
}

fn broken(error: &tokio_tungstenite::tungstenite::Error) -> ApiError {
    unknown(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
