//! A streaming server as a runtime has it: SPDY, with commands that are functions here.

use crate::server::streams::spdy::{self, Connection};
use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proa_meta::spdy::{Event, Headers, Role};
use serde_json::json;
use std::{collections::BTreeMap, convert::Infallible};
use tokio::{net::TcpListener, sync::mpsc};

/// How much the command `source` writes.
pub(crate) const SOURCE: usize = 8 << 20;

/// Starts it and returns its URL. It ends with the test's runtime.
pub(crate) async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    format!("http://{address}")
}

type Body = http_body_util::Either<Full<Bytes>, Empty<Bytes>>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let offered = request.headers().get("x-stream-protocol-version").cloned();
    if path.ends_with("refuse") {
        let refusal = Response::builder().status(404).body(Body::Left("no such container".into()));
        return Ok(refusal.unwrap());
    }
    assert_eq!(request.headers()["upgrade"], "SPDY/3.1");
    tokio::spawn(async move {
        let io = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let (connection, events) = spdy::start(io, Role::Server);
        if path.starts_with("/portforward/") {
            forward(&connection, events).await;
        } else {
            let mut parts = path.split('/').skip(3);
            let streams = parts.next().unwrap().parse().unwrap();
            command(connection, events, streams, parts.next().unwrap()).await;
        }
    });
    let mut response =
        Response::builder().status(101).header("connection", "Upgrade").header("upgrade", "SPDY/3.1");
    if let Some(protocol) = offered {
        response = response.header("x-stream-protocol-version", protocol);
    }
    Ok(response.body(Body::Right(Empty::new())).unwrap())
}

fn header<'a>(headers: &'a Headers, name: &str) -> &'a str {
    headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
}

/// A command with its streams by name.
async fn command(connection: Connection, mut events: mpsc::Receiver<Event>, count: usize, name: &str) {
    let mut streams = BTreeMap::new();
    while streams.len() < count {
        let Some(Event::Opened { id, headers, .. }) = events.recv().await else { return };
        streams.insert(header(&headers, "streamtype").to_owned(), id);
        connection.reply(id).unwrap();
    }
    let stream = |name: &str| streams.get(name).copied().unwrap_or_default();
    let (stdin, stdout, error) = (stream("stdin"), stream("stdout"), stream("error"));
    let mut status = json!({"metadata": {}, "status": "Success"});
    let say = |text: String| connection.send(stdout, text.into(), false);
    match name {
        "cat" => {
            while let Some((data, fin)) = next_of(&mut events, stdin).await {
                if connection.send(stdout, data, false).await.is_err() || fin {
                    break;
                }
            }
        }
        "count" => {
            let mut total = 0;
            while let Some((data, fin)) = next_of(&mut events, stdin).await {
                total += data.len();
                if fin {
                    break;
                }
            }
            say(total.to_string()).await.unwrap();
        }
        "source" => {
            for _ in 0..SOURCE / (32 << 10) {
                if connection.send(stdout, vec![7; 32 << 10].into(), false).await.is_err() {
                    return;
                }
            }
        }
        "size" => {
            let (data, _) = next_of(&mut events, stream("resize")).await.unwrap();
            connection.send(stdout, data, false).await.unwrap();
        }
        "exit" => {
            status = json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": "command terminated with non-zero exit code: exit code 3",
                "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
            });
        }
        "die" => return,
        other => panic!("no command {other:?}"),
    }
    // The client may be gone.
    let _ = connection.send(error, status.to_string().into(), true).await;
    finish(connection, events).await;
}

/// As the programs of Kubernetes: says goodbye and closes.
async fn finish(connection: Connection, mut events: mpsc::Receiver<Event>) {
    connection.close();
    while events.recv().await.is_some() {}
}

async fn next_of(events: &mut mpsc::Receiver<Event>, stream: u32) -> Option<(Bytes, bool)> {
    loop {
        match events.recv().await? {
            Event::Data { id, data, fin } if id == stream => return Some((data, fin)),
            Event::GoingAway { .. } => return None,
            _ => {}
        }
    }
}

/// Ports whose program sends back what it is sent after its own number, until `bye`; port 1 refuses.
async fn forward(connection: &Connection, mut events: mpsc::Receiver<Event>) {
    let mut errors = BTreeMap::new();
    let mut ports = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Opened { id, headers, .. } => {
                connection.reply(id).unwrap();
                let (port, request) = (header(&headers, "port"), header(&headers, "requestid").to_owned());
                if header(&headers, "streamtype") == "error" {
                    errors.insert(request, id);
                } else if port == "1" {
                    connection.send(errors[&request], "connection refused".into(), true).await.unwrap();
                    connection.send(id, Bytes::new(), true).await.unwrap();
                } else {
                    connection.send(id, format!("{port}:").into(), false).await.unwrap();
                    ports.insert(id, request);
                }
            }
            Event::Data { id, data, .. } if ports.contains_key(&id) => {
                let ends = data.ends_with(b"bye");
                connection.send(id, data, ends).await.unwrap();
                if ends {
                    connection.send(errors[&ports[&id]], Bytes::new(), true).await.unwrap();
                }
            }
            _ => {}
        }
    }
}
