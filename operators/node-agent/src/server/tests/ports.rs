//! Port-forward, by SPDY, by its tunnel, and by channels.

use crate::server::{
    streams::spdy::{self, Connection},
    testing::client::{ADMIN, TestServer},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use proa_meta::spdy::{Event, Role};
use std::collections::BTreeMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::Message;

fn open(connection: &Connection, kind: &str) -> u32 {
    let headers = [("streamtype", kind), ("port", "80"), ("requestid", "0")];
    connection.open(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()).unwrap()
}

/// What port 80 says, and what it says back.
async fn converse(connection: &Connection, events: &mut mpsc::Receiver<Event>) {
    let error = open(connection, "error");
    connection.send(error, Bytes::new(), true).await.unwrap();
    let data = open(connection, "data");
    let mut said = Vec::new();
    let mut greeted = false;
    loop {
        match events.recv().await.expect("more events") {
            Event::Data { id, data: bytes, fin } if id == data => {
                said.extend_from_slice(&bytes);
                if fin {
                    break;
                }
                if !std::mem::replace(&mut greeted, true) {
                    connection.send(data, Bytes::from_static(b"bye"), false).await.unwrap();
                }
            }
            Event::Reset { id, status } => panic!("{id}: {status}"),
            _ => {}
        }
    }
    assert_eq!(said, b"80:bye");
}

#[tokio::test]
async fn spdy_clients_are_put_through() {
    let server = TestServer::start().await;
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", "portforward.k8s.io"),
    ];
    let response = server.send(ADMIN, "POST", "/portForward/shop/web", &headers).await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["x-stream-protocol-version"], "portforward.k8s.io");
    let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let (connection, mut events) = spdy::start(io, Role::Client);
    converse(&connection, &mut events).await;
    drop(connection);
    server.stop().await;
}

#[tokio::test]
async fn spdy_within_a_websocket_is_unwrapped() {
    let server = TestServer::start().await;
    let socket = server.socket("/portForward/shop/web", "SPDY/3.1+portforward.k8s.io").await.unwrap();
    let (near, far) = tokio::io::duplex(1000);
    tokio::spawn(async move {
        let (mut sink, mut source) = socket.split();
        let (mut reader, mut writer) = tokio::io::split(far);
        let mut piece = vec![0; 100];
        loop {
            tokio::select! {
                read = reader.read(&mut piece) => match read {
                    Ok(0) | Err(_) => return sink.close().await.unwrap_or_default(),
                    Ok(n) => sink.send(Message::binary(piece[..n].to_vec())).await.unwrap(),
                },
                message = source.next() => match message {
                    Some(Ok(Message::Binary(data))) => writer.write_all(&data).await.unwrap(),
                    _ => return,
                },
            }
        }
    });
    let (connection, mut events) = spdy::start(near, Role::Client);
    converse(&connection, &mut events).await;
    drop(connection);
    server.stop().await;
}

#[tokio::test]
async fn older_clients_have_two_channels_for_each_port() {
    let server = TestServer::start().await;
    let path = "/portForward/shop/web?port=80,1";
    let mut socket = server.socket(path, "v4.channel.k8s.io").await.unwrap();
    socket.send(Message::binary(&b"\x00bye"[..])).await.unwrap();
    let mut channels = BTreeMap::<u8, Vec<u8>>::new();
    while let Some(message) = socket.next().await {
        if let Message::Binary(data) = message.unwrap() {
            channels.entry(data[0]).or_default().extend_from_slice(&data[1..]);
        }
    }
    let expected =
        [(0, &b"\x50\080:bye"[..]), (1, b"\x50\0"), (2, b"\x01\0"), (3, b"\x01\0connection refused")];
    assert_eq!(channels, expected.map(|(channel, data)| (channel, data.to_vec())).into());
    assert_eq!(server.socket("/portForward/shop/web", "v4.channel.k8s.io").await.unwrap_err(), 400);
    assert_eq!(server.socket("/portForward/shop/none?port=1", "v4.channel.k8s.io").await.unwrap_err(), 404);
    server.stop().await;
}
