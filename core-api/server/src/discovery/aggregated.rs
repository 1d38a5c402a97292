//! Discovery as one document for everything. KEP-3352.

use super::{
    merged::{Group, Served},
    root_verbs, subresources,
};
use crate::encode::text;
use proa_registry::KindDef;
use serde_json::{Value, json};

const V2: &str = "apidiscovery.k8s.io/v2\"";
const V2_BETA: &str = "apidiscovery.k8s.io/v2beta1\"";

/// The core group's document or that of all others.
pub(super) fn document(groups: &[Group<'_>], core: bool) -> Vec<u8> {
    let groups = groups.iter().filter(|g| g.name.is_empty() == core);
    let items: Vec<Value> = groups.map(group).collect();
    text::json_of(&json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    }))
}

/// The same document in the older version, which differs in name only.
pub(super) fn as_beta(json: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(json).replacen(V2, V2_BETA, 1).into_bytes()
}

fn group(group: &Group<'_>) -> Value {
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    let mut metadata = json!({});
    if !group.name.is_empty() {
        metadata["name"] = json!(group.name);
    }
    json!({"metadata": metadata, "versions": versions})
}

fn version(version: &Served<'_>) -> Value {
    match version {
        Served::Here(version) => {
            let resources: Vec<Value> = version.kinds.values().map(|k| resource(&k.def)).collect();
            json!({"version": version.name, "resources": resources, "freshness": "Current"})
        }
        Served::Elsewhere(remote) => {
            let freshness = if remote.stale { "Stale" } else { "Current" };
            let mut value = json!({"version": remote.version, "freshness": freshness});
            if !remote.resources.is_empty() {
                value["resources"] = json!(*remote.resources);
            }
            value
        }
    }
}

fn resource(def: &KindDef) -> Value {
    let gvk = &def.gvk;
    let mut value = json!({
        "resource": def.resource,
        "responseKind": response_kind(def, &gvk.group, &gvk.version, &gvk.kind),
        "scope": if def.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": def.singular,
        "verbs": root_verbs(def),
    });
    for (field, names) in [("shortNames", &def.short_names), ("categories", &def.categories)] {
        if !names.is_empty() {
            value[field] = json!(names);
        }
    }
    let subresources: Vec<Value> = subresources(def)
        .iter()
        .map(|s| {
            json!({
                "subresource": s.name,
                "responseKind": response_kind(def, s.group, s.version, s.kind),
                "verbs": s.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        value["subresources"] = json!(subresources);
    }
    value
}

/// Built-in kinds leave out the group and version that they stand below.
fn response_kind(def: &KindDef, group: &str, version: &str, kind: &str) -> Value {
    let is_own = !def.custom && (group, version) == (&*def.gvk.group, &*def.gvk.version);
    let (group, version) = if is_own { ("", "") } else { (group, version) };
    json!({"group": group, "version": version, "kind": kind})
}
