//! Watches: frames, bookmarks, tables, ends.

use crate::support::{Cluster, request};
use futures::StreamExt;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

mod ways {
    crate::both_ways!(events, streaming_lists, other_shapes, ends, one_object, clients_that_go);
}

const TOYS: &str = "/apis/toy.example/v1/namespaces/d/toys";

/// Lines of a watch as they come.
struct Lines {
    body: futures::stream::BoxStream<'static, Vec<u8>>,
    held: Vec<u8>,
}

impl Lines {
    async fn open(cluster: &Cluster, path: &str, accept: &str) -> Self {
        let request = request("GET", path, &[("accept", accept)], "");
        let response = cluster.client("tester").send(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        let body: Body = response.into_body();
        let body = body.into_data_stream().map(|piece| piece.expect("a piece").to_vec()).boxed();
        Self { body, held: Vec::new() }
    }
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.held.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            let piece = self.body.next().await?;
            self.held.extend_from_slice(&piece);
        }
    }
    async fn event(&mut self) -> (String, Value) {
        let mut event = self.next().await.expect("an event");
        (event["type"].as_str().expect("typed").to_owned(), event["object"].take())
    }
}

async fn events(cluster: &Cluster) {
    let made = cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"node": "n1"}})).await.json();
    let mut all = Lines::open(cluster, &format!("{TOYS}?watch=true"), "application/json").await;
    let (kind, object) = all.event().await;
    assert_eq!((kind.as_str(), &object), ("ADDED", &made));
    let selected = format!("{TOYS}?watch=true&fieldSelector=spec.node%3Dn1");
    let mut on_n1 = Lines::open(cluster, &selected, "application/json").await;
    assert_eq!(on_n1.event().await.0, "ADDED");
    let patch = [("content-type", "application/merge-patch+json")];
    let moved = cluster.send("PATCH", &format!("{TOYS}/a"), &patch, r#"{"spec":{"node":"n2"}}"#).await.json();
    assert_eq!(all.event().await, ("MODIFIED".to_owned(), moved.clone()));
    let (kind, object) = on_n1.event().await;
    assert_eq!(
        (kind.as_str(), &object["metadata"]["resourceVersion"]),
        ("DELETED", &moved["metadata"]["resourceVersion"])
    );
    cluster.send("DELETE", &format!("{TOYS}/a"), &[], "").await;
    let (kind, object) = all.event().await;
    assert_eq!(kind, "DELETED");
    let version = |o: &Value| o["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(version(&object) > version(&moved));
    let resumed = format!("{TOYS}?watch=true&resourceVersion={}", version(&made));
    let mut resumed = Lines::open(cluster, &resumed, "application/json").await;
    assert_eq!(resumed.event().await.0, "MODIFIED");
    assert_eq!(resumed.event().await.0, "DELETED");
}

async fn streaming_lists(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "a"}})).await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = Lines::open(cluster, &format!("{TOYS}?{query}"), "application/json").await;
    assert_eq!(lines.event().await.0, "ADDED");
    let (kind, object) = lines.event().await;
    assert_eq!(kind, "BOOKMARK");
    assert_eq!(object["kind"], "Toy");
    assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > 0);
}

async fn other_shapes(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"node": "n1"}})).await;
    let path = format!("{TOYS}?watch=true");
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut lines = Lines::open(cluster, &path, table).await;
    let (_, first) = lines.event().await;
    assert_eq!((&first["kind"], &first["rows"][0]["cells"][1]), (&json!("Table"), &json!("n1")));
    assert_eq!(first["columnDefinitions"].as_array().unwrap().len(), 3);
    cluster.create_toy(json!({"metadata": {"name": "b"}})).await;
    let (_, second) = lines.event().await;
    assert_eq!(second["columnDefinitions"], Value::Null, "columns are sent once");
    let partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let mut lines = Lines::open(cluster, &path, partial).await;
    let (_, object) = lines.event().await;
    assert_eq!((&object["kind"], object.get("spec")), (&json!("PartialObjectMetadata"), None));
}

async fn ends(cluster: &Cluster) {
    let made = cluster.create_toy(json!({"metadata": {"name": "a"}})).await.json();
    let mut lines =
        Lines::open(cluster, &format!("{TOYS}?watch=true&timeoutSeconds=1"), "application/json").await;
    assert_eq!(lines.event().await.0, "ADDED");
    assert!(lines.next().await.is_none(), "the watch ends after its time");
    assert!(made["metadata"]["resourceVersion"].is_string());
    let yaml = cluster.get_as("application/yaml", &format!("{TOYS}?watch=true")).await;
    assert_eq!(yaml.status, 406);
}

async fn one_object(cluster: &Cluster) {
    for name in ["a", "b"] {
        cluster.create_toy(json!({"metadata": {"name": name}})).await;
    }
    let path = format!("{TOYS}?watch=true&fieldSelector=metadata.name%3Db");
    let mut lines = Lines::open(cluster, &path, "application/json").await;
    assert_eq!(lines.event().await.1["metadata"]["name"], "b");
    let old_form = "/apis/toy.example/v1/watch/namespaces/d/toys/a";
    let mut lines = Lines::open(cluster, old_form, "application/json").await;
    assert_eq!(lines.event().await.1["metadata"]["name"], "a");
}

/// A listener that stops ends its watches instead of waiting for their clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_watches() {
    let cluster = Cluster::over_tls().await;
    let mut lines = Lines::open(&cluster, &format!("{TOYS}?watch=true"), "application/json").await;
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stops");
    assert!(lines.next().await.is_none());
}

/// A client that goes ends its watch although no event comes.
async fn clients_that_go(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "a"}})).await;
    let mut lines = Lines::open(cluster, &format!("{TOYS}?watch=true"), "application/json").await;
    assert_eq!(lines.event().await.0, "ADDED");
    let open = "apiserver_registered_watchers{group=\"toy.example\",version=\"v1\",kind=\"Toy\"} ";
    let watchers = async || {
        let metrics = cluster.get("/metrics").await.text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(open)).map(str::to_owned);
        line.unwrap_or_default()
    };
    assert_eq!(watchers().await, "1");
    drop(lines);
    while watchers().await != "0" {
        tokio::task::yield_now().await;
    }
}
