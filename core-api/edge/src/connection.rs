//! One accepted connection: its TLS stream, what was read of it ahead, and who is at its other end.
//!
//! Invariants: bytes that were read ahead are read again first; writes go straight to the stream, several pieces at
//! once where it can take them.

use crate::tls::Vouching;
use bytes::{Buf, Bytes};
use proa_server::Peer;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// An accepted connection.
pub(crate) struct Connection {
    pub(crate) stream: TlsStream<TcpStream>,
    /// Read before, and to be read again.
    pub(crate) ahead: Bytes,
    pub(crate) peer: Peer,
}

impl Connection {
    pub(crate) fn new(stream: TlsStream<TcpStream>, vouching: &Vouching) -> io::Result<Self> {
        let (socket, session) = stream.get_ref();
        let peer = vouching.peer(socket.peer_addr()?, session.peer_certificates().unwrap_or_default());
        Ok(Self { stream, ahead: Bytes::new(), peer })
    }

    /// Whether HTTP/2 was agreed upon.
    pub(crate) fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let fits = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..fits]);
        self.ahead.advance(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
