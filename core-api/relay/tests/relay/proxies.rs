//! `pods/proxy`, `services/proxy`, `nodes/proxy`.

use crate::{
    agent::Agent,
    world::{Answer, POD_IP, World, request},
};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

const D: &str = "/api/v1/namespaces/d";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_paths_and_bodies_reach_a_pod() {
    let world = World::start().await;
    let backend = Agent::start(None).await;
    world.reachable("web", backend.address.port()).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let path = format!("{D}/pods/web/proxy/a%2Fb//c/?x=1&y=%20");
        let answer = world.send("admin", request(method, &path, &[("accept", "a/b")], "body")).await;
        let target = "/a%2Fb//c/?x=1&y=%20";
        let want = json!({"method": method, "target": target, "host": "proa.example", "body": "body"});
        assert_eq!(answer.json(), want);
    }
    let seen = backend.seen().pop().unwrap();
    assert_eq!(seen.headers["x-forwarded-uri"], format!("{D}/pods/web/proxy/a%2Fb//c/"));
    assert_eq!(seen.headers["accept"], "a/b");
    let head = world.send("admin", request("HEAD", &format!("{D}/pods/web/proxy/x"), &[], "")).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert_ne!(head.headers["content-length"], "0");
    assert_eq!(backend.seen().pop().unwrap().method, "HEAD");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_back_as_they_are_but_for_redirects() {
    let world = World::start().await;
    let backend = Agent::start(None).await;
    world.reachable("web", 1).await;
    let proxy = format!("{D}/pods/http:web:{}/proxy", backend.address.port());
    let teapot = world.get(&format!("{proxy}/teapot")).await;
    assert_eq!((teapot.status.as_u16(), teapot.text.as_str()), (418, "short and stout"));
    assert_eq!(teapot.headers["content-length"], "15");
    let page = world.get(&format!("{proxy}/page")).await;
    assert_eq!(page.text, format!("<a href='{proxy}/other'>other</a>"));
    let moved = world.get(&format!("{proxy}/moved")).await;
    assert_eq!(moved.status, 302);
    assert_eq!(moved.headers["location"], format!("{proxy}/elsewhere?a=b"));
    assert!(!moved.headers.contains_key("access-control-allow-origin"));
    let bare = world.get(&format!("{proxy}?q=1")).await;
    assert_eq!(bare.status, 301);
    assert_eq!(bare.headers["location"], format!("{proxy}/?q=1"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_pass_through_a_proxy() {
    let world = World::start().await;
    let backend = Agent::start(None).await;
    world.reachable("web", backend.address.port()).await;
    let stream = world.connection("admin", b"http/1.1").await;
    let request = format!("wss://127.0.0.1{D}/pods/web/proxy/chat?a=b").into_client_request().unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    assert_eq!(backend.seen().pop().unwrap().target, "/chat?a=b");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ready_endpoint_of_a_service_gets_the_request() {
    let world = World::start().await;
    let backend = Agent::start(None).await;
    let ports = json!([{"name": "web", "port": 80}, {"name": "other", "port": 81}]);
    world.create("namespaces/d/services", json!({"metadata": {"name": "s"}, "spec": {"ports": ports}})).await;
    let unavailable = |answer: Answer| answer.failure();
    let none = (503, "no endpoints available for service \"s\"".to_owned());
    assert_eq!(unavailable(world.get(&format!("{D}/services/s:web/proxy/")).await), none);
    world.reachable("web", 1).await;
    let pod = |name: &str| json!({"kind": "Pod", "name": name, "namespace": "d"});
    let slice = json!({
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "ports": [{"name": "web", "port": backend.address.port(), "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.9.9.8"], "conditions": {"ready": false}},
            {"addresses": ["10.9.9.9"], "targetRef": pod("gone")},
            {"addresses": ["10.1.2.3"], "targetRef": pod("web")},
        ],
    });
    let slices = "/apis/discovery.k8s.io/v1/namespaces/d/endpointslices";
    world.write("POST", slices, slice).await;
    // Not ready, without its pod, not the address of its pod.
    assert_eq!(unavailable(world.get(&format!("{D}/services/s:web/proxy/")).await), none);
    let ready = json!({"endpoints": [{"addresses": [POD_IP], "targetRef": pod("web")}]});
    world.write("PATCH", &format!("{slices}/s-1"), ready).await;
    for port in ["web", "80"] {
        let answer = world.get(&format!("{D}/services/s:{port}/proxy/x?q")).await;
        assert_eq!(answer.json()["target"], "/x?q", "{port}");
    }
    assert_eq!(unavailable(world.get(&format!("{D}/services/s:other/proxy/")).await), none);
    let no_port = (503, "no service port 99 found for service \"s\"".to_owned());
    assert_eq!(unavailable(world.get(&format!("{D}/services/s:99/proxy/")).await), no_port);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_reached_at_their_agent_or_another_port() {
    let world = World::start().await;
    let other = Agent::start(None).await;
    assert_eq!(world.get("/api/v1/nodes/n/proxy/healthz?v").await.json()["target"], "/healthz?v");
    let named = format!("/api/v1/nodes/n:{}/proxy/stats", world.agent.address.port());
    assert_eq!(world.get(&named).await.json()["target"], "/stats");
    let elsewhere = format!("/api/v1/nodes/n:{}/proxy/x", other.address.port());
    assert_eq!(world.get(&elsewhere).await.json()["target"], "/x");
    assert_eq!(other.seen().len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_is_named() {
    let world = World::start().await;
    world.reachable("web", 1).await;
    let table = [
        ("pods/a:b:c:d/proxy/", 400, "invalid pod request \"a:b:c:d\""),
        ("pods/x/proxy/", 404, "pods \"x\" not found"),
        ("services/x/proxy/", 404, "services \"x\" not found"),
        ("pods/nowhere/proxy/", 400, "address not allowed"),
        (
            "pods/web/proxy/",
            503,
            "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused",
        ),
    ];
    for (path, code, message) in table {
        assert_eq!(world.get(&format!("{D}/{path}")).await.failure(), (code, message.to_owned()), "{path}");
    }
    let denied = world.send("nobody", request("PATCH", &format!("{D}/pods/web/proxy/"), &[], "")).await;
    let (code, message) = denied.failure();
    assert_eq!(code, 403);
    assert!(message.contains("cannot patch resource \"pods/proxy\""), "{message}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_lists_what_is_passed_on() {
    let world = World::start().await;
    let list = world.get("/api/v1").await.json();
    let found = |name: &str| -> Value {
        let resources = list["resources"].as_array().unwrap();
        let found = resources.iter().find(|resource| resource["name"] == name).unwrap();
        json!([found["kind"], found["verbs"], found["namespaced"]])
    };
    let all = json!(["create", "delete", "get", "patch", "update"]);
    let both = json!(["create", "get"]);
    for (name, want) in [
        ("pods/log", json!(["Pod", ["get"], true])),
        ("pods/exec", json!(["PodExecOptions", both, true])),
        ("pods/attach", json!(["PodAttachOptions", both, true])),
        ("pods/portforward", json!(["PodPortForwardOptions", both, true])),
        ("pods/proxy", json!(["PodProxyOptions", all, true])),
        ("services/proxy", json!(["ServiceProxyOptions", all, true])),
        ("nodes/proxy", json!(["NodeProxyOptions", all, false])),
    ] {
        assert_eq!(found(name), want, "{name}");
    }
    world.stop().await;
}
