//! What a decision about a service needs: the pods it selects, their zones, and what is published.

use crate::build;
use proa_kit::{
    Index, Key, Kind, Meta, Pairs, Reader, Typed,
    views::{
        EndpointSliceView, NodeView, PodView, ServiceView,
        endpoint_slice::{EndpointPort, TargetRef},
        meta, null_as_default,
    },
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// Whether services publish the same of both versions of a pod.
pub(crate) fn is_published_like(old: &PodView, new: &PodView) -> bool {
    let shown = |pod: &PodView| (pod.is_terminal(), pod.is_ready(), pod.metadata.is_deleting());
    shown(old) == shown(new)
        && old.metadata.uid == new.metadata.uid
        && old.metadata.labels == new.metadata.labels
        && old.status.pod_ips == new.status.pod_ips
        && old.spec.node_name == new.spec.node_name
}

/// `Endpoints`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointsView {
    /// Metadata with annotations.
    #[serde(deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Addresses by ports.
    #[serde(deserialize_with = "null_as_default")]
    pub subsets: Vec<Subset>,
}

proa_kit::view!(EndpointsView, Kind::namespaced("", "v1", "Endpoints", "endpoints"));

/// Addresses that share ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Ready ones.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Others.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub not_ready_addresses: Vec<Address>,
    /// Ports.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
}

/// An address of `Endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    /// The address.
    pub ip: Box<str>,
    /// Host name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub hostname: Box<str>,
    /// Node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Box<str>>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}

/// A port of `Endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// Name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Box<str>,
    /// Port.
    pub port: i32,
    /// Protocol.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub protocol: Box<str>,
    /// Application protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<Box<str>>,
}

impl From<&EndpointPort> for Port {
    fn from(port: &EndpointPort) -> Self {
        Self {
            name: port.name.clone().unwrap_or_default(),
            port: port.port.unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_default(),
            app_protocol: port.app_protocol.clone(),
        }
    }
}

/// Pods by namespace and each of their labels.
pub const LABELS: Index<PodView> = Index {
    name: "labels",
    values: |pod, found| {
        for (key, value) in pod.metadata.labels.iter() {
            found(&place(&pod.metadata.namespace, key, value));
        }
    },
};

/// Slices by namespace and service.
pub const SERVICE: Index<EndpointSliceView> = Index {
    name: "service",
    values: |slice, found| {
        if let Some(name) = slice.metadata.labels.get(build::SERVICE_NAME) {
            found(&place(&slice.metadata.namespace, name, ""));
        }
    },
};

pub(crate) fn place(namespace: &str, key: &str, value: &str) -> String {
    let mut place = String::with_capacity(namespace.len() + key.len() + value.len() + 2);
    place.push_str(namespace);
    place.push('\n');
    place.push_str(key);
    place.push('=');
    place.push_str(value);
    place
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Pods that the service selects.
    pub pods: Vec<Arc<PodView>>,
    /// Zones by node, of those pods' nodes.
    pub zones: HashMap<Box<str>, Box<str>>,
    /// Its slices.
    pub slices: Vec<Arc<EndpointSliceView>>,
    /// The `Endpoints` of its name.
    pub endpoints: Option<Arc<EndpointsView>>,
}

/// Reads it from the caches.
pub(crate) fn observe(reader: &Reader, service: &ServiceView) -> Observed {
    let (namespace, name) = (&*service.metadata.namespace, &*service.metadata.name);
    let pods = selected(reader, namespace, &service.spec.selector);
    let nodes = reader.cache::<NodeView>();
    let mut zones = HashMap::new();
    for node in pods.iter().map(|pod| &pod.spec.node_name) {
        if !node.is_empty()
            && !zones.contains_key(node)
            && let Some(zone) = nodes.get(&Key::new("", node)).and_then(|node| zone(&node).map(Into::into))
        {
            zones.insert(node.clone(), zone);
        }
    }
    let managed = proa_kit::Filter::labels(&format!("{}={}", build::MANAGED_BY, build::MANAGER));
    let slices = reader.cache_of::<EndpointSliceView>(&EndpointSliceView::KIND, &managed);
    Observed {
        pods,
        zones,
        slices: slices.by(&SERVICE, &place(namespace, name, "")),
        endpoints: reader.cache::<EndpointsView>().get(&Key::new(namespace, name)),
    }
}

fn zone(node: &NodeView) -> Option<&str> {
    node.metadata.labels.get("topology.kubernetes.io/zone").filter(|zone| !zone.is_empty())
}

fn selected(reader: &Reader, namespace: &str, selector: &Pairs) -> Vec<Arc<PodView>> {
    let Some((key, value)) = selector.iter().next() else { return Vec::new() };
    let mut pods = reader.cache::<PodView>().by(&LABELS, &place(namespace, key, value));
    pods.retain(|pod| selector.is_subset_of(&pod.metadata.labels));
    pods
}
