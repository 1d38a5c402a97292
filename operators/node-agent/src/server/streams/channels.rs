//! Channels on a WebSocket: each message starts with the number of its channel. Pure.
//!
//! Upstream: apimachinery `pkg/util/httpstream/wsstream/conn.go`.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Port-forward by SPDY within WebSocket.
pub(super) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// Protocols of exec and attach.
pub(super) const REMOTE_COMMAND: [&str; 5] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];
/// Protocols of port-forward.
pub(super) const PORT_FORWARD: [&str; 3] = [TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/// Number that closes the channel that follows it, since version 5.
const CLOSE: u8 = 255;

/// How messages of a protocol are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codec {
    /// Numbers are digits and data is base64, in text messages.
    is_base64: bool,
    /// Channels can be closed one by one.
    has_close: bool,
    /// Errors are `Status` objects; else their text.
    pub(super) has_status: bool,
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Data on a channel.
    Data(u8, Bytes),
    /// The channel ends.
    Close(u8),
    /// Nothing of use.
    Nothing,
}

impl Codec {
    /// The codec of a protocol that is spoken here; without a name it is the first one.
    pub(super) fn of(protocol: &str) -> Self {
        Self {
            is_base64: protocol.contains("base64"),
            has_close: protocol.starts_with("v5."),
            has_status: protocol.starts_with("v5.") || protocol.starts_with("v4."),
        }
    }

    /// Reads a message. Which kind of message it is in does not matter, as upstream.
    pub(super) fn read(self, message: Message) -> Said {
        let (Message::Binary(_) | Message::Text(_)) = &message else { return Said::Nothing };
        let mut data = message.into_data();
        if data.is_empty() {
            return Said::Nothing;
        }
        let channel = data.split_to(1)[0];
        if !self.is_base64 {
            return match channel {
                CLOSE if self.has_close => {
                    data.first().map_or(Said::Nothing, |&channel| Said::Close(channel))
                }
                channel => Said::Data(channel, data),
            };
        }
        match STANDARD.decode(&data) {
            Ok(data) if channel.is_ascii_digit() => Said::Data(channel - b'0', data.into()),
            _ => Said::Nothing,
        }
    }

    /// Writes a message.
    pub(super) fn write(self, channel: u8, data: &[u8]) -> Message {
        if self.is_base64 {
            let text = format!("{channel}{}", STANDARD.encode(data));
            return Message::Text(Utf8Bytes::from(text));
        }
        let mut message = BytesMut::with_capacity(data.len() + 1);
        message.put_u8(channel);
        message.put_slice(data);
        Message::Binary(message.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        for protocol in REMOTE_COMMAND {
            let codec = Codec::of(protocol);
            assert_eq!(codec.read(codec.write(2, b"\0out")), Said::Data(2, Bytes::from_static(b"\0out")));
        }
        assert_eq!(Codec::of("v4.base64.channel.k8s.io").write(1, b"hi"), Message::text("1aGk="));
    }

    #[test]
    fn only_version_five_closes_channels() {
        let message = || Message::binary(vec![255, 0]);
        assert_eq!(Codec::of("v5.channel.k8s.io").read(message()), Said::Close(0));
        assert_eq!(
            Codec::of("v4.channel.k8s.io").read(message()),
            Said::Data(255, Bytes::from_static(b"\0"))
        );
    }

    #[test]
    fn what_says_nothing_is_ignored() {
        assert_eq!(Codec::of("").read(Message::binary(vec![])), Said::Nothing);
        assert_eq!(Codec::of("").read(Message::Ping(Bytes::from_static(b"\x01x"))), Said::Nothing);
        assert_eq!(Codec::of("base64.channel.k8s.io").read(Message::text("0?")), Said::Nothing);
    }
}
