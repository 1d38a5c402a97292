mod commands;
mod containerd;
mod ports;

use super::testing::client::{ADMIN, As, TestServer, text};
use http_body_util::BodyExt;
use serde_json::Value;
use std::{fs::OpenOptions, io::Write, path::Path};

const ANN: As<'_> = As::Token("good");

#[tokio::test]
async fn only_those_who_may_are_answered() {
    let server = TestServer::start().await;
    assert_eq!(server.ask(As::Anonymous, "GET", "/healthz").await, (401, "Unauthorized".to_owned()));
    assert_eq!(server.ask(As::Token("bad"), "GET", "/healthz").await.0, 401);
    assert_eq!(server.ask(As::Certificate("eve", "people"), "GET", "/healthz").await.0, 403);
    assert_eq!(server.ask(ANN, "GET", "/healthz").await, (200, "ok".to_owned()));
    let text = "Forbidden (user=ann, verb=get, resource=nodes, subresource(s)=[pods proxy])\n";
    assert_eq!(server.ask(ANN, "GET", "/pods").await, (403, text.to_owned()));
    assert_eq!(server.ask(ANN, "POST", "/exec/shop/web/app").await.0, 403);
    assert_eq!(server.ask(ADMIN, "GET", "/pods").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn reviews_are_remembered() {
    let server = TestServer::start().await;
    for _ in 0..3 {
        assert_eq!(server.ask(ANN, "GET", "/metrics").await.0, 200);
    }
    let seen = server.seen.lock().clone();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let asked = &seen[1].body["spec"];
    assert_eq!(asked["groups"], serde_json::json!(["people"]));
    assert_eq!(asked["resourceAttributes"]["subresource"], "metrics");
    // Masters need no review.
    assert_eq!(server.ask(ADMIN, "GET", "/metrics").await.0, 200);
    assert_eq!(server.seen.lock().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn what_the_kubelet_serves_is_served() {
    let server = TestServer::start().await;
    let json = async |path: &str| -> Value {
        let (code, text) = server.ask(ADMIN, "GET", path).await;
        assert_eq!(code, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(json("/pods").await["items"][0]["metadata"]["name"], "web");
    assert_eq!(json("/configz").await["kubeletconfig"]["containerLogMaxSize"], "10Mi");
    let summary = json("/stats/summary").await;
    assert_eq!(summary["node"]["nodeName"], "n1");
    assert_eq!(summary["pods"][0]["containers"][0]["name"], "app");
    for path in ["/metrics", "/metrics/resource", "/metrics/cadvisor"] {
        let (code, text) = server.ask(ADMIN, "GET", path).await;
        assert!(code == 200 && text.starts_with("# HELP "), "{path}: {text}");
    }
    assert_eq!(server.ask(ADMIN, "GET", "/logs/").await.0, 200);
    assert_eq!(server.ask(ADMIN, "GET", "/logs/%2e%2e/etc").await.0, 404);
    assert_eq!(server.ask(ADMIN, "GET", "/secrets").await.0, 404);
    assert_eq!(server.ask(ADMIN, "POST", "/pods").await.0, 405);
    server.stop().await;
}

#[tokio::test]
async fn a_command_without_streams_answers_with_its_output() {
    let server = TestServer::start().await;
    let run = async |cmd: &str| server.ask(ADMIN, "POST", &format!("/run/shop/web/app?cmd={cmd}")).await;
    assert_eq!(run("true").await, (200, "out err".to_owned()));
    assert_eq!(run("exit%207").await, (500, "command 'exit 7' exited with 7: out err".to_owned()));
    assert_eq!(server.ask(ADMIN, "POST", "/run/shop/none/app?cmd=a").await.0, 404);
    assert_eq!(server.ask(ADMIN, "POST", "/run/shop/web/u2/app?cmd=a").await.0, 404);
    server.stop().await;
}

fn write(log: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(log).unwrap();
    writeln!(file, "2024-01-01T00:00:00.5Z stdout F {text}").unwrap();
}

#[tokio::test]
async fn logs_are_served_and_refused_as_the_kubelet_does() {
    let server = TestServer::start().await;
    write(&server.runtime.log, "one");
    write(&server.runtime.log, "two");
    let logs = async |rest: &str| server.ask(ADMIN, "GET", &format!("/containerLogs/shop/{rest}")).await;
    assert_eq!(logs("web/app").await, (200, "one\ntwo\n".to_owned()));
    let last = "2024-01-01T00:00:00.500000000Z two\n";
    assert_eq!(logs("web/app?tailLines=1&timestamps=true").await, (200, last.to_owned()));
    assert_eq!(logs("none/app").await, (404, "pod \"none\" does not exist".to_owned()));
    assert_eq!(logs("web/none").await, (404, "container \"none\" not found in pod \"web\"".to_owned()));
    let waits = "container \"side\" in pod \"web\" is waiting to start: ContainerCreating";
    assert_eq!(logs("web/side").await, (400, waits.to_owned()));
    let none = "previous terminated container \"app\" in pod \"web\" not found";
    assert_eq!(logs("web/app?previous=true").await, (400, none.to_owned()));
    assert_eq!(
        logs("web/app?tailLines=x").await,
        (400, r#"{"message":"Unable to decode query."}"#.to_owned())
    );
    assert_eq!(logs("web/app?tailLines=-1").await, (422, r#"{"message":"Invalid request."}"#.to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn a_followed_log_ends_with_its_container() {
    let server = TestServer::start().await;
    write(&server.runtime.log, "one");
    let mut response = server.send(ADMIN, "GET", "/containerLogs/shop/web/app?follow=true", &[]).await;
    let first = response.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "one\n");
    write(&server.runtime.log, "two");
    server.runtime.end();
    assert_eq!(text(response).await, (200, "two\n".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn shutdown_ends_followed_logs() {
    let server = TestServer::start().await;
    write(&server.runtime.log, "one");
    let mut response = server.send(ADMIN, "GET", "/containerLogs/shop/web/app?follow=true", &[]).await;
    assert!(response.frame().await.unwrap().is_ok());
    server.stop().await;
}
