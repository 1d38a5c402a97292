//! Custom objects in several versions, converted by a webhook over TLS.

use crate::{webhooks::Guarded, world::request};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "/apis/stable.example.com/v1/namespaces/d/hosts";
const V2: &str = "/apis/stable.example.com/v2/namespaces/d/hosts";

fn version(name: &str, stored: &str, fields: &[&str]) -> Value {
    let fields: serde_json::Map<_, _> =
        fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
    json!({
        "name": name, "served": true, "storage": name == stored,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": fields}},
        "additionalPrinterColumns": [{"name": "Host", "type": "string", "jsonPath": ".host"}],
    })
}

fn versions(stored: &str) -> Value {
    json!([version("v1", stored, &["hostPort"]), version("v2", stored, &["host", "port"])])
}

async fn define(guarded: &Guarded) {
    let definition = json!({
        "metadata": {"name": "hosts.stable.example.com"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced", "names": {"plural": "hosts", "kind": "Host"},
            "versions": versions("v1"),
            "conversion": {"strategy": "Webhook", "webhook": {
                "clientConfig": guarded.client("/convert"), "conversionReviewVersions": ["v1"]}},
        },
    });
    let answer = guarded.send("POST", DEFINITIONS, &definition).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    guarded.world.until_served("/apis/stable.example.com/v2").await;
}

fn names_and_hosts(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| (text(&item["metadata"]["name"]), text(&item["host"]) + &text(&item["hostPort"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_read_and_written_in_any_version() {
    let guarded = Guarded::start().await;
    define(&guarded).await;
    let made = guarded.send("POST", V1, &json!({"apiVersion": "stable.example.com/v1", "kind": "Host", "metadata": {"name": "a"}, "hostPort": "one:1"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(guarded.hook.take().len(), 0, "stored as it is");
    let read = guarded.world.get(&format!("{V2}/a")).await.json();
    assert_eq!(
        (&read["apiVersion"], &read["host"], &read["port"]),
        (&json!("stable.example.com/v2"), &json!("one"), &json!("1"))
    );
    assert_eq!(read.get("hostPort"), None);
    let asked = guarded.hook.take().pop().expect("asked");
    assert_eq!(
        (&asked["desiredAPIVersion"], &asked["objects"][0]["hostPort"]),
        (&json!("stable.example.com/v2"), &json!("one:1"))
    );

    // A write in the other version is stored in the first one.
    let changed = guarded.send("PATCH", &format!("{V2}/a"), &json!({"port": "2"})).await.json();
    assert_eq!((&changed["port"], &changed["apiVersion"]), (&json!("2"), &json!("stable.example.com/v2")));
    assert_eq!(guarded.world.get(&format!("{V1}/a")).await.json()["hostPort"], "one:2");
    let same = guarded.send("PATCH", &format!("{V2}/a"), &json!({"port": "2"})).await.json();
    assert_eq!(same["metadata"], changed["metadata"], "nothing is written when nothing changes");
    let made = guarded
        .send("POST", V2, &json!({"apiVersion": "stable.example.com/v2", "kind": "Host", "metadata": {"name": "b"}, "host": "two", "port": "1"}))
        .await
        .json();
    assert_eq!((&made["host"], &made["metadata"]["generation"]), (&json!("two"), &json!(1)));

    // From now on the second version is stored; what is there says that it is not.
    let storage = json!({"spec": {"versions": versions("v2")}});
    let answer = guarded.send("PATCH", &format!("{DEFINITIONS}/hosts.stable.example.com"), &storage).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    guarded.send("POST", V2, &json!({"apiVersion": "stable.example.com/v2", "kind": "Host", "metadata": {"name": "c"}, "host": "three", "port": "1"})).await;
    let pair = |name: &str, host: &str| (name.to_owned(), host.to_owned());
    let second = guarded.world.get(V2).await.json();
    assert_eq!(names_and_hosts(&second), [pair("a", "one"), pair("b", "two"), pair("c", "three")]);
    let first = guarded.world.get(V1).await.json();
    assert_eq!(names_and_hosts(&first), [pair("a", "one:2"), pair("b", "two:1"), pair("c", "three:1")]);
    for item in first["items"].as_array().unwrap() {
        assert_eq!(item["apiVersion"], "stable.example.com/v1");
    }
    let watched = guarded.world.get(&format!("{V1}?watch=true&timeoutSeconds=1&resourceVersion=0")).await;
    let hosts: Vec<Value> = watched
        .text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["object"]["hostPort"].clone())
        .collect();
    assert_eq!(hosts, ["one:2", "two:1", "three:1"]);
    guarded.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_converted_is_an_error_in_upstreams_words() {
    let guarded = Guarded::start().await;
    define(&guarded).await;
    guarded.send("POST", V1, &json!({"apiVersion": "stable.example.com/v1", "kind": "Host", "metadata": {"name": "a"}, "hostPort": "broken:1"})).await;
    let why = "conversion webhook for stable.example.com/v1, Kind=Host failed: cannot convert it";
    assert_eq!(guarded.world.get(&format!("{V2}/a")).await.failure(), (500, why.to_owned()));
    assert_eq!(guarded.world.get(V2).await.failure(), (500, why.to_owned()));
    assert_eq!(guarded.world.get(&format!("{V1}/a")).await.status, 200);
    // Metadata is the same in every version.
    const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let listed = guarded.world.send("admin", request("GET", V2, &[("accept", PARTIAL)], "")).await.json();
    assert_eq!(listed["items"][0]["metadata"]["name"], "a");
    // The definition goes with its objects all the same.
    let definition = format!("{DEFINITIONS}/hosts.stable.example.com");
    assert_eq!(guarded.send("DELETE", &definition, &json!({})).await.status, 200);
    guarded.world.until_gone(&definition).await;
    guarded.stop().await;
}
