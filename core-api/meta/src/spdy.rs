//! SPDY/3.1 without I/O: bytes in, events out; calls in, bytes out.
//!
//! Kubernetes carries exec, attach and port-forward over it: one connection that was HTTP/1.1 and was upgraded, many
//! streams on it. Owns: frames ([`Frame`], [`Decoder`], [`Encoder`]), header compression, and the state of a connection
//! and its streams ([`Session`]) for both sides. Invariants: nothing that a peer sends makes this code panic or hold
//! more than [`MAX_CONTROL_FRAME`] of an unfinished frame, [`MAX_HEADER_BLOCK`] of headers, or [`MAX_UNSENT_REPLIES`] of
//! answers that nobody takes; data is handed on in the pieces in which it came. Flow control is a choice
//! ([`FlowControl`]), because the implementation that Kubernetes' programs share neither counts nor credits windows:
//! with those peers TCP alone holds the sender back.
//! Deliberately absent: sockets, the HTTP upgrade, priorities, server push, credentials.
//! Upstream: the SPDY protocol, draft 3.1; `github.com/moby/spdystream`.

mod frame;
mod headers;
mod session;
#[cfg(test)]
mod tests;
mod window;

pub use frame::{Decoder, Encoder, Frame, Setting};
pub use headers::Headers;
pub use session::{Event, FlowControl, Role, Session};

/// Most bytes of one control frame.
pub const MAX_CONTROL_FRAME: usize = 64 << 10;
/// Most bytes of one block of headers, decompressed.
pub const MAX_HEADER_BLOCK: usize = 64 << 10;
/// Most bytes of one data frame that is sent. Frames that are received may be larger; they arrive in pieces.
pub const MAX_DATA_FRAME: usize = 64 << 10;
/// Most bytes that may wait to be sent when a frame arrives: a peer that makes one answer without reading is cut off.
pub const MAX_UNSENT_REPLIES: usize = 1 << 20;
/// Most streams open at once.
pub const MAX_STREAMS: usize = 1024;

/// What breaks a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A frame of another version of SPDY, or no frame at all.
    #[error("not a SPDY/3 frame: version {0}")]
    Version(u16),
    /// A control frame is larger than it may be.
    #[error("a control frame of {0} bytes is larger than {MAX_CONTROL_FRAME}")]
    FrameTooLarge(usize),
    /// A frame's fields do not fit its length or its type.
    #[error("malformed {0} frame")]
    Malformed(&'static str),
    /// Headers cannot be decompressed or read.
    #[error("malformed headers: {0}")]
    Headers(&'static str),
    /// A stream id that the peer may not use.
    #[error("unexpected stream id {0}")]
    StreamId(u32),
    /// More was sent than the window of the connection allows.
    #[error("more data than the connection's window allows")]
    FlowControl,
    /// The peer makes this side answer but does not read the answers.
    #[error("the peer does not read what it is sent")]
    Unread,
    /// No stream can be opened: the peer goes away, or there are too many.
    #[error("no further stream can be opened")]
    NoMoreStreams,
    /// The stream is closed, or its sending half is.
    #[error("stream {0} is closed")]
    Closed(u32),
}

/// Why a stream is reset.
pub mod reset {
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// There is no such stream.
    pub const INVALID_STREAM: u32 = 2;
    /// Refused before anything was done.
    pub const REFUSED_STREAM: u32 = 3;
    /// No longer wanted.
    pub const CANCEL: u32 = 5;
    /// Failed here.
    pub const INTERNAL_ERROR: u32 = 6;
    /// More data than the stream's window allows.
    pub const FLOW_CONTROL_ERROR: u32 = 7;
    /// Answered twice.
    pub const STREAM_IN_USE: u32 = 8;
    /// Data after its end.
    pub const STREAM_ALREADY_CLOSED: u32 = 9;
}
