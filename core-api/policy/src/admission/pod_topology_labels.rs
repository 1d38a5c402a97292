//! PodTopologyLabels: a pod that is created on a node gets the node's zone and region as labels.
//!
//! Binding copies them, too (`actions::binding`). Upstream: `plugin/pkg/admission/podtopologylabels/admission.go`.

use super::{creates_pod, map_at};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Mutate, Registry};
use serde_json::Value;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// The plugin.
pub struct PodTopologyLabels;

/// Zone and region of a node, as far as it has them.
pub fn labels_of(registry: &Registry, node: &str) -> Vec<(&'static str, String)> {
    let Some(entry) = registry.kind(&objects::NODES).and_then(|nodes| nodes.get("", node)) else {
        return Vec::new();
    };
    LABELS.into_iter().filter_map(|key| Some((key, entry.label(key)?.to_owned()))).collect()
}

/// Sets labels of a pod.
pub fn set_labels(pod: &mut Value, labels: Vec<(&'static str, String)>) {
    if labels.is_empty() {
        return;
    }
    if let Some(map) = pod.get_mut("metadata").and_then(|metadata| map_at(metadata, "labels")) {
        map.extend(labels.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))));
    }
}

impl Mutate for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        creates_pod(request)
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        pod: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
                let labels = labels_of(request.registry, node);
                set_labels(pod, labels);
            }
            Ok(())
        }
        .boxed()
    }
}
