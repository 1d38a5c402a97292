//! Objects, lists, tables and partial objects.

use crate::support::Cluster;
use serde_json::{Value, json};

mod ways {
    crate::both_ways!(objects, lists, tables, partial_objects, large_lists, yaml_and_people);
}

const TOYS: &str = "/apis/toy.example/v1/namespaces/d/toys";

async fn objects(cluster: &Cluster) {
    let made = cluster
        .create_toy(json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"node": "n1"}}))
        .await;
    assert_eq!(made.headers["content-type"], "application/json");
    let answer = cluster.get(&format!("{TOYS}/a")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.bytes.starts_with(
        b"{\"kind\":\"Toy\",\"apiVersion\":\"toy.example/v1\",\"metadata\":{\"resourceVersion\":\""
    ));
    assert!(answer.bytes.ends_with(b"}\n"));
    assert_eq!(answer.json(), made.json());
    assert_eq!(answer.headers["cache-control"], "no-cache, private");
    assert_eq!(cluster.get(&format!("{TOYS}/a/status")).await.json(), made.json());
    let scale = cluster.get(&format!("{TOYS}/a/scale")).await.json();
    assert_eq!((&scale["kind"], &scale["spec"]), (&json!("Scale"), &json!({})));
    let revision = made.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    assert_eq!(cluster.get(&format!("{TOYS}/a?resourceVersion={revision}")).await.status, 200);
    assert_eq!(cluster.get(&format!("{TOYS}/a?resourceVersion=99999")).await.status, 504);
    assert_eq!(
        cluster.get(&format!("{TOYS}/b")).await.message(),
        (404, "toys.toy.example \"b\" not found".to_owned())
    );
    let head = cluster.send("HEAD", &format!("{TOYS}/a"), &[], "").await;
    assert_eq!(head.status, 200);
}

async fn lists(cluster: &Cluster) {
    let empty = cluster.get(TOYS).await.json();
    assert_eq!(empty["items"], json!([]));
    for (name, node) in [("a", "n1"), ("b", "n2"), ("c", "n1")] {
        cluster
            .create_toy(json!({"metadata": {"name": name, "labels": {"name": name}}, "spec": {"node": node}}))
            .await;
    }
    let list = cluster.get(TOYS).await.json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ToyList"), &json!("toy.example/v1")));
    assert_eq!(names(&list), ["a", "b", "c"]);
    assert!(list["items"][0].get("kind").is_none(), "items of built-in kinds carry no kind");
    for (query, want) in [
        ("labelSelector=name%3Da", vec!["a"]),
        ("labelSelector=name%20in%20(a,c)", vec!["a", "c"]),
        ("fieldSelector=spec.node%3Dn1", vec!["a", "c"]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("fieldSelector=metadata.name!%3Db", vec!["a", "c"]),
    ] {
        assert_eq!(names(&cluster.get(&format!("{TOYS}?{query}")).await.json()), want, "{query}");
    }
    let first = cluster.get(&format!("{TOYS}?limit=2")).await.json();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = cluster.get(&format!("{TOYS}?limit=2&continue={token}")).await.json();
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!(names(&cluster.get("/apis/toy.example/v1/toys").await.json()), ["a", "b", "c"]);
}

async fn tables(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"node": "n1", "count": 3}})).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let answer = cluster.get_as(accept, TOYS).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let table = answer.json();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["columnDefinitions"][0]["format"], "name");
    assert_eq!(table["columnDefinitions"][2]["priority"], 1);
    assert_eq!(table["rows"][0]["cells"], json!(["a", "n1", 3]));
    let row = &table["rows"][0]["object"];
    assert_eq!((&row["kind"], row.get("spec")), (&json!("PartialObjectMetadata"), None));
    let one = cluster.get_as(accept, &format!("{TOYS}/a?includeObject=Object")).await.json();
    assert_eq!(one["rows"][0]["object"]["spec"]["node"], "n1");
    let scale = cluster.get_as(accept, &format!("{TOYS}/a/scale")).await.json();
    assert_eq!(scale["columnDefinitions"][1]["name"], "Desired");
    assert_eq!(scale["rows"][0]["cells"], json!(["a", 3, 0, "0s"]));
    let none = cluster.get_as(accept, &format!("{TOYS}?includeObject=None")).await.json();
    assert_eq!(none["rows"][0]["object"], Value::Null);
    let wrong = cluster.get_as(accept, &format!("{TOYS}?includeObject=Some")).await;
    assert_eq!(wrong.status, 400);
    let body = r#"{"kind":"Box","apiVersion":"toy.example/v1","metadata":{"name":"b","labels":{"by":"me"}}}"#;
    cluster.send("POST", "/apis/toy.example/v1/boxes", &[], body).await;
    let table = cluster.get_as(accept, "/apis/toy.example/v1/boxes").await.json();
    assert_eq!(table["columnDefinitions"][0]["name"], "Name", "a custom kind's name is implied");
    assert_eq!(table["columnDefinitions"][1]["name"], "Made By");
    assert_eq!(table["rows"][0]["cells"], json!(["b", "me", "0s"]));
    let list = cluster.get("/apis/toy.example/v1/boxes").await.json();
    assert_eq!(list["items"][0]["kind"], "Box", "items of custom kinds carry their kind");
    let missing = cluster.get_as(accept, &format!("{TOYS}/zzz")).await;
    assert_eq!(missing.json()["kind"], "Status", "errors are never tables");
}

async fn partial_objects(cluster: &Cluster) {
    cluster
        .create_toy(json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"node": "n1"}}))
        .await;
    let accept = |kind: &str| {
        format!("application/cbor;as={kind};g=meta.k8s.io;v=v1,application/json;as={kind};g=meta.k8s.io;v=v1")
    };
    let one = cluster.get_as(&accept("PartialObjectMetadata"), &format!("{TOYS}/a")).await.json();
    assert_eq!(
        (&one["kind"], &one["apiVersion"]),
        (&json!("PartialObjectMetadata"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(one["metadata"]["labels"], json!({"x": "y"}));
    assert_eq!(one.as_object().unwrap().len(), 3);
    let list = cluster.get_as(&accept("PartialObjectMetadataList"), TOYS).await.json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0], one);
    let wrong = cluster.get_as(&accept("PartialObjectMetadata"), TOYS).await;
    assert_eq!(wrong.status, 406);
    let wrong = cluster.get_as(&accept("PartialObjectMetadataList"), &format!("{TOYS}/a")).await;
    assert_eq!(wrong.status, 406);
    assert_eq!(cluster.get_as("application/cbor", TOYS).await.status, 406);
}

/// Beyond a mebibyte a list is written while it is sent; compressed when the client asks for it.
async fn large_lists(cluster: &Cluster) {
    let text = "0123456789abcdef".repeat(2000);
    for i in 0..40 {
        cluster.create_toy(json!({"metadata": {"name": format!("t{i:02}")}, "spec": {"text": text}})).await;
    }
    let plain = cluster.get(TOYS).await;
    assert_eq!(plain.json()["items"].as_array().unwrap().len(), 40);
    let packed = cluster.send("GET", TOYS, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.bytes[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain.bytes);
    assert!(packed.bytes.len() < plain.bytes.len() / 10);
}

async fn yaml_and_people(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"text": "yes", "count": 2}})).await;
    let yaml = cluster.get_as("application/yaml", &format!("{TOYS}/a")).await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    let back = proa_schema::json::parse_yaml(&yaml.bytes).unwrap().value;
    let json = cluster.get(&format!("{TOYS}/a")).await;
    assert_eq!(back, json.json());
    let pretty = cluster.get(&format!("{TOYS}/a?pretty=true")).await;
    assert!(pretty.text().starts_with("{\n  \"kind\": \"Toy\",\n"));
    assert_eq!(pretty.json(), json.json());
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect()
}
