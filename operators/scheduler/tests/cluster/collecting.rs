//! Owners and their dependents.

use crate::Cluster;
use kube::api::{DynamicObject, ListParams, PropagationPolicy};
use serde_json::{Value, json};

const MAP: &str = "v1/ConfigMap";

async fn map(cluster: &Cluster, name: &str, owner: Option<(&str, &DynamicObject)>) -> DynamicObject {
    let mut object = json!({"metadata": {"name": name}});
    if let Some((kind, owner)) = owner {
        let (version, kind) = kind.rsplit_once('/').unwrap();
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": version, "kind": kind,
            "name": owner.metadata.name, "uid": owner.metadata.uid, "blockOwnerDeletion": true}]);
    }
    cluster.create("default", MAP, object).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_go_after_their_owner() {
    let cluster = Cluster::start(0).await;
    let top = map(&cluster, "top", None).await;
    let middle = map(&cluster, "middle", Some((MAP, &top))).await;
    map(&cluster, "bottom", Some((MAP, &middle))).await;
    cluster.delete("default", MAP, "top", Some(PropagationPolicy::Background)).await;
    cluster.until_gone("default", MAP, "middle").await;
    cluster.until_gone("default", MAP, "bottom").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_in_the_foreground_goes_last() {
    let cluster = Cluster::start(0).await;
    let top = map(&cluster, "top", None).await;
    map(&cluster, "held", Some((MAP, &top))).await;
    cluster.patch("default", MAP, "held", json!({"metadata": {"finalizers": ["example.com/hold"]}})).await;
    cluster.delete("default", MAP, "top", Some(PropagationPolicy::Foreground)).await;
    cluster.until("default", MAP, "held", |held| held["metadata"]["deletionTimestamp"].is_string()).await;
    cluster.until("default", MAP, "top", |top| top["metadata"]["deletionTimestamp"].is_string()).await;
    cluster.patch("default", MAP, "held", json!({"metadata": {"finalizers": null}})).await;
    cluster.until_gone("default", MAP, "top").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_stay() {
    let cluster = Cluster::start(0).await;
    let top = map(&cluster, "top", None).await;
    map(&cluster, "stays", Some((MAP, &top))).await;
    cluster.delete("default", MAP, "top", Some(PropagationPolicy::Orphan)).await;
    cluster.until_gone("default", MAP, "top").await;
    cluster.until("default", MAP, "stays", |stays| stays["metadata"]["ownerReferences"].is_null()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_never_was_is_absent() {
    let cluster = Cluster::start(0).await;
    let mut never = map(&cluster, "never", None).await;
    never.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    map(&cluster, "lost", Some((MAP, &never))).await;
    cluster.until_gone("default", MAP, "lost").await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_new_definitions_are_collected_too() {
    let cluster = Cluster::start(0).await;
    let names = json!({"plural": "boats", "singular": "boat", "kind": "Boat", "listKind": "BoatList"});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
    let definition = json!({"metadata": {"name": "boats.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}});
    let kind = "apiextensions.k8s.io/v1/CustomResourceDefinition";
    cluster.create("", kind, definition).await;
    let established = |definition: &Value| {
        let list = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
        list.iter().any(|own| own["type"] == "Established" && own["status"] == "True")
    };
    cluster.until("", kind, "boats.example.com", established).await;
    let boat = "example.com/v1/Boat";
    let served = async {
        // Established is said a moment before the kind is served, as upstream does.
        while cluster.api("default", boat).list(&ListParams::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, served).await.expect("an established kind is served");
    let owner = cluster.create("default", boat, json!({"metadata": {"name": "proa"}})).await;
    map(&cluster, "cargo", Some((boat, &owner))).await;
    let mut outrigger = json!({"metadata": {"name": "outrigger", "ownerReferences": [{"apiVersion": "example.com/v1",
        "kind": "Boat", "name": "proa", "uid": owner.metadata.uid}]}});
    outrigger["spec"] = json!({});
    cluster.create("default", boat, outrigger).await;
    cluster.delete("default", boat, "proa", None).await;
    cluster.until_gone("default", MAP, "cargo").await;
    cluster.until_gone("default", boat, "outrigger").await;
    cluster.stop().await;
}
