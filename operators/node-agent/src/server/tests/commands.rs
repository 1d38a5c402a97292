//! Exec and attach, by WebSocket and by SPDY.

use crate::server::{
    streams::spdy,
    testing::{
        client::{ADMIN, TestServer},
        streaming::SOURCE,
    },
};
use bytes::Bytes;
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use hyper_util::rt::TokioIo;
use proa_meta::spdy::{Event, Role};
use proa_runtime_shim::Streams;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_tungstenite::tungstenite::{self, Message};

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

fn exec(command: &str, streams: &str) -> String {
    format!("/exec/shop/web/app?command={command}&{streams}")
}

pub(super) fn data(channel: u8, data: &[u8]) -> Message {
    let mut message = vec![channel];
    message.extend_from_slice(data);
    Message::binary(message)
}

/// Everything that is said on the channels until the server closes.
pub(super) async fn rest(
    mut source: impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
) -> BTreeMap<u8, Vec<u8>> {
    let mut channels = BTreeMap::<u8, Vec<u8>>::new();
    while let Some(message) = source.next().await {
        match message.unwrap() {
            Message::Binary(data) => channels.entry(data[0]).or_default().extend_from_slice(&data[1..]),
            Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 1000),
            other => panic!("{other:?}"),
        }
    }
    channels
}

pub(super) fn status(channels: &BTreeMap<u8, Vec<u8>>) -> Value {
    serde_json::from_slice(&channels[&3]).unwrap()
}

#[tokio::test]
async fn closing_the_input_reaches_the_command() {
    let server = TestServer::start().await;
    let mut socket = server.socket(&exec("cat", "input=1&output=1"), V5).await.unwrap();
    socket.send(data(0, b"hello")).await.unwrap();
    socket.send(data(255, &[0])).await.unwrap();
    let channels = rest(&mut socket).await;
    assert_eq!(channels[&1], b"hello");
    assert_eq!(status(&channels)["status"], "Success");
    let asked = server.runtime.asked.lock().pop().unwrap();
    let streams = Streams { stdin: true, stdout: true, stderr: false, tty: false };
    assert_eq!(asked, (vec!["cat".to_owned()], streams));
    server.stop().await;
}

#[tokio::test]
async fn exit_codes_arrive() {
    let server = TestServer::start().await;
    let channels = rest(server.socket(&exec("exit", "output=1&error=1"), V4).await.unwrap()).await;
    let status = status(&channels);
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"][0]["message"], "3");
    // Older clients get the text alone.
    let channels = rest(server.socket(&exec("exit", "output=1"), "channel.k8s.io").await.unwrap()).await;
    assert_eq!(channels[&3], b"command terminated with non-zero exit code: exit code 3");
    server.stop().await;
}

#[tokio::test]
async fn sizes_of_the_terminal_arrive() {
    let server = TestServer::start().await;
    let mut socket = server.socket(&exec("size", "input=1&output=1&error=1&tty=1"), V5).await.unwrap();
    let size = br#"{"Width":80,"Height":24}"#;
    socket.send(data(4, size)).await.unwrap();
    assert_eq!(rest(&mut socket).await[&1], size);
    server.stop().await;
}

#[tokio::test]
async fn text_protocols_are_spoken() {
    let server = TestServer::start().await;
    let mut socket =
        server.socket(&exec("count", "input=1&output=1"), "v4.base64.channel.k8s.io").await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("1"));
    socket.send(Message::text("0aGVsbG8=")).await.unwrap();
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn an_attached_client_speaks_with_the_first_process() {
    let server = TestServer::start().await;
    let path = "/attach/shop/web/u1/app?input=1&output=1";
    let mut socket = server.socket(path, "").await.unwrap();
    socket.send(data(0, b"hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), data(1, b""));
    assert_eq!(socket.next().await.unwrap().unwrap(), data(1, b"hello"));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let server = TestServer::start().await;
    // Before the switch by HTTP, after it on the error channel.
    assert_eq!(server.socket(&exec("refuse", "output=1"), V5).await.unwrap_err(), 404);
    assert_eq!(server.socket(&exec("cat", ""), V5).await.unwrap_err(), 400);
    assert_eq!(server.socket("/exec/shop/web/side?output=1", V5).await.unwrap_err(), 500);
    assert_eq!(server.ask(ADMIN, "POST", &exec("cat", "output=1")).await.0, 400);
    let channels = rest(server.socket(&exec("die", "output=1"), V5).await.unwrap()).await;
    assert_eq!(status(&channels)["reason"], "InternalError");
    server.stop().await;
}

async fn feed(mut sink: impl Sink<Message, Error = tungstenite::Error> + Unpin, total: usize) {
    let message = data(0, &vec![5; 32 << 10]);
    for _ in 0..total / (32 << 10) {
        sink.send(message.clone()).await.unwrap();
    }
    sink.send(data(255, &[0])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_data_passes_in_both_directions_at_once() {
    const TOTAL: usize = 100 << 20;
    let server = TestServer::start().await;
    let (sink, mut source) = server.socket(&exec("cat", "input=1&output=1"), V5).await.unwrap().split();
    let feeder = tokio::spawn(feed(sink, TOTAL));
    let mut received = 0;
    while let Some(Ok(message)) = source.next().await {
        if let Message::Binary(data) = message
            && data[0] == 1
        {
            received += data.len() - 1;
        }
    }
    assert_eq!(received, TOTAL);
    feeder.await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn spdy_clients_are_put_through() {
    let server = TestServer::start().await;
    let headers = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", V4)];
    let response = server.send(ADMIN, "POST", &exec("cat", "input=1&output=1"), &headers).await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["x-stream-protocol-version"], V4);
    let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let (connection, mut events) = spdy::start(io, Role::Client);
    let ids = ["error", "stdin", "stdout"]
        .map(|name| connection.open(vec![("streamtype".to_owned(), name.to_owned())]).unwrap());
    let mut output = BTreeMap::<u32, Vec<u8>>::new();
    let mut replies = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::Replied { .. } => {
                replies += 1;
                if replies == 3 {
                    connection.send(ids[1], Bytes::from_static(b"hello"), true).await.unwrap();
                }
            }
            Event::Data { id, data, .. } => output.entry(id).or_default().extend_from_slice(&data),
            _ => {}
        }
    }
    assert_eq!(output[&ids[2]], b"hello");
    assert!(output[&ids[0]].starts_with(b"{"), "{output:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_ends_its_command() {
    let server = TestServer::start().await;
    let mut socket = server.socket(&exec("source", "output=1"), V5).await.unwrap();
    let mut received = 0;
    while received < SOURCE / 8 {
        received += socket.next().await.unwrap().unwrap().len();
    }
    drop(socket);
    // Waits for all of the server's tasks.
    server.stop().await;
}

#[tokio::test]
async fn a_side_that_does_not_read_holds_the_other_back() {
    let (here, _there) = tokio::io::duplex(1024);
    let (connection, _events) = spdy::start(here, Role::Client);
    let id = connection.open(vec![]).unwrap();
    let mut sent = 0;
    while connection.send(id, Bytes::from(vec![0; 10_000]), false).now_or_never().is_some() {
        sent += 10_000;
        assert!(sent < 1 << 20, "{sent} bytes wait");
        tokio::task::yield_now().await;
    }
    assert!(sent > 100_000);
}
