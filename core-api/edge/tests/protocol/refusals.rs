//! Who and what is refused, in which order, and that no input breaks the server.

use crate::{
    support::{Cluster, send},
    toys::registry_at,
};
use serde_json::json;
use std::sync::atomic::{AtomicI64, Ordering};

mod ways {
    crate::both_ways!(strangers, identities, order, malformed_bodies, unknown_paths, panics);
}

const TOYS: &str = "/apis/toy.example/v1/namespaces/d/toys";

async fn strangers(cluster: &Cluster) {
    let nobody = cluster.client("nobody");
    let answer = send(&nobody, "GET", TOYS, &[], "").await;
    assert_eq!(
        answer.message(),
        (
            403,
            "toys.toy.example is forbidden: User \"nobody\" cannot list resource \"toys\" in API group \
             \"toy.example\" in the namespace \"d\""
                .to_owned()
        )
    );
    assert_eq!(answer.json()["details"], json!({"group": "toy.example", "kind": "toys"}));
    let answer = send(&nobody, "GET", "/x", &[], "").await;
    assert_eq!(answer.message(), (403, "forbidden: User \"nobody\" cannot get path \"/x\"".to_owned()));
    let named = send(&nobody, "GET", &format!("{TOYS}?fieldSelector=metadata.name%3Da"), &[], "").await;
    assert!(named.message().1.starts_with("toys.toy.example \"a\" is forbidden"));
}

async fn identities(cluster: &Cluster) {
    let review = |headers| cluster.send("POST", "/apis/toy.example/v1/reviews", headers, "{}");
    let answer = review(&[("impersonate-user", "jane"), ("impersonate-group", "g")]).await.json();
    assert_eq!(
        (&answer["status"]["by"], &answer["status"]["groups"]),
        (&json!("jane"), &json!(["g", "system:authenticated"]))
    );
    assert_eq!(review(&[("impersonate-group", "g")]).await.status, 400);
    let editor = cluster.client("editor");
    let refused = send(&editor, "GET", TOYS, &[("impersonate-user", "jane")], "").await;
    assert_eq!(
        refused.message(),
        (
            403,
            "users \"jane\" is forbidden: User \"editor\" cannot impersonate resource \"users\" in API group \"\" \
             at the cluster scope"
                .to_owned()
        )
    );
    let Some(bare) = cluster.bare_client() else { return };
    assert_eq!(send(&bare, "GET", "/version", &[], "").await.status, 200);
    let anonymous = send(&bare, "GET", TOYS, &[], "").await;
    assert!(anonymous.message().1.contains("User \"system:anonymous\""));
    let wrong = send(&bare, "GET", TOYS, &[("authorization", "Bearer wrong")], "").await;
    assert_eq!(wrong.message(), (401, "Unauthorized".to_owned()));
    assert_eq!(wrong.json()["reason"], "Unauthorized");
    let bearer = [("authorization", "Bearer right")];
    let robot = send(&bare, "POST", "/apis/toy.example/v1/reviews", &bearer, "{}").await.json();
    assert_eq!(
        (&robot["status"]["by"], &robot["status"]["groups"]),
        (&json!("robot"), &json!(["robots", "system:authenticated"]))
    );
    let says = [("x-remote-user", "nobody")];
    assert_eq!(cluster.send("GET", TOYS, &says, "").await.status, 200, "only front proxies are believed");
    for (want, name) in [("User \"nobody\"", "front"), ("Unauthorized", "other")] {
        let front = cluster.front_client(name).expect("over TLS");
        let answer = send(&front, "GET", TOYS, &says, "").await.message();
        assert!(answer.1.contains(want), "{name}: {answer:?}");
    }
    let silent = cluster.front_client("front").expect("over TLS");
    let answer = send(&silent, "GET", TOYS, &[], "").await.message();
    assert!(answer.1.contains("User \"system:anonymous\""), "its own certificate is nobody's: {answer:?}");
}

/// Connections outlive certificates, whose end is seen with each request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_end_while_their_connections_live() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let now = || jiff::Timestamp::from_second(NOW.load(Ordering::Relaxed)).expect("a time");
    let cluster = Cluster::over_tls_with(|config| config.registry = registry_at(now)).await;
    let clients = [cluster.client("tester"), cluster.front_client("front").expect("over TLS")];
    let says = [("x-remote-user", "tester")];
    for client in &clients {
        assert_eq!(send(client, "GET", TOYS, &says, "").await.status, 200);
    }
    let indirect = cluster.indirect_client("tester");
    assert_eq!(send(&indirect, "GET", TOYS, &[], "").await.status, 200);
    // The year 3500: who vouched for the certificate is gone, the certificate itself is not.
    NOW.store(48_282_000_000, Ordering::Relaxed);
    assert_eq!(send(&indirect, "GET", TOYS, &[], "").await.status, 401);
    assert_eq!(send(&clients[0], "GET", TOYS, &[], "").await.status, 200);
    // The year 5000.
    NOW.store(95_617_584_000, Ordering::Relaxed);
    for client in &clients {
        assert_eq!(send(client, "GET", TOYS, &says, "").await.message(), (401, "Unauthorized".to_owned()));
    }
    let bearer = [("authorization", "Bearer right")];
    assert_eq!(send(&clients[0], "GET", TOYS, &bearer, "").await.status, 200, "the token is good");
    tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stops");
}

/// A request with every fault is refused by the first stage; each fault taken away shows the next one.
async fn order(cluster: &Cluster) {
    let nobody = cluster.client("nobody");
    let tester = cluster.client("tester");
    let code = |client, path: &'static str, headers, body: String| async move {
        let answer = send(client, "POST", path, headers, body).await;
        (answer.status.as_u16(), answer.message().1)
    };
    const UNKNOWN: &str = "/apis/toy.example/v1/namespaces/d/zzz?dryRun=no";
    let groups_only: &[(&str, &str)] = &[("impersonate-group", "g")];
    let as_jane: &[(&str, &str)] = &[("impersonate-user", "jane")];
    let large = "x".repeat(3 * 1024 * 1024 + 1);
    let slow = "/apis/toy.example/v1/namespaces/d/zzz?dryRun=no&timeout=x";
    // The listener bounds bodies before the core sees the request.
    if !cluster.is_network() {
        let deadline = code(&nobody, slow, groups_only, large.clone()).await;
        assert!(deadline.1.starts_with("invalid timeout"), "deadline: {deadline:?}");
    }
    let limit = code(&nobody, UNKNOWN, groups_only, large).await;
    assert_eq!(limit, (413, "Request entity too large: limit is 3145728".to_owned()), "limits");
    let impersonation = code(&nobody, UNKNOWN, groups_only, String::new()).await;
    assert!(impersonation.1.contains("without impersonating a user"), "impersonation: {impersonation:?}");
    let impersonation = code(&nobody, UNKNOWN, as_jane, String::new()).await;
    assert!(impersonation.1.contains("cannot impersonate"), "impersonation: {impersonation:?}");
    let authorization = code(&nobody, UNKNOWN, &[], String::new()).await;
    assert_eq!(authorization.0, 403, "authorization before routing");
    let routing = send(&tester, "POST", UNKNOWN, &[], "").await;
    assert_eq!(routing.status, 404);
    const OPTIONS: &str = "/apis/toy.example/v1/namespaces/d/toys?dryRun=no";
    let negotiation = send(&tester, "POST", OPTIONS, &[("accept", "image/png")], "{").await;
    assert_eq!(negotiation.status, 406, "negotiation before options");
    assert_eq!(code(&tester, OPTIONS, &[], "{".to_owned()).await.0, 422, "options before the body");
    let body = code(&tester, TOYS, &[], "{".to_owned()).await;
    assert_eq!(body.0, 400, "{body:?}");
}

async fn malformed_bodies(cluster: &Cluster) {
    let deep =
        format!("{{\"metadata\":{{\"name\":\"a\"}},\"spec\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let wide = "[".repeat(1 << 20);
    for (kind, body) in [
        ("application/json", ""),
        ("application/json", "[]"),
        ("application/json", "\"x\""),
        ("application/json", "{\"metadata\":{\"name\":5}}"),
        ("application/json", "{\"metadata\":{\"name\":\"a\"},\"spec\":\"x\"}"),
        (
            "application/json",
            "{\"kind\":\"Box\",\"apiVersion\":\"toy.example/v1\",\"metadata\":{\"name\":\"a\"}}",
        ),
        ("application/json", "{\"kind\":\"Toy\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}"),
        ("application/json", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}"),
        ("application/json", &deep),
        ("application/json", &wide),
        ("application/yaml", "a: [b"),
        ("application/yaml", "a: &a [*a]"),
        ("application/yaml", "\u{0}"),
        ("application/vnd.kubernetes.protobuf", "k8s\0\u{7f}"),
        ("application/vnd.kubernetes.protobuf", "{}"),
    ] {
        let answer = cluster.send("POST", TOYS, &[("content-type", kind)], body.to_owned()).await;
        let shown = &body[..body.len().min(60)];
        assert_eq!(answer.status, 400, "{kind} {shown}: {}", answer.text());
        assert_eq!(answer.json()["kind"], "Status", "{shown}");
    }
    let nothing = cluster.send("POST", TOYS, &[("content-type", "application/json")], "null").await;
    assert_eq!(nothing.status, 422, "null is an object without members, as upstream: {}", nothing.text());
    for kind in ["application/cbor", "text/plain"] {
        let answer = cluster.send("POST", TOYS, &[("content-type", kind)], "x").await;
        assert_eq!(
            answer.message(),
            (
                415,
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json, application/yaml, application/vnd.kubernetes.protobuf"
                    .to_owned()
            )
        );
    }
    let invalid = cluster.send("POST", TOYS, &[], r#"{"metadata":{"name":"A_"}}"#).await;
    assert_eq!((invalid.status.as_u16(), &invalid.json()["reason"]), (422, &json!("Invalid")));
}

async fn unknown_paths(cluster: &Cluster) {
    for path in [
        "/api/v2",
        "/apis/toy.example/v9",
        "/apis/toy.example/v1/zzz",
        "/apis/toy.example/v1/namespaces/d/boxes",
        "/apis/toy.example/v1/toys/a",
        "/apis/toy.example/v1/namespaces/d/toys/a/nope",
    ] {
        let answer = cluster.get(path).await;
        let text = "the server could not find the requested resource";
        assert_eq!(answer.message(), (404, text.to_owned()), "{path}: below what is built in");
    }
    const NOTHING: &str = "404 page not found\n";
    for (path, text) in [
        ("/nope", NOTHING),
        ("/apis/nope", NOTHING),
        ("/openapi/v3/apis/nope/v1", ""),
        ("/healthz/nope", NOTHING),
    ] {
        let answer = cluster.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (404, text), "{path}");
    }
    for (method, path) in [("POST", "/version"), ("DELETE", "/apis"), ("POST", "/apis/toy.example/v1/toys")] {
        let answer = cluster.send(method, path, &[], "{}").await;
        assert_eq!(
            answer.message(),
            (405, "the server does not allow this method on the requested resource".to_owned()),
            "{method} {path}"
        );
    }
}

async fn panics(cluster: &Cluster) {
    let answer = cluster.get("/panic").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["reason"], "InternalError");
    assert!(!answer.text().contains("asked to"), "a panic's text stays in the log");
    assert_eq!(cluster.get("/version").await.status, 200, "the server goes on");
}
