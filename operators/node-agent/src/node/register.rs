//! The Node as it is registered, and what an agent corrects of one that exists.
//!
//! Pure. Labels that an operator of the cluster may change are set once; the well-known ones are kept right.
//! Upstream: `initialNode`, `updateDefaultLabels`, `reconcileCMADAnnotationWithExistingNode` in
//! `pkg/kubelet/kubelet_node_status.go`.

use super::NodeError;
use crate::AgentConfig;
use k8s_openapi::{
    api::core::v1::{Node, NodeSpec, NodeStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Kubelets of every cluster say that attaching is not theirs.
const CONTROLLER_ATTACHES: (&str, &str) = ("volumes.kubernetes.io/controller-managed-attach-detach", "true");

/// The architecture as Go and image indexes name it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// Labels that follow from what the node is.
fn well_known(node: &str) -> [(&'static str, &str); 5] {
    [
        ("kubernetes.io/hostname", node),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture()),
    ]
}

/// The Node to create.
pub(super) fn node(config: &AgentConfig, status: NodeStatus) -> Node {
    let mut labels: BTreeMap<String, String> = config.labels.iter().cloned().collect();
    labels.extend(well_known(&config.node).map(|(key, value)| (key.to_owned(), value.to_owned())));
    let (key, value) = CONTROLLER_ATTACHES;
    Node {
        metadata: ObjectMeta {
            name: Some(config.node.clone()),
            labels: Some(labels),
            annotations: Some([(key.to_owned(), value.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: Some(config.pod_cidr.clone()),
            pod_cidrs: Some(vec![config.pod_cidr.clone()]),
            ..NodeSpec::default()
        }),
        status: Some(status),
    }
}

/// What must be changed of a Node that exists, as a merge patch.
///
/// # Errors
/// It belongs to other pod addresses.
pub(super) fn correction(node: &Node, config: &AgentConfig) -> Result<Option<Value>, NodeError> {
    let mut patch = json!({});
    let cidr = node.spec.as_ref().and_then(|spec| spec.pod_cidr.as_deref()).unwrap_or_default();
    if cidr.is_empty() {
        patch["spec"] = json!({"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]});
    } else if cidr != config.pod_cidr {
        return Err(NodeError::PodCidr {
            node: config.node.clone(),
            registered: cidr.to_owned(),
            wanted: config.pod_cidr.clone(),
        });
    }
    let labels = missing(node.metadata.labels.as_ref(), &well_known(&config.node));
    if !labels.is_empty() {
        patch["metadata"]["labels"] = json!(labels);
    }
    let annotations = missing(node.metadata.annotations.as_ref(), &[CONTROLLER_ATTACHES]);
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = json!(annotations);
    }
    Ok(patch.as_object().is_some_and(|patch| !patch.is_empty()).then_some(patch))
}

fn missing<'a>(
    have: Option<&BTreeMap<String, String>>,
    want: &[(&'a str, &'a str)],
) -> BTreeMap<&'a str, &'a str> {
    let has = |key: &str, value: &str| have.and_then(|have| have.get(key)).is_some_and(|v| v == value);
    want.iter().copied().filter(|(key, value)| !has(key, value)).collect()
}
