//! WebSockets on which the server alone speaks: watches and logs for browsers.
//!
//! Owns: the handshake, sending, and noticing that the client has gone. Deliberately absent: exec and its sisters, which
//! the node agent speaks. Upstream: apiserver `pkg/endpoints/handlers/watch.go` (`HandleWS`), apimachinery
//! `pkg/util/httpstream/wsstream`.

use crate::{
    api::{Body, Response},
    upgrade::{Connection, Tunnel},
};
use bytes::{Buf, Bytes};
use futures::{SinkExt, Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use proa_meta::{ApiError, ApiResult};
use std::time::Duration;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

pub use tokio_tungstenite::tungstenite::Message;

/// How long a client may take to answer the end.
const GOODBYE: Duration = Duration::from_secs(1);
/// Longest message of a client, who has nothing to say.
const LONGEST: usize = 64 << 10;

/// Whether the upgrade that is asked for is this one.
pub fn is_asked(headers: &HeaderMap) -> bool {
    let asked = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked.eq_ignore_ascii_case("websocket")
}

/// Subprotocols that the client would speak, the one it likes best first.
pub fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    // A token there would be sent back; it counts for nothing.
    let is_token = |one: &&str| one.starts_with("base64url.bearer.authorization.k8s.io.");
    values.flat_map(|value| value.split(',')).map(str::trim).filter(move |one| !is_token(one))
}

/// Switches protocols, sends the messages, and ends with them or with the client.
///
/// # Errors
/// The handshake is incomplete.
pub fn answer<S>(asked: &HeaderMap, protocol: Option<&str>, messages: S) -> ApiResult<Response>
where
    S: Stream<Item = Result<Message, ApiError>> + Send + Unpin + 'static,
{
    let Some(key) = asked.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(ApiError::bad_request("the header Sec-WebSocket-Key is missing"));
    };
    let value = |text: &str| HeaderValue::from_str(text).map_err(ApiError::internal);
    let mut headers = HeaderMap::new();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, value(&derive_accept_key(key.as_bytes()))?);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(protocol)?);
    }
    let tunnel = Tunnel::new(|connection| async move {
        if let Err(error) = send(connection, messages).await {
            tracing::debug!(%error, "WebSocket broken");
        }
    });
    Ok(Response { status: StatusCode::SWITCHING_PROTOCOLS, headers, body: Body::Upgrade(tunnel) })
}

async fn send<S>(connection: Box<dyn Connection>, mut messages: S) -> ApiResult<()>
where
    S: Stream<Item = Result<Message, ApiError>> + Send + Unpin,
{
    let broken = |error: tungstenite::Error| ApiError::internal(error);
    let bounds = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(bounds)).await;
    let (mut sink, mut source) = socket.split();
    let written = async {
        while let Some(message) = messages.next().await {
            sink.send(message?).await.map_err(broken)?;
        }
        sink.close().await.map_err(broken)
    };
    // Nothing is expected of the client but its end; reading also answers its pings.
    let ended = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
    tokio::pin!(ended);
    tokio::select! {
        done = written => done?,
        () = &mut ended => return Ok(()),
    }
    // The client says goodbye, too.
    let _ = tokio::time::timeout(GOODBYE, ended).await;
    Ok(())
}

/// A watch in place of its answer over HTTP: one message an event, text for JSON and binary for protobuf.
pub(crate) fn watch(asked: &HeaderMap, response: Response) -> ApiResult<Response> {
    let Body::Stream(pieces) = response.body else { return Ok(response) };
    let content_type = response.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_text = content_type.is_none_or(|name| name.starts_with(b"application/json"));
    let messages = pieces.flat_map(move |piece| {
        let events: Vec<_> = match piece {
            Ok(piece) => events(piece, is_text).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(events)
    });
    answer(asked, protocols(asked).next(), messages.boxed())
}

/// The events of a piece, which holds some of them whole.
fn events(mut piece: Bytes, is_text: bool) -> Vec<Message> {
    const LENGTH: usize = 4;
    let mut events = Vec::new();
    while !piece.is_empty() {
        if is_text {
            // JSON is written without line breaks, but for the one behind each event.
            let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
            events.push(Message::Text(String::from_utf8_lossy(&piece.split_to(end)).into_owned().into()));
        } else if piece.len() >= LENGTH {
            let length = piece.get_u32() as usize;
            events.push(Message::Binary(piece.split_to(length.min(piece.len()))));
        } else {
            break;
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_a_message() {
        let texts = events(Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n"), true);
        assert_eq!(texts, [Message::text("{\"a\":1}\n"), Message::text("{\"b\":2}\n")]);
        let binary = events(Bytes::from_static(b"\0\0\0\x02ab\0\0\0\x01c"), false);
        assert_eq!(binary, [Message::binary(&b"ab"[..]), Message::binary(&b"c"[..])]);
    }
}
