//! Watches over WebSocket.

use crate::support::Cluster;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

const WATCH: &str = "wss://a/apis/toy.example/v1/namespaces/d/toys?watch=1";

async fn connect(
    cluster: &Cluster,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<(WebSocketStream<TlsStream<TcpStream>>, http::HeaderMap), Error> {
    let stream = cluster.connection("tester", &[b"http/1.1"]).await;
    let mut request = format!("{WATCH}{query}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    Ok((socket, response.headers().clone()))
}

async fn event(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> Value {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
        other => panic!("an event is a text: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_of_a_watch_is_a_message() {
    let cluster = Cluster::over_tls().await;
    for name in ["a", "b"] {
        cluster.create_toy(json!({"metadata": {"name": name}})).await;
    }
    let protocol = [("sec-websocket-protocol", "base64.binary.k8s.io")];
    let (mut socket, headers) = connect(&cluster, "", &protocol).await.unwrap();
    assert_eq!(headers["sec-websocket-protocol"], "base64.binary.k8s.io");
    assert!(headers.contains_key("audit-id"));
    for name in ["a", "b"] {
        let event = event(&mut socket).await;
        assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
    }
    cluster.create_toy(json!({"metadata": {"name": "c"}})).await;
    assert_eq!(event(&mut socket).await["object"]["metadata"]["name"], "c");
    socket.send(Message::Ping(b"x".as_slice().into())).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Pong(_)))));
    socket.close(None).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_close(), "{message:?}");
    }

    let (mut short, _) = connect(&cluster, "&timeoutSeconds=1", &[]).await.unwrap();
    let mut last = None;
    while let Some(Ok(message)) = short.next().await {
        last = Some(message);
    }
    assert!(matches!(last, Some(Message::Close(_))), "{last:?}");
    let (mut binary, _) =
        connect(&cluster, "", &[("accept", "application/vnd.kubernetes.protobuf;stream=watch")])
            .await
            .unwrap();
    assert!(
        matches!(binary.next().await, Some(Ok(Message::Binary(bytes))) if bytes.starts_with(b"\n\x05ADDED"))
    );
    let refused = connect(&cluster, "&labelSelector=a%20b%20c", &[]).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 400));
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stops");
}
