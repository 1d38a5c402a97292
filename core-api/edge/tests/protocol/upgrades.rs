//! Connections that leave HTTP: what may, what they carry, how they end.

use crate::{support::Cluster, toys::BYE};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

const TUNNEL: &str = "/apis/toy.example/v1/namespaces/d/toys/a/tunnel";
const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
const WEBSOCKET: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// A raw client of HTTP/1.1.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn connect(cluster: &Cluster) -> Self {
        Self(cluster.connection("tester", HTTP1).await)
    }
    async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }
    async fn ask(&mut self, method: &str, path: &str, headers: &str) -> (u16, String) {
        self.write(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
        self.head().await
    }
    /// Status and headers in lower case; not a byte behind them is read.
    async fn head(&mut self) -> (u16, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        (head[9..12].parse().unwrap(), head)
    }
    async fn expect(&mut self, text: &str) {
        let mut bytes = vec![0; text.len()];
        self.0.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), text);
    }
    /// Everything until the other side ends.
    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).await.unwrap();
        String::from_utf8(rest).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_starts_with_spdy_becomes_a_tunnel() {
    let cluster = Cluster::over_tls().await;
    let mut client = Raw::connect(&cluster).await;
    let early = format!("POST {TUNNEL} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n{SPDY}\r\nearly");
    client.write(&early).await;
    let (status, head) = client.head().await;
    assert_eq!(status, 101);
    for line in ["connection: upgrade", "upgrade: spdy/3.1", "x-user: tester", "audit-id: "] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} in {head}");
    }
    for framing in ["content-length", "transfer-encoding"] {
        assert!(!head.contains(framing), "{head}");
    }
    client.expect("early").await;
    client.write("hello").await;
    client.expect("hello").await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, BYE, "the other direction goes on after the client's has ended");
    stop(cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_may_come_first_or_later() {
    let cluster = Cluster::over_tls().await;
    for earlier_requests in [0, 2] {
        let mut client = Raw::connect(&cluster).await;
        for _ in 0..earlier_requests {
            let (status, head) = client.ask("GET", "/readyz", "").await;
            assert_eq!(status, 200);
            assert!(head.contains("content-length: 2"), "{head}");
            client.expect("ok").await;
        }
        let (status, head) = client.ask("GET", TUNNEL, WEBSOCKET).await;
        assert_eq!(status, 101, "{head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
        client.write("frame").await;
        client.expect("frame").await;
    }
    stop(cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_amounts_pass_through_a_tunnel() {
    const SIZE: usize = 8 << 20;
    let cluster = Cluster::over_tls().await;
    let mut client = Raw::connect(&cluster).await;
    assert_eq!(client.ask("POST", TUNNEL, SPDY).await.0, 101);
    let (mut reader, mut writer) = tokio::io::split(client.0);
    let sent = tokio::spawn(async move {
        let piece = vec![7; 64 << 10];
        for _ in 0..SIZE / piece.len() {
            writer.write_all(&piece).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        writer
    });
    let mut got = Vec::new();
    reader.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), SIZE + BYE.len());
    assert!(got[..SIZE].iter().all(|byte| *byte == 7));
    sent.await.unwrap();
    stop(cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_is_refused_gets_an_ordinary_answer() {
    let cluster = Cluster::over_tls().await;
    for (headers, path, code) in [
        (SPDY, "/nothing", 404),
        (WEBSOCKET, "/apis/toy.example/v1/namespaces/d/toys?watch=1", 400),
        (WEBSOCKET, "/readyz", 200),
    ] {
        let mut client = Raw::connect(&cluster).await;
        let (status, head) = client.ask("GET", path, headers).await;
        assert_eq!(status, code, "{path}: {head}");
        assert!(head.contains("connection: close"), "{head}");
        assert!(!client.rest().await.is_empty(), "{path}");
    }
    // A list is a stream of chunks elsewhere; here the connection's end ends it.
    let mut client = Raw::connect(&cluster).await;
    let (status, head) = client.ask("GET", "/apis/toy.example/v1/namespaces/d/toys", WEBSOCKET).await;
    assert_eq!(status, 200, "{head}");
    let list: Value = serde_json::from_str(&client.rest().await).unwrap();
    assert_eq!(list["kind"], "ToyList");
    stop(cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_switch_is_told_so() {
    let cluster = Cluster::over_tls().await;
    let required = "Upgrade request required";
    let plain = cluster.get(TUNNEL).await.message();
    assert_eq!(plain, (400, required.to_owned()));
    let mut client = Raw::connect(&cluster).await;
    client.ask("GET", "/readyz", "").await;
    client.expect("ok").await;
    let (status, _) = client.ask("POST", TUNNEL, &format!("Content-Length: 0\r\n{SPDY}")).await;
    assert_eq!(status, 400, "SPDY needs a new connection");
    assert_eq!(over_http2(&cluster).await, 400);
    stop(cluster).await;
    let inside = Cluster::in_process().await;
    let (code, why) = inside.get(TUNNEL).await.message();
    assert_eq!(code, 400);
    assert!(why.starts_with(required) && why.contains("new HTTP/1.1 connection"), "{why}");
}

/// The status of the same request over HTTP/2.
async fn over_http2(cluster: &Cluster) -> u16 {
    let stream = cluster.connection("tester", &[b"h2"]).await;
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("https://a{TUNNEL}")).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    response.await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_open_tunnels_and_silent_connections() {
    let cluster = Cluster::over_tls().await;
    let mut tunnel = Raw::connect(&cluster).await;
    assert_eq!(tunnel.ask("POST", TUNNEL, SPDY).await.0, 101);
    let _silent = Raw::connect(&cluster).await;
    stop(cluster).await;
    let mut rest = Vec::new();
    // The end may come without TLS' own goodbye.
    let _ = tunnel.0.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

async fn stop(cluster: Cluster) {
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stops");
}
