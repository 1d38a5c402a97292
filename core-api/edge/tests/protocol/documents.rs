//! Discovery, OpenAPI, version, health, metrics.

use crate::support::Cluster;
use serde_json::{Value, json};

mod ways {
    crate::both_ways!(plain_discovery, aggregated_discovery, openapi_v3, openapi_v2, small_documents);
}

async fn plain_discovery(cluster: &Cluster) {
    assert_eq!(cluster.get("/api").await.json()["versions"], json!(["v1"]));
    assert_eq!(
        cluster.get("/apis").await.json(),
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
            "name": "toy.example",
            "versions": [{"groupVersion": "toy.example/v1", "version": "v1"}],
            "preferredVersion": {"groupVersion": "toy.example/v1", "version": "v1"},
        }]})
    );
    assert_eq!(cluster.get("/apis/toy.example").await.json()["kind"], "APIGroup");
    let verbs = json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]);
    let object_verbs = json!(["get", "patch", "update"]);
    assert_eq!(
        cluster.get("/apis/toy.example/v1").await.json(),
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "toy.example/v1", "resources": [
            {"name": "boxes", "singularName": "box", "namespaced": false, "kind": "Box", "verbs": verbs,
             "storageVersionHash": "vFxvH49cHss="},
            {"name": "reviews", "singularName": "review", "namespaced": false, "kind": "Review", "verbs": ["create"]},
            {"name": "toys", "singularName": "toy", "namespaced": true, "kind": "Toy", "verbs": verbs,
             "shortNames": ["ty"], "categories": ["all"], "storageVersionHash": "ZoiAuXiGwU8="},
            {"name": "toys/echo", "singularName": "", "namespaced": true, "kind": "Echo", "verbs": ["create"]},
            {"name": "toys/scale", "singularName": "", "namespaced": true, "kind": "Scale",
             "group": "autoscaling", "version": "v1", "verbs": object_verbs},
            {"name": "toys/status", "singularName": "", "namespaced": true, "kind": "Toy", "verbs": object_verbs},
            {"name": "toys/tunnel", "singularName": "", "namespaced": true, "kind": "Tunnel",
             "verbs": ["create", "get"]},
        ]})
    );
}

async fn aggregated_discovery(cluster: &Cluster) {
    const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let answer = cluster.get_as(ACCEPT, "/apis").await;
    assert_eq!(
        answer.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let document = answer.json();
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
    let toys = &document["items"][0]["versions"][0]["resources"][2];
    assert_eq!(document["items"][0]["metadata"]["name"], "toy.example");
    assert_eq!(
        (&toys["resource"], &toys["scope"], &toys["responseKind"]),
        (&json!("toys"), &json!("Namespaced"), &json!({"group": "", "version": "", "kind": "Toy"}))
    );
    assert_eq!(toys["subresources"][1]["responseKind"]["kind"], "Scale");
    let etag = answer.headers["etag"].to_str().unwrap().to_owned();
    let again = cluster.send("GET", "/apis", &[("accept", ACCEPT), ("if-none-match", &etag)], "").await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    let beta = cluster.get_as(beta, "/api").await.json();
    assert_eq!(beta["apiVersion"], "apidiscovery.k8s.io/v2beta1");
    assert_eq!(beta["items"][0]["versions"][0]["resources"][0]["resource"], "namespaces");
}

async fn openapi_v3(cluster: &Cluster) {
    let index = cluster.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/toy.example/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert!(url.starts_with("/openapi/v3/apis/toy.example/v1?hash="));
    let answer = cluster.get(&url).await;
    assert_eq!(answer.headers["cache-control"], "public, immutable, max-age=31536000");
    let etag = answer.headers["etag"].to_str().unwrap().to_owned();
    let again = cluster.send("GET", "/openapi/v3/apis/toy.example/v1", &[("if-none-match", &etag)], "").await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.0.0");
    let item = &document["paths"]["/apis/toy.example/v1/namespaces/{namespace}/toys/{name}"];
    let patch = &item["patch"];
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "toy.example", "version": "v1", "kind": "Toy"})
    );
    let parameters: Vec<_> =
        patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(parameters.contains(&"fieldValidation"));
    let name = refers_to(&item["get"]["responses"]["200"]["content"]["application/json"]["schema"]);
    let schema = &document["components"]["schemas"][name];
    assert_eq!(schema["properties"]["spec"]["properties"]["count"]["type"], "integer");
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Toy");
    let mut broken = Vec::new();
    dangling(&document, &document, &mut broken);
    assert_eq!(broken, Vec::<String>::new());
    assert_eq!(cluster.get("/openapi/v3/api/v1").await.status, 200);
}

async fn openapi_v2(cluster: &Cluster) {
    let document = cluster.get("/openapi/v2").await.json();
    assert_eq!(document["swagger"], "2.0");
    assert!(document["paths"]["/api/v1/namespaces"]["post"].is_object());
    assert!(document["definitions"]["example.toy.v1.ToyList"].is_object());
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let binary = cluster.get_as(protobuf, "/openapi/v2").await;
    assert_eq!(binary.headers["content-type"], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert!(binary.bytes.starts_with(b"\x0a\x032.0\x12"));
    assert_eq!(cluster.get_as("text/plain", "/openapi/v2").await.status, 406);
}

fn refers_to(schema: &Value) -> &str {
    schema["$ref"].as_str().unwrap().strip_prefix("#/components/schemas/").unwrap()
}

/// References without a component.
fn dangling(value: &Value, document: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == "$ref" && document["components"]["schemas"].get(refers_to(value)).is_none() {
                    found.push(member.to_string());
                }
                dangling(member, document, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| dangling(item, document, found)),
        _ => {}
    }
}

async fn small_documents(cluster: &Cluster) {
    let version = cluster.get("/version").await.json();
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("37")));
    assert_eq!(cluster.get("/readyz").await.text(), "ok");
    assert!(cluster.get("/livez?verbose").await.text().contains("[+]ping ok"));
    assert_eq!(cluster.get("/healthz/ping").await.text(), "ok");
    let paths = cluster.get("/").await.json();
    assert!(paths["paths"].as_array().unwrap().contains(&json!("/apis/toy.example/v1")));
    cluster.create_toy(json!({"metadata": {"name": "a"}})).await;
    let metrics = cluster.get("/metrics").await.text();
    for part in [
        "apiserver_request_total{verb=\"POST\",dry_run=\"\",group=\"toy.example\",version=\"v1\",resource=\"toys\"",
        "apiserver_request_duration_seconds_bucket",
        "apiserver_current_inflight_requests",
        "apiserver_storage_objects{resource=\"toys.toy.example\"} 1",
        "proa_store_writes 2",
    ] {
        assert!(metrics.contains(part), "{part}\n{metrics}");
    }
    let traced = cluster.send("GET", "/version", &[("audit-id", "my-id")], "").await;
    assert_eq!(traced.headers["audit-id"], "my-id");
}
