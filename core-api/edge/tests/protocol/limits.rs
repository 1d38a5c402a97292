//! Load and endings: what a server bears, and that it lets go of nothing that it has begun.

use crate::support::Cluster;
use futures::StreamExt;
use proa_meta::User;
use proa_server::{Body, Caller, Request, Switch};
use serde_json::json;
use std::{fs, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TOYS: &str = "/apis/toy.example/v1/namespaces/d/toys";

fn inside(path: &str) -> Request {
    Request {
        method: http::Method::GET,
        uri: path.parse().unwrap(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        caller: Caller::InProcess(Arc::new(User::new("tester", &[]))),
        switch: Switch::Impossible,
    }
}

/// Resident memory of the process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Connections apart: those cost what TLS costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_watches_cost_little() {
    const WATCHES: usize = 10_000;
    const MOST_EACH: usize = 8 << 10;
    let cluster = Cluster::in_process().await;
    cluster.create_toy(json!({"metadata": {"name": "a"}})).await;
    let mut open = Vec::with_capacity(WATCHES);
    let before = resident();
    for _ in 0..WATCHES {
        let Body::Stream(mut events) = cluster.api.call(inside(&format!("{TOYS}?watch=1"))).await.body else {
            panic!("a watch is a stream")
        };
        assert!(events.next().await.is_some(), "the object that is there");
        open.push(events);
    }
    let each = resident().saturating_sub(before) / WATCHES;
    println!("{each} bytes for each of {WATCHES} idle watches");
    assert!(each < MOST_EACH, "{each} bytes for each");
    cluster.create_toy(json!({"metadata": {"name": "b"}})).await;
    for events in &mut open {
        let event = events.next().await.unwrap().unwrap();
        assert!(event.starts_with(b"{\"type\":\"ADDED\""), "{event:?}");
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The reason with which the server ends a connection.
fn goodbye(mut frames: &[u8]) -> Option<u32> {
    const HEAD: usize = 9;
    while let Some(head) = frames.get(..HEAD) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = frames.get(HEAD..HEAD + length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        frames = &frames[HEAD + length..];
    }
    None
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_at_once_end_their_connection_and_nothing_else() {
    const REQUESTS: u32 = 20_000;
    const CALM: u32 = 11;
    let cluster = Cluster::over_tls().await;
    let (mut reader, mut writer) = tokio::io::split(cluster.connection("tester", &[b"h2"]).await);
    let reading = tokio::spawn(async move {
        let mut frames = Vec::new();
        let _ = reader.read_to_end(&mut frames).await;
        frames
    });
    // :method GET, :scheme https, :path, :authority
    let mut head = vec![0x82, 0x87, 0x04, u8::try_from(TOYS.len()).unwrap()];
    head.extend_from_slice(TOYS.as_bytes());
    head.extend_from_slice(&[0x01, 1, b'a']);
    let mut bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
    let mut ended = false;
    for stream in (1..2 * REQUESTS).step_by(2) {
        bytes.extend(frame(1, 0x5, stream, &head));
        bytes.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
        if bytes.len() > 64 << 10 {
            ended = writer.write_all(&bytes).await.is_err();
            bytes.clear();
        }
        if ended {
            break;
        }
    }
    let _ = writer.shutdown().await;
    let reason = goodbye(&reading.await.unwrap());
    assert!(reason == Some(CALM) || (ended && reason.is_none()), "{reason:?}, ended: {ended}");
    let metrics = cluster.get("/metrics").await.text();
    let busy = "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1";
    assert!(metrics.contains(busy), "only the question itself is answered: {metrics}");
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_has_begun_is_answered_although_the_server_stops() {
    let cluster = Cluster::over_tls().await;
    let mut client = cluster.connection("tester", &[b"http/1.1"]).await;
    let body = json!({"metadata": {"name": "late"}}).to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let length = body.len();
    let head = format!(
        "POST {TOYS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    // That it is asked for the body says that the request has begun.
    let mut asked = [0; 25];
    client.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(first.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let api = cluster.api.clone();
    let stopping = tokio::task::spawn_blocking(move || cluster.stop());
    while api.call(inside("/readyz")).await.status == 200 {
        tokio::task::yield_now().await;
    }
    client.write_all(rest.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let mut answer = Vec::new();
    // The end may come without TLS' own goodbye.
    let _ = client.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    stopping.await.expect("stops");
    assert_eq!(api.call(inside(&format!("{TOYS}/late"))).await.status, 200);
}
