//! A request that offers to leave HTTP, and its answer: 101 and a tunnel, or an ordinary answer and the end.
//!
//! Invariants: the tunnel sees every byte behind the request's head; when the listener stops, open tunnels end at once,
//! as watches do; an ordinary answer closes the connection, for its state is no longer known to the dispatcher.

use crate::{
    connection::Connection,
    exchange::{self, Carrier},
};
use actix_codec::Framed;
use actix_http::{
    ConnectionType, Request, RequestHead, Response, Version,
    body::{BodySize, BoxBody, MessageBody},
    h1::{self, Message},
    header,
};
use bytes::{Buf, Bytes, BytesMut};
use futures::SinkExt;
use proa_server::{Body, Switch};
use std::{future::poll_fn, io, pin::Pin};
use tokio::io::AsyncWriteExt;

/// Whether the head is that of HTTP/1.1 and asks to leave it.
pub(crate) fn is_offered(head: &RequestHead) -> bool {
    head.version == Version::HTTP_11 && head.upgrade() && head.headers().contains_key(header::UPGRADE)
}

/// Carries the request to the core and the answer back, and stays until the connection ends.
pub(crate) async fn carry(carrier: &Carrier, request: &Request, framed: Framed<Connection, h1::Codec>) {
    if let Err(error) = answer(carrier, request, framed).await {
        tracing::debug!(%error, "connection lost");
    }
}

async fn answer(
    carrier: &Carrier,
    request: &Request,
    mut framed: Framed<Connection, h1::Codec>,
) -> io::Result<()> {
    let switch = if is_offered(request.head()) { Switch::Offered } else { Switch::NotAsked };
    let peer = framed.io_ref().peer.clone();
    let Some(request) = exchange::translate(request.head(), Bytes::new(), peer, switch) else {
        return refuse(framed, Response::bad_request().map_into_boxed_body()).await;
    };
    let response = carrier.api.call(request).await;
    let Body::Upgrade(tunnel) = response.body else {
        let response = exchange::answer(response, carrier.stopped.clone());
        return refuse(framed, response.into()).await;
    };
    let mut head = Response::new(actix_http::StatusCode::SWITCHING_PROTOCOLS).drop_body();
    exchange::copy_headers(&response.headers, |name, value| {
        head.headers_mut().append(name, value);
    });
    head.head_mut().set_connection_type(ConnectionType::Upgrade);
    framed.send(Message::Item((head, BodySize::None))).await?;
    let mut stopped = carrier.stopped.clone();
    tokio::select! {
        () = tunnel.run(Box::new(left(framed))) => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    Ok(())
}

/// The bare connection, with what the codec has read but not used.
fn left(framed: Framed<Connection, h1::Codec>) -> Connection {
    let parts = framed.into_parts();
    let mut connection = parts.io;
    if !parts.read_buf.is_empty() {
        let mut ahead = BytesMut::with_capacity(parts.read_buf.len() + connection.ahead.remaining());
        ahead.extend_from_slice(&parts.read_buf);
        ahead.extend_from_slice(&connection.ahead);
        connection.ahead = ahead.freeze();
    }
    connection
}

/// Sends an ordinary answer and closes the connection.
async fn refuse(mut framed: Framed<Connection, h1::Codec>, response: Response<BoxBody>) -> io::Result<()> {
    let (mut head, mut body) = response.into_parts();
    let size = body.size();
    head.head_mut().set_connection_type(ConnectionType::Close);
    if size == BodySize::Stream {
        // The end of the connection is the end of the body.
        head.head_mut().no_chunking(true);
    }
    // Kept until the first piece of the body comes, or the end.
    framed.feed(Message::Item((head, size))).await?;
    if !matches!(size, BodySize::None | BodySize::Sized(0)) {
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            let piece = piece.map_err(|error| io::Error::other(error.to_string()))?;
            framed.send(Message::Chunk(Some(piece))).await?;
        }
        framed.feed(Message::Chunk(None)).await?;
    }
    flush(&mut framed).await?;
    framed.io_mut().shutdown().await
}

async fn flush(framed: &mut Framed<Connection, h1::Codec>) -> io::Result<()> {
    SinkExt::<Message<(Response<()>, BodySize)>>::flush(framed).await
}
