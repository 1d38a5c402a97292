//! Discovery as one document per group and version.

use super::{
    Subresource,
    merged::{Group, Served},
    root_verbs, subresources,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proa_meta::{Gvk, gvk::api_version};
use proa_registry::{
    KindDef,
    registry::{Catalogue, Version},
};
use serde_json::{Value, json};

/// `/api`.
pub(super) fn core_versions(catalogue: &Catalogue, address: &str) -> Value {
    let versions: Vec<&str> =
        catalogue.group("").into_iter().flat_map(|g| &g.versions).map(|v| v.name.as_str()).collect();
    json!({
        "kind": "APIVersions", "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub(super) fn groups(groups: &[Group<'_>]) -> Value {
    let groups: Vec<Value> = groups.iter().filter(|g| !g.name.is_empty()).map(group_members).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(super) fn group(group: &Group<'_>) -> Value {
    let mut value = group_members(group);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    value
}

fn group_members(group: &Group<'_>) -> Value {
    let version =
        |v: &Served<'_>| json!({"groupVersion": api_version(group.name, v.name()), "version": v.name()});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({"name": group.name, "preferredVersion": versions.first(), "versions": versions})
}

/// `/api/VERSION` and `/apis/GROUP/VERSION`.
pub(super) fn resources(catalogue: &Catalogue, group: &str, version: &Version) -> Value {
    let mut resources = Vec::new();
    for kind in version.kinds.values() {
        let def = &kind.def;
        resources.push(resource(def, catalogue.stored_as(def)));
        resources.extend(subresources(def).iter().map(|s| subresource(def, s)));
    }
    let group_version = api_version(group, &version.name);
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
    // The oldest document says no version of its own.
    if !group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    list
}

fn resource(def: &KindDef, stored_as: Option<Gvk>) -> Value {
    let mut value = json!({
        "name": def.resource, "singularName": def.singular, "namespaced": def.is_namespaced(),
        "kind": def.gvk.kind, "verbs": root_verbs(def),
    });
    for (field, names) in [("shortNames", &def.short_names), ("categories", &def.categories)] {
        if !names.is_empty() {
            value[field] = json!(names);
        }
    }
    if let Some(gvk) = stored_as {
        value["storageVersionHash"] = json!(storage_version_hash(&gvk));
    }
    value
}

/// Changes when objects are stored as another version; clients only compare it.
fn storage_version_hash(gvk: &Gvk) -> String {
    const BYTES: usize = 8;
    let text = format!("{}/{}/{}", gvk.group, gvk.version, gvk.kind);
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    STANDARD.encode(&digest.as_ref()[..BYTES])
}

fn subresource(def: &KindDef, subresource: &Subresource<'_>) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", def.resource, subresource.name), "singularName": "",
        "namespaced": def.is_namespaced(), "kind": subresource.kind, "verbs": subresource.verbs,
    });
    if (subresource.group, subresource.version) != (&*def.gvk.group, &*def.gvk.version) {
        value["group"] = json!(subresource.group);
        value["version"] = json!(subresource.version);
    }
    value
}
