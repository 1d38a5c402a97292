//! Discovery as one document per group and version.

use super::{
    Subresource,
    merged::{Group, Served},
    root_verbs, subresources,
};
use proa_meta::gvk::api_version;
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
pub(super) fn resources(version: &Version, group: &str) -> Value {
    let mut resources = Vec::new();
    for kind in version.kinds.values() {
        let def = &kind.def;
        resources.push(resource(def));
        resources.extend(subresources(def).iter().map(|s| subresource(def, s)));
    }
    json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": api_version(group, &version.name), "resources": resources,
    })
}

fn resource(def: &KindDef) -> Value {
    let mut value = json!({
        "name": def.resource, "singularName": def.singular, "namespaced": def.is_namespaced(),
        "kind": def.gvk.kind, "verbs": root_verbs(def),
    });
    for (field, names) in [("shortNames", &def.short_names), ("categories", &def.categories)] {
        if !names.is_empty() {
            value[field] = json!(names);
        }
    }
    value
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
