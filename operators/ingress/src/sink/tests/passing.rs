//! What becomes of requests on their way to a backend, and of those that reach none.

use super::world::{PATIENCE, World, all, backend, echo, get, rule};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, channel::mpsc};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn backends_hear_who_asks_and_not_what_clients_claim() {
    let mut world = World::start().await;
    world.ingress("a", &[], all("a.example", "web"));
    world.service("web", &[echo("web").await]);
    world.apply().await;
    let mut request = get("A.example:8080", "/x/../y%20z?q=1");
    for (name, value) in
        [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("connection", "close")]
    {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let told = world.connect().await.send(request).await.told();
    assert_eq!(told["uri"], "/x/../y%20z?q=1", "the path is passed on as it was written");
    let headers = &told["headers"];
    assert_eq!(headers["host"], "a.example:8080");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!((&headers["x-forwarded-proto"], &headers["x-real-ip"]), (&json!("http"), &json!("127.0.0.1")));
    assert_eq!(
        (&headers["x-forwarded-host"], &headers["connection"]),
        (&json!("a.example:8080"), &json!(null))
    );
}

#[tokio::test]
async fn what_leads_nowhere_is_answered_as_people_know_it() {
    let mut world = World::start().await;
    let paths = [("/none", "Prefix", "none"), ("/dead", "Prefix", "dead"), ("/slow", "Prefix", "slow")];
    let spec = json!({"rules": [rule("a.example", &paths)]});
    world.ingress("a", &[("proxy-read-timeout", "1"), ("proxy-body-size", "8")], Some(spec));
    let (slow, _) = backend(|_| std::future::pending::<Response<Full<Bytes>>>()).await;
    let (dead, task) = backend(|_| async { Response::new(Full::<Bytes>::default()) }).await;
    task.abort();
    world.service("none", &[]);
    world.service("dead", &[dead]);
    world.service("slow", &[slow]);
    world.apply().await;
    for (host, path, status) in [
        ("a.example", "/", 404),
        ("b.example", "/none", 404),
        ("a.example", "/%zz", 400),
        ("a.example", "/none", 503),
        ("a.example", "/dead", 502),
        ("a.example", "/slow", 504),
    ] {
        let reply = world.get(host, path).await;
        assert_eq!(reply.status.as_u16(), status, "{host}{path}");
        assert!(reply.text.contains(&format!("<title>{status} ")), "{}", reply.text);
    }
    let large = Request::post("/slow").header("host", "a.example").body(Full::from("123456789")).unwrap();
    assert_eq!(world.connect().await.send(large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn bodies_without_length_are_counted_as_they_come() {
    let mut world = World::start().await;
    world.ingress("a", &[("proxy-body-size", "8")], all("a.example", "web"));
    world.service("web", &[echo("web").await]);
    world.apply().await;
    for (parts, status) in [(2, 200), (3, 413)] {
        let chunks =
            futures::stream::iter((0..parts).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from("1234")))));
        let stream = TcpStream::connect(world.http().await).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        world.spawn(async move { drop(connection.await) });
        let request = Request::post("/").header("host", "a.example").body(StreamBody::new(chunks)).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), status, "{parts} parts");
    }
}

#[tokio::test]
async fn bodies_flow_both_ways_at_once() {
    let mut world = World::start().await;
    world.ingress("a", &[], all("a.example", "web"));
    let (address, _) =
        backend(|request: Request<Incoming>| async { Response::new(request.into_body()) }).await;
    world.service("web", &[address]);
    world.apply().await;
    let stream = TcpStream::connect(world.http().await).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    world.spawn(async move { drop(connection.await) });
    let (mut up, chunks) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::post("/").header("host", "a.example").body(StreamBody::new(chunks)).unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request).await.unwrap().into_body() });
    up.send(Ok(Frame::data(Bytes::from("first")))).await.unwrap();
    let mut down = timeout(PATIENCE, answer).await.unwrap().unwrap();
    for text in ["first", "second"] {
        let frame = timeout(PATIENCE, down.frame()).await.expect("it comes before the request ends");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), text);
        up.send(Ok(Frame::data(Bytes::from("second")))).await.unwrap();
    }
}

#[tokio::test]
async fn paths_are_rewritten_by_their_groups() {
    let mut world = World::start().await;
    let spec = json!({"rules": [rule("a.example", &[("/api(/|$)(.*)", "ImplementationSpecific", "web")])]});
    world.ingress("a", &[("use-regex", "true"), ("rewrite-target", "/$2")], Some(spec));
    let spec = json!({"rules": [rule("b.example", &[("/old", "Prefix", "web")])]});
    world.ingress("b", &[("rewrite-target", "/new")], Some(spec));
    world.service("web", &[echo("web").await]);
    world.apply().await;
    for (host, path, uri) in [
        ("a.example", "/api/v1/x%20y?q=1", "/v1/x%20y?q=1"),
        ("a.example", "/API", "/"),
        ("b.example", "/old/more", "/new"),
    ] {
        assert_eq!(world.get(host, path).await.told()["uri"], uri, "{host}{path}");
    }
    assert_eq!(world.get("a.example", "/apis").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get("b.example", "/older").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_websocket_goes_through() {
    let mut world = World::start().await;
    world.ingress("a", &[], all("a.example", "web"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.service("web", &[listener.local_addr().unwrap()]);
    world.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    world.apply().await;
    let stream = TcpStream::connect(world.http().await).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://a.example/chat", stream).await.unwrap();
    // Routes that go do not end what runs.
    world.ingress("a", &[], all("other.example", "web"));
    world.apply().await;
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        let back = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(back.into_text().unwrap().as_str(), text);
    }
}

/// A tunnel to a backend that says one line and then does with its side what it is told to.
async fn tunnel(world: &mut World, ends: bool) -> TcpStream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.ingress("a", &[("proxy-read-timeout", "1")], all("a.example", "web"));
    world.service("web", &[listener.local_addr().unwrap()]);
    world.apply().await;
    world.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        let said =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\nhello\n";
        stream.write_all(said).await.unwrap();
        if ends {
            stream.shutdown().await.unwrap();
        }
        // What comes from the client, up to its end.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        drop(stream);
        std::future::pending::<()>().await;
    });
    let mut stream = TcpStream::connect(world.http().await).await.unwrap();
    let asked = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    stream
}

#[tokio::test]
async fn a_tunnel_ends_when_nothing_moves_and_when_a_side_ends() {
    for ends in [false, true] {
        let mut world = World::start().await;
        let mut stream = tunnel(&mut world, ends).await;
        let mut told = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut told)).await.expect("the tunnel ends").unwrap();
        assert!(told.starts_with("HTTP/1.1 101 ") && told.ends_with("hello\n"), "{told}");
    }
}

#[tokio::test]
async fn clients_from_other_networks_are_kept_out() {
    let mut world = World::start().await;
    world.ingress("a", &[("whitelist-source-range", "10.0.0.0/8")], all("a.example", "web"));
    world.ingress("b", &[("auth-url", "http://login/")], all("b.example", "web"));
    world.ingress("c", &[("denylist-source-range", "127.0.0.1")], all("c.example", "web"));
    world.service("web", &[echo("web").await]);
    world.apply().await;
    assert_eq!(world.get("a.example", "/").await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get("b.example", "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.get("c.example", "/").await.status, StatusCode::FORBIDDEN);
}
