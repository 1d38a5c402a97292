//! Answers in protobuf say what answers in JSON say.

use crate::{
    support::{Answer, Cluster, request},
    toys::{Docs, toy, toy_list},
};
use futures::StreamExt;
use http_body_util::BodyExt;
use kube::client::Body;
use proa_schema::{SchemaRef, protobuf::Envelope};
use proa_server::openapi::SchemaDocs;
use serde_json::{Value, json};

mod ways {
    crate::both_ways!(objects, lists, large_lists, partial_objects, custom_kinds, documents, watches, scales);
}

const TOYS: &str = "/apis/toy.example/v1/namespaces/d/toys";
const BOXES: &str = "/apis/toy.example/v1/boxes";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const BOTH: &str = "application/vnd.kubernetes.protobuf,application/json";

fn meta(name: &str) -> SchemaRef {
    Docs.schema(name).unwrap()
}

/// The object of an answer, which must be protobuf.
fn read(answer: &Answer, schema: &SchemaRef) -> Value {
    assert_eq!(answer.headers["content-type"], PROTOBUF, "{}", answer.text());
    Envelope::open(&answer.bytes).unwrap().object(schema).unwrap()
}

/// Without what toys have no field number for.
fn known(mut object: Value) -> Value {
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    object
}

async fn objects(cluster: &Cluster) {
    let body =
        json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"text": "ä\"\n", "count": -7}});
    let made = cluster.send("POST", TOYS, &[("accept", BOTH)], body.to_string()).await;
    assert_eq!(made.status, 201);
    let stored = known(cluster.get(&format!("{TOYS}/a")).await.json());
    assert_eq!(read(&made, &toy()), stored);
    assert_eq!(read(&cluster.get_as(BOTH, &format!("{TOYS}/a")).await, &toy()), stored);
    let missing = cluster.get_as(BOTH, &format!("{TOYS}/b")).await;
    let status = read(&missing, &meta("Status"));
    assert_eq!((missing.status.as_u16(), &status["kind"]), (404, &json!("Status")));
    assert_eq!(status["message"], "toys.toy.example \"b\" not found");
    let second = cluster.get_as(&format!("{PROTOBUF};q=0.1,application/json"), &format!("{TOYS}/a")).await;
    assert_eq!(second.headers["content-type"], "application/json");
    let table = format!("{PROTOBUF};as=Table;v=v1;g=meta.k8s.io");
    assert_eq!(cluster.get_as(&table, TOYS).await.status, 406, "tables have no protobuf form");
    let deleted = cluster.send("DELETE", &format!("{TOYS}/a"), &[("accept", BOTH)], "").await;
    assert_eq!(read(&deleted, &meta("Status"))["status"], "Success");
}

async fn lists(cluster: &Cluster) {
    let same = |answer: &Answer, json: Value| {
        let mut list = json;
        let items = list["items"].take();
        list["items"] = items.as_array().unwrap().iter().cloned().map(known).collect();
        assert_eq!(read(answer, &toy_list()), list);
    };
    let none = read(&cluster.get_as(BOTH, TOYS).await, &toy_list());
    assert_eq!((&none["kind"], none.get("items")), (&json!("ToyList"), None));
    for name in ["a", "b", "c"] {
        cluster.create_toy(json!({"metadata": {"name": name}, "spec": {"node": "n1"}})).await;
    }
    same(&cluster.get_as(BOTH, TOYS).await, cluster.get(TOYS).await.json());
    let page = format!("{TOYS}?limit=2");
    let (binary, text) = (cluster.get_as(BOTH, &page).await, cluster.get(&page).await.json());
    let list = read(&binary, &toy_list());
    assert_eq!(list["metadata"]["remainingItemCount"], 1);
    assert_eq!(list["metadata"]["continue"], text["metadata"]["continue"]);
}

/// Beyond a mebibyte a list is written while it is sent; its objects' lengths are kept.
async fn large_lists(cluster: &Cluster) {
    let text = "0123456789abcdef".repeat(2000);
    for i in 0..40 {
        cluster.create_toy(json!({"metadata": {"name": format!("t{i:02}")}, "spec": {"text": text}})).await;
    }
    for _ in 0..2 {
        let list = read(&cluster.get_as(BOTH, TOYS).await, &toy_list());
        assert_eq!(list["items"].as_array().unwrap().len(), 40);
        assert_eq!(list["items"][39]["spec"]["text"], text);
    }
    let packed = cluster.send("GET", TOYS, &[("accept", BOTH), ("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.bytes[..]), &mut bytes).unwrap();
    let list = Envelope::open(&bytes).unwrap().object(&toy_list()).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 40);
}

async fn partial_objects(cluster: &Cluster) {
    cluster
        .create_toy(json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"node": "n1"}}))
        .await;
    let accept = |kind: &str| format!("{PROTOBUF};as={kind};g=meta.k8s.io;v=v1");
    let one = cluster.get_as(&accept("PartialObjectMetadata"), &format!("{TOYS}/a")).await;
    let one = read(&one, &meta("PartialObjectMetadata"));
    assert_eq!(one["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(one["metadata"]["labels"], json!({"x": "y"}));
    let list = cluster.get_as(&accept("PartialObjectMetadataList"), TOYS).await;
    let list = read(&list, &meta("PartialObjectMetadataList"));
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"], one["metadata"]);
}

async fn custom_kinds(cluster: &Cluster) {
    let body = r#"{"kind":"Box","apiVersion":"toy.example/v1","metadata":{"name":"b","labels":{"by":"me"}}}"#;
    let made = cluster.send("POST", BOXES, &[("accept", BOTH)], body).await;
    assert_eq!(made.headers["content-type"], "application/json");
    let only = cluster.get_as(PROTOBUF, BOXES).await;
    let status = read(&only, &meta("Status"));
    assert_eq!(
        (status["code"].as_u64(), &status["message"]),
        (
            Some(406),
            &json!(
                "only the following media types are accepted: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf"
            )
        )
    );
    let accept = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
    let partial = cluster.get_as(&accept, &format!("{BOXES}/b")).await;
    assert_eq!(read(&partial, &meta("PartialObjectMetadata"))["metadata"]["labels"]["by"], "me");
}

async fn documents(cluster: &Cluster) {
    let versions = read(&cluster.get_as(BOTH, "/api").await, &meta("APIVersions"));
    assert_eq!(versions, json!({"kind": "APIVersions", "versions": ["v1"]}));
    assert_eq!(cluster.get_as(BOTH, "/version").await.headers["content-type"], "application/json");
    assert_eq!(cluster.get_as(BOTH, "/").await.headers["content-type"], "application/json");
}

async fn scales(cluster: &Cluster) {
    cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"count": 3}})).await;
    let scale = read(&cluster.get_as(BOTH, &format!("{TOYS}/a/scale")).await, &meta("Scale"));
    assert_eq!((&scale["kind"], &scale["spec"]), (&json!("Scale"), &json!({"replicas": 3})));
}

/// Frames of a watch as they come.
struct Frames {
    body: futures::stream::BoxStream<'static, Vec<u8>>,
    held: Vec<u8>,
}

impl Frames {
    async fn open(cluster: &Cluster, path: &str, accept: &str) -> Self {
        let request = request("GET", path, &[("accept", accept)], "");
        let response = cluster.client("tester").send(request).await.expect("an answer");
        assert_eq!(response.headers()["content-type"], format!("{PROTOBUF};stream=watch"));
        let body: Body = response.into_body();
        let body = body.into_data_stream().map(|piece| piece.expect("a piece").to_vec()).boxed();
        Self { body, held: Vec::new() }
    }

    /// Type and object of the next event: fields 1 and 2 of a `WatchEvent`, the object in field 1 of another message.
    async fn event(&mut self, schema: &SchemaRef) -> (String, Value) {
        let length = loop {
            if let Some((length, rest)) = self.held.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if rest.len() >= length {
                    break length;
                }
            }
            let piece = self.body.next().await.expect("the watch goes on");
            self.held.extend_from_slice(&piece);
        };
        let frame: Vec<u8> = self.held.drain(..4 + length).skip(4).collect();
        let at = frame.windows(4).position(|w| w == b"k8s\0").expect("an envelope");
        let name = String::from_utf8(frame[2..2 + usize::from(frame[1])].to_vec()).unwrap();
        (name, Envelope::open(&frame[at..]).unwrap().object(schema).unwrap())
    }
}

async fn watches(cluster: &Cluster) {
    let made = cluster.create_toy(json!({"metadata": {"name": "a"}, "spec": {"node": "n1"}})).await.json();
    let path = format!("{TOYS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    let path = format!("{path}&allowWatchBookmarks=true");
    let stream = format!("{PROTOBUF};stream=watch,application/json;stream=watch");
    let mut one = Frames::open(cluster, &path, &stream).await;
    let mut other = Frames::open(cluster, &path, PROTOBUF).await;
    let partial = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let mut metadata = Frames::open(cluster, &path, &partial).await;
    for frames in [&mut one, &mut other] {
        assert_eq!(frames.event(&toy()).await, ("ADDED".to_owned(), known(made.clone())));
        let (name, object) = frames.event(&toy()).await;
        assert_eq!((name.as_str(), &object["kind"]), ("BOOKMARK", &json!("Toy")));
        assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    }
    let patch = [("content-type", "application/merge-patch+json")];
    let moved = cluster.send("PATCH", &format!("{TOYS}/a"), &patch, r#"{"spec":{"node":"n2"}}"#).await.json();
    for frames in [&mut one, &mut other] {
        assert_eq!(frames.event(&toy()).await, ("MODIFIED".to_owned(), known(moved.clone())));
    }
    for want in ["ADDED", "BOOKMARK", "MODIFIED"] {
        let (name, object) = metadata.event(&meta("PartialObjectMetadata")).await;
        assert_eq!((name.as_str(), &object["kind"]), (want, &json!("PartialObjectMetadata")));
    }
    let yaml = cluster.get_as("application/yaml", &path).await;
    assert_eq!(yaml.status, 406);
    assert!(
        yaml.text()
            .contains("application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")
    );
}
