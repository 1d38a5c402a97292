//! `pods/exec`, `pods/attach`, `pods/portforward`.

use crate::{
    agent::PROTOCOL,
    world::{SPDY, World, echoed, request},
};
use futures::{SinkExt, StreamExt};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};

const PODS: &str = "/api/v1/namespaces/d/pods";
const EXEC: &str = "/api/v1/namespaces/d/pods/p/exec?container=a&command=sh&stdin=true&stdout=true";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_both_ways_and_ends_are_passed_on() {
    let world = World::start().await;
    for (path, to_agent) in [
        (EXEC.to_owned(), "/exec/d/p/a?command=sh&input=1&output=1"),
        (format!("{PODS}/p/attach?container=b&tty=true"), "/attach/d/p/b?tty=1"),
        (format!("{PODS}/p/portforward"), "/portForward/d/p"),
    ] {
        let (headers, mut tunnel) = world.upgrade(&path).await;
        assert_eq!(headers["upgrade"], "SPDY/3.1");
        assert_eq!(headers["x-stream-protocol-version"], PROTOCOL);
        tunnel.write_all(b"hello").await.unwrap();
        tunnel.flush().await.unwrap();
        let mut back = [0; 5];
        tunnel.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");
        tunnel.shutdown().await.unwrap();
        let mut rest = String::new();
        tunnel.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, echoed(""), "the agent's side ends after the client's");
        let seen = world.agent.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", to_agent));
        assert_eq!(seen.headers["upgrade"], "SPDY/3.1");
        assert_eq!(seen.headers.get_all("x-stream-protocol-version").iter().count(), 2);
        assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
        assert!(!seen.headers.contains_key("authorization"), "credentials stay here");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_reach_the_agent() {
    let world = World::start().await;
    let (mut socket, response) = websocket(&world, "admin", EXEC).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], PROTOCOL);
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    assert_eq!(world.agent.seen().pop().unwrap().method, "GET");
    world.stop().await;
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

async fn websocket(
    world: &World,
    user: &str,
    path: &str,
) -> Result<(Socket, tungstenite::handshake::client::Response), tungstenite::Error> {
    let stream = world.connection(user, b"http/1.1").await;
    let mut request = format!("wss://127.0.0.1{path}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", PROTOCOL.parse().unwrap());
    tokio_tungstenite::client_async(request, stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mebibytes_pass_without_being_held() {
    const SIZE: usize = 100 << 20;
    let world = World::start().await;
    let mut sunk = world.agent.sunk();
    let (_, mut tunnel) = world.upgrade(&format!("{PODS}/sink/attach?stdin=true")).await;
    let before = resident();
    let piece = vec![7; 1 << 20];
    for _ in 0..SIZE / piece.len() {
        tunnel.write_all(&piece).await.unwrap();
    }
    tunnel.shutdown().await.unwrap();
    let grown = resident().saturating_sub(before);
    assert_eq!(sunk.next().await, Some(SIZE));
    assert!(grown < SIZE / 2, "{grown} bytes more in memory");
    world.stop().await;
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_refuses_is_passed_on() {
    let world = World::start().await;
    let answer =
        world.send("admin", request("POST", &format!("{PODS}/refused/exec?command=sh"), SPDY, "")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, "no such container"));
    let (code, message) = refused(&world, "admin", &format!("{PODS}/nowhere/exec?command=sh")).await;
    assert_eq!((code, message.as_str()), (400, "pod nowhere does not have a host assigned"));
    let (code, message) = refused(&world, "admin", &format!("{PODS}/p/exec?command=sh")).await;
    assert_eq!(code, 400);
    assert_eq!(message, "a container name must be specified for pod p, choose one of: [a b]");
    world.node("gone", 1).await;
    world.pod("lost", "gone", &["a"]).await;
    let (code, message) = refused(&world, "admin", &format!("{PODS}/lost/portforward")).await;
    assert_eq!(code, 500);
    assert_eq!(message, "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused");
    world.stop().await;
}

async fn refused(world: &World, user: &str, path: &str) -> (u16, String) {
    world.send(user, request("POST", path, SPDY, "")).await.failure()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_refused_before_anything_is_dialled() {
    let world = World::start().await;
    world.allow("reader", "pods/exec", &["get"]).await;
    let (code, message) = refused(&world, "nobody", EXEC).await;
    assert_eq!(code, 403);
    assert!(message.contains("cannot create resource \"pods/exec\""), "{message}");
    // A WebSocket starts with GET; that alone must not be enough.
    let error = websocket(&world, "reader", EXEC).await.unwrap_err();
    let tungstenite::Error::Http(response) = error else { panic!("{error}") };
    assert_eq!(response.status(), 403);
    let why = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
    assert!(why.contains("pods \\\"p\\\" is forbidden"), "{why}");
    assert!(world.agent.seen().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_cannot_be_upgraded_are_told_so() {
    let world = World::start().await;
    let plain = world.send("admin", request("POST", EXEC, &[], "")).await.failure();
    assert_eq!(plain, (400, "Upgrade request required".to_owned()));
    let stream = world.connection("admin", b"h2").await;
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("https://proa.example{EXEC}")).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 400);
    let status = response.body_mut().data().await.unwrap().unwrap();
    let status = String::from_utf8_lossy(&status);
    assert!(status.contains("use a new HTTP/1.1 connection"), "{status}");
    assert!(world.agent.seen().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_the_server_ends_tunnels() {
    let world = World::start().await;
    let (_, mut tunnel) = world.upgrade(EXEC).await;
    world.stop().await;
    let mut rest = Vec::new();
    // It may end without TLS' own goodbye.
    let _ = tunnel.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}
