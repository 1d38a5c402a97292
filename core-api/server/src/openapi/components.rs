//! The schemas of a document: those that its paths name and all that they refer to.

use super::{OpenApi, Part};
use crate::api::Server;
use proa_registry::KindDef;
use serde_json::{Value, json};
use std::{collections::BTreeSet, io};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// A reference to a component.
pub(super) fn reference(name: &str, version: OpenApi) -> Value {
    json!({"$ref": format!("{}{name}", prefix(version))})
}

const fn prefix(version: OpenApi) -> &'static str {
    match version {
        OpenApi::V2 => "#/definitions/",
        OpenApi::V3 => "#/components/schemas/",
    }
}

/// Component name of a kind: the type's, or the reversed group for custom kinds.
pub(super) fn name_of(def: &KindDef) -> String {
    match def.schema.type_name().filter(|_| !def.custom) {
        Some(name) => name.to_owned(),
        None => {
            let group: Vec<&str> = def.gvk.group.rsplit('.').filter(|label| !label.is_empty()).collect();
            let group = if group.is_empty() { "core".to_owned() } else { group.join(".") };
            format!("{group}.{}.{}", def.gvk.version, def.gvk.kind)
        }
    }
}

/// Component name of a kind's lists.
pub(super) fn list_name_of(def: &KindDef) -> String {
    let name = name_of(def);
    match name.strip_suffix(&*def.gvk.kind) {
        Some(stem) => format!("{stem}{}", def.list_kind),
        None => format!("{name}List"),
    }
}

/// Calls `emit` with every schema of these parts, each once; none is kept.
pub(super) fn each(
    server: &Server,
    parts: &[&Part<'_>],
    version: OpenApi,
    emit: &mut super::Emit<'_>,
) -> io::Result<()> {
    let (mut done, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    for part in parts {
        super::paths::each(part, version, &mut |_, path| {
            references(path, version, &mut wanted);
            Ok(())
        })?;
    }
    for kind in parts.iter().flat_map(|p| &p.kinds) {
        let def = &kind.def;
        if def.custom || def.schema.type_name().is_none() {
            let schema = own_schema(def, version);
            references(&schema, version, &mut wanted);
            for (name, schema) in [(name_of(def), schema), (list_name_of(def), list_schema(def, version))] {
                emit(&name, &schema)?;
                done.insert(name);
            }
            wanted.insert(format!("{META}.ListMeta"));
        }
    }
    wanted.retain(|name| !done.contains(name));
    while let Some(name) = wanted.pop_first() {
        let mut schema = match server.config.docs.component(&name, version) {
            Value::Null => unknown(&name, parts, version),
            schema => schema,
        };
        if name == WATCH_EVENT {
            let text = "The new state, the last one before a deletion, or a Status that tells of an error.";
            schema["properties"]["object"] = described_reference(RAW_EXTENSION, text, version);
        }
        if let (OpenApi::V3, DELETE_OPTIONS | WATCH_EVENT, [part]) = (version, &*name, parts) {
            of_group(&mut schema, part);
        }
        emit(&name, &schema)?;
        done.insert(name);
        references(&schema, version, &mut wanted);
        wanted.retain(|name| !done.contains(name));
    }
    Ok(())
}

/// Such types belong to every group: a document names its own.
fn of_group(schema: &mut Value, part: &Part<'_>) {
    let kinds = schema.get_mut("x-kubernetes-group-version-kind").and_then(Value::as_array_mut);
    let Some(kinds) = kinds.filter(|_| !part.group.is_empty()) else { return };
    let kind = kinds.first().map(|gvk| gvk["kind"].clone());
    kinds.push(json!({"group": part.group, "version": part.version, "kind": kind}));
}

/// A type whose texts nobody knows: an open object, or a list of its kind.
fn unknown(name: &str, parts: &[&Part<'_>], version: OpenApi) -> Value {
    let mut kinds = parts.iter().flat_map(|p| &p.kinds).map(|k| &k.def);
    match kinds.find_map(|def| {
        (name_of(def) == name)
            .then(|| with_kind(json!({"type": "object"}), def, &def.gvk.kind))
            .or_else(|| (list_name_of(def) == name).then(|| list_schema(def, version)))
    }) {
        Some(schema) => schema,
        None => json!({"type": "object"}),
    }
}

fn own_schema(def: &KindDef, version: OpenApi) -> Value {
    if version == OpenApi::V2 && def.schema.preserve_unknown {
        // kubectl takes any property that is named for the only ones that there may be.
        return with_kind(json!({"type": "object"}), def, &def.gvk.kind);
    }
    let mut schema = match version {
        OpenApi::V2 => proa_schema::crd::openapi::v2(&def.schema),
        OpenApi::V3 => proa_schema::crd::openapi::v3(&def.schema),
    };
    schema["type"] = json!("object");
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    for (field, text) in type_fields() {
        schema["properties"][field] = json!({"type": "string", "description": text});
    }
    schema["properties"]["metadata"] = described_reference(
        &format!("{META}.ObjectMeta"),
        "Standard object's metadata, see \
         https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        version,
    );
    with_kind(schema, def, &def.gvk.kind)
}

fn list_schema(def: &KindDef, version: OpenApi) -> Value {
    let mut properties = json!({
        "items": {
            "type": "array", "items": reference(&name_of(def), version),
            "description": format!("List of {}.", def.resource),
        },
        "metadata": described_reference(&format!("{META}.ListMeta"), "Standard list metadata.", version),
    });
    for (field, text) in type_fields() {
        properties[field] = json!({"type": "string", "description": text});
    }
    let schema = json!({
        "description": format!("{} is a list of {}", def.list_kind, def.gvk.kind),
        "type": "object", "required": ["items"], "properties": properties,
    });
    with_kind(schema, def, &def.list_kind)
}

const fn type_fields() -> [(&'static str, &'static str); 2] {
    [
        ("apiVersion", "APIVersion defines the version of this object's schema."),
        ("kind", "Kind names the REST resource that this object represents, in CamelCase."),
    ]
}

/// In version 3 a reference beside other words stands in an `allOf`.
fn described_reference(name: &str, text: &str, version: OpenApi) -> Value {
    match version {
        OpenApi::V2 => json!({"$ref": format!("{}{name}", prefix(version)), "description": text}),
        OpenApi::V3 => json!({"allOf": [reference(name, version)], "description": text}),
    }
}

fn with_kind(mut schema: Value, def: &KindDef, kind: &str) -> Value {
    let gvk = json!([{"group": def.gvk.group, "version": def.gvk.version, "kind": kind}]);
    schema["x-kubernetes-group-version-kind"] = gvk;
    schema
}

fn references(schema: &Value, version: OpenApi, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members {
                match member
                    .as_str()
                    .filter(|_| key == "$ref")
                    .and_then(|to| to.strip_prefix(prefix(version)))
                {
                    Some(name) => {
                        found.insert(name.to_owned());
                    }
                    None => references(member, version, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, version, found)),
        _ => {}
    }
}
