//! Whatever is asked, the answer is an answer: no request breaks the server or is its fault.

use crate::support::Cluster;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proa_meta::User;
use proa_server::{Body, Caller, Request, Switch};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use std::sync::Arc;

fn path() -> impl Strategy<Value = String> {
    let segments = select(vec![
        "api",
        "apis",
        "toy.example",
        "v1",
        "v2",
        "namespaces",
        "d",
        "toys",
        "boxes",
        "reviews",
        "a",
        "b",
        "status",
        "scale",
        "echo",
        "watch",
        "proxy",
        "",
        ".",
        "..",
        "%2f",
        "%ff",
        "openapi",
        "v3",
        "healthz",
        "version",
        "ä",
    ]);
    let known = select(vec![
        "/apis/toy.example/v1/namespaces/d/toys",
        "/apis/toy.example/v1/namespaces/d/toys/a",
        "/apis/toy.example/v1/namespaces/d/toys/a/status",
        "/apis/toy.example/v1/namespaces/d/toys/a/scale",
        "/apis/toy.example/v1/boxes",
        "/apis/toy.example/v1/reviews",
        "/api/v1/namespaces/d",
    ]);
    let made = prop::collection::vec(segments, 0..8).prop_map(|parts| format!("/{}", parts.join("/")));
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => made]
}

fn query() -> impl Strategy<Value = String> {
    let names = select(vec![
        "watch",
        "limit",
        "continue",
        "labelSelector",
        "fieldSelector",
        "resourceVersion",
        "resourceVersionMatch",
        "timeoutSeconds",
        "allowWatchBookmarks",
        "sendInitialEvents",
        "dryRun",
        "fieldManager",
        "fieldValidation",
        "force",
        "propagationPolicy",
        "gracePeriodSeconds",
        "orphanDependents",
        "pretty",
        "includeObject",
        "timeout",
        "hash",
        "verbose",
        "exclude",
    ]);
    let values = select(vec![
        "",
        "true",
        "0",
        "1",
        "2",
        "-1",
        "x",
        "All",
        "Strict",
        "Ignore",
        "Exact",
        "NotOlderThan",
        "a%3Db",
        "a%20in%20(b",
        "spec.node%3Dn1",
        "metadata.name%3Da",
        "!a",
        "%00",
        "%zz",
        "99999999999999999999",
        "Orphan",
        "None",
        "1s",
        "1ns",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",
    ]);
    prop::collection::vec((names, values), 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    })
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let pairs = select(vec![
        ("accept", "application/json"),
        ("accept", "application/yaml"),
        ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"),
        ("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
        ("accept", "application/json;as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io"),
        ("accept", "application/vnd.kubernetes.protobuf"),
        ("accept", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
        ("accept", "application/vnd.kubernetes.protobuf;stream=watch"),
        ("accept", ";;,=,q=/,*/*;q=x"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/json"),
        ("content-type", "application/yaml"),
        ("content-type", "application/vnd.kubernetes.protobuf"),
        ("content-type", "application/merge-patch+json"),
        ("content-type", "application/json-patch+json"),
        ("content-type", "application/strategic-merge-patch+json"),
        ("content-type", "application/apply-patch+yaml"),
        ("impersonate-user", "jane"),
        ("impersonate-extra-%zz", "x"),
        ("user-agent", "curl/1"),
        ("upgrade", "websocket"),
    ]);
    prop::collection::vec(pairs, 0..4)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let written = select(vec![
        "",
        "null",
        "[]",
        "{",
        "{}",
        r#"{"metadata":{"name":"a"}}"#,
        r#"{"metadata":{"name":"a","resourceVersion":"1","uid":"x","finalizers":["a/b"]}}"#,
        r#"{"apiVersion":"toy.example/v1","kind":"Toy","metadata":{"name":"a"},"spec":{"count":-1,"node":7}}"#,
        r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"a"},"spec":{"replicas":-5}}"#,
        r#"{"metadata":null,"spec":null,"status":[],"kind":[],"apiVersion":{}}"#,
        r#"{"metadata":{"name":"a","labels":{"a":1},"managedFields":[{"fieldsV1":{"f:":7}}],"ownerReferences":{}}}"#,
        r#"[{"op":"remove","path":"/metadata"},{"op":"add","path":"/x/0/-","value":1}]"#,
        r#"[{"op":"move","from":"","path":"/spec"},{"op":"test","path":"/~2","value":null}]"#,
        r#"{"spec":{"$patch":"replace"},"$setElementOrder/x":[1],"metadata":{"$retainKeys":["a"]}}"#,
        r#"{"propagationPolicy":"Foreground","preconditions":{"uid":"u"},"gracePeriodSeconds":-9223372036854775808}"#,
        "a: &a [*a, *b]\nb: !!binary x",
        "k8s\0\n\u{4}\n\u{2}v1",
    ]);
    let cut = (written.clone(), any::<prop::sample::Index>())
        .prop_map(|(text, at)| text.as_bytes()[..at.index(text.len() + 1)].to_vec());
    prop_oneof![4 => written.prop_map(|t| t.as_bytes().to_vec()), 1 => cut, 1 => any::<Vec<u8>>()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_request_is_answered_and_none_is_the_servers_fault() {
    let cluster = Cluster::in_process().await;
    cluster.create_toy(serde_json::json!({"metadata": {"name": "a"}, "spec": {"node": "n1"}})).await;
    let api = cluster.api.clone();
    let handle = tokio::runtime::Handle::current();
    let methods = select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ODD"]);
    let requests = (methods, path(), query(), headers(), body());
    let mut runner = TestRunner::deterministic();
    let search = move || {
        for _ in 0..20_000 {
            let (method, path, query, pairs, body) =
                requests.new_tree(&mut runner).expect("strategies reject nothing").current();
            let Ok(uri) = format!("{path}?{query}").parse() else { continue };
            let mut headers = HeaderMap::new();
            for (name, value) in &pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let request = Request {
                method: Method::from_bytes(method.as_bytes()).unwrap(),
                uri,
                headers,
                body: Bytes::from(body.clone()),
                caller: Caller::InProcess(Arc::new(User::new("tester", &["testers"]))),
                switch: Switch::Impossible,
            };
            let response = handle.block_on(api.call(request));
            let shown = String::from_utf8_lossy(&body);
            let what = format!("{method} {path}?{query} {pairs:?} {shown}");
            let code = response.status.as_u16();
            // 504 is the answer to a revision that is not there yet.
            assert!(code < 500 || code == 504, "{code}: {what}: {:?}", text(&response.body));
        }
    };
    tokio::task::spawn_blocking(search).await.unwrap();
    assert_eq!(cluster.get("/readyz").await.status, 200);
}

fn text(body: &Body) -> String {
    match body {
        Body::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Chunks(_) | Body::Stream(_) | Body::Upgrade(_) => String::new(),
    }
}
