//! `pods/log`.

use crate::world::{World, request};
use futures::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

const LOG: &str = "/api/v1/namespaces/d/pods/p/log";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_arrive_as_they_are_written() {
    let world = World::start().await;
    let mut readers = world.agent.readers();
    let mut response =
        world.open("admin", request("GET", &format!("{LOG}?container=a&follow=true"), &[], "")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain");
    let mut writer = readers.next().await.unwrap();
    for line in ["one\n", "two\n"] {
        writer.send(line.into()).await.unwrap();
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), line);
    }
    drop(response);
    // The client is gone, although nothing is being written: so is the agent's reader.
    while !writer.is_closed() {
        tokio::task::yield_now().await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_end_with_the_container() {
    let world = World::start().await;
    let answer = world.get(&format!("{LOG}?container=a&tailLines=2&insecureSkipTLSVerifyBackend=true")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "one\ntwo\n"));
    let seen = world.agent.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/containerLogs/d/p/a?tailLines=2"));
    let only = world.get("/api/v1/namespaces/d/pods/single/log").await;
    assert_eq!(only.status, 200, "the only container need not be named");
    assert_eq!(world.agent.seen().pop().unwrap().target, "/containerLogs/d/single/a");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_as_upstream_tells_them() {
    let world = World::start().await;
    world.node("gone", 1).await;
    world.pod("lost", "gone", &["a"]).await;
    let pods = "/api/v1/namespaces/d/pods";
    let url = "https://127.0.0.1:1/containerLogs/d/lost/a";
    let table = [
        ("p/log", 400, "a container name must be specified for pod p, choose one of: [a b]".to_owned()),
        ("p/log?container=c", 400, "container c is not valid for pod p".to_owned()),
        ("x/log", 404, "pods \"x\" not found".to_owned()),
        ("p/log?container=b", 400, "previous terminated container \"b\" in pod \"p\" not found".to_owned()),
        (
            "refused/log",
            404,
            "the server could not find the requested resource ( pods/log refused)".to_owned(),
        ),
        ("lost/log", 500, format!("Get \"{url}\": dial tcp 127.0.0.1:1: connect: connection refused")),
    ];
    for (path, code, message) in table {
        assert_eq!(world.get(&format!("{pods}/{path}")).await.failure(), (code, message), "{path}");
    }
    let invalid = world.get(&format!("{pods}/p/log?container=a&tailLines=-1")).await.failure();
    assert_eq!(invalid.0, 422);
    let nowhere = world.get(&format!("{pods}/nowhere/log")).await;
    assert_eq!((nowhere.status.as_u16(), nowhere.text.as_str()), (204, ""));
    let denied = world.send("nobody", request("GET", LOG, &[], "")).await.failure();
    assert_eq!(denied.0, 403);
    let post = world.send("admin", request("POST", LOG, &[], "")).await.failure();
    assert_eq!(post.0, 405);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_carries_a_log_as_messages() {
    let world = World::start().await;
    let stream = world.connection("admin", b"http/1.1").await;
    let mut request = format!("wss://127.0.0.1{LOG}?container=a").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "binary.k8s.io".parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "binary.k8s.io");
    let mut text = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(piece) => text.extend_from_slice(&piece),
            Message::Close(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(String::from_utf8_lossy(&text), "one\ntwo\n");
    world.stop().await;
}
