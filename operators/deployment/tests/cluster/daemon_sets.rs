//! Daemon sets on several nodes.

use crate::Cluster;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet},
    core::v1::Node,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

impl Cluster {
    async fn add_node(&self, name: &str) {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let nodes = Api::<Node>::all(self.client.clone());
        nodes.create(&PostParams::default(), &node).await.unwrap();
        // Admission marks new nodes as not ready; node lifecycle, which is not here, would take the mark away.
        let ready = Patch::Merge(json!({"spec": {"taints": null}}));
        nodes.patch(name, &PatchParams::default(), &ready).await.unwrap();
    }
    async fn on_all(&self, nodes: i32) -> DaemonSet {
        self.until("log", |set: &DaemonSet| {
            let status = set.status.clone().unwrap_or_default();
            status.observed_generation == set.metadata.generation
                && status.desired_number_scheduled == nodes
                && status.number_available == Some(nodes)
                && status.updated_number_scheduled == Some(nodes)
        })
        .await
    }
}

#[tokio::test]
async fn every_node_gets_a_pod_and_every_pod_the_new_template() {
    let cluster = Cluster::start().await;
    for node in ["n1", "n2"] {
        cluster.add_node(node).await;
    }
    let set = json!({"metadata": {"name": "log"}, "spec": {"selector": {"matchLabels": {"app": "log"}},
        "template": {"metadata": {"labels": {"app": "log"}}, "spec": {"containers": [{"name": "log", "image": "log:1"}]}}}});
    cluster.create::<DaemonSet>(set).await;
    cluster.on_all(2).await;
    cluster.add_node("n3").await;
    cluster.on_all(3).await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "log", "image": "log:2"}]}}}});
    cluster.api::<DaemonSet>().patch("log", &PatchParams::default(), &Patch::Strategic(image)).await.unwrap();
    cluster
        .until("log", |set: &DaemonSet| {
            set.metadata.generation == set.status.as_ref().and_then(|s| s.observed_generation)
        })
        .await;
    cluster.on_all(3).await;
    let revisions = cluster.api::<ControllerRevision>().list(&ListParams::default()).await.unwrap();
    let mut numbers: Vec<_> = revisions.iter().map(|revision| revision.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [Some(1), Some(2)]);
    cluster.stop().await;
}
