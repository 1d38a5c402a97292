//! A definition as kinds: one per served version, all on the same storage.
//!
//! Upstream: apiextensions `pkg/apiserver/customresource_handler.go`.

use crate::{
    catalogue::compare_versions,
    conversion::{ConversionWebhook, Versions},
    kind::{Column, Generation, KindDef, Propagation, Row, Scale, Scope, Selectable, Strategy, Table},
    webhook::WebhookClient,
};
use proa_meta::{ApiError, ApiResult, GroupResource, Gvk, gvk::Name};
use proa_schema::{SchemaRef, crd, jsonpath::JsonPath};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

fn owned(value: &Value) -> Name {
    Name::Owned(value.as_str().unwrap_or_default().to_owned())
}

fn names(value: &Value) -> Vec<Name> {
    value.as_array().into_iter().flatten().map(owned).collect()
}

/// The served kinds of an accepted definition.
///
/// # Errors
/// The schema cannot be used; it was checked when it was written, so the definition is older than this server.
pub(super) fn kinds(definition: &Value) -> ApiResult<Vec<KindDef>> {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    versions.filter(|v| v["served"] == true).map(|version| kind(definition, version)).collect()
}

fn kind(definition: &Value, version: &Value) -> ApiResult<KindDef> {
    let spec = &definition["spec"];
    // The names that were accepted count, not the ones that are asked for by now.
    let accepted = &definition["status"]["acceptedNames"];
    let accepted = if accepted.is_object() { accepted } else { &spec["names"] };
    let gvk = Gvk {
        group: owned(&spec["group"]),
        version: owned(&version["name"]),
        kind: owned(&accepted["kind"]),
    };
    let subresources = &version["subresources"];
    let strategy = Strategy {
        generation: Generation::Spec,
        unconditional_update: false,
        default_propagation: Propagation::Background,
        create_warnings: |object| finalizer_warnings(object, &Value::Null),
        update_warnings: finalizer_warnings,
        ..Strategy::default()
    };
    Ok(KindDef {
        resource: owned(&accepted["plural"]),
        singular: owned(&accepted["singular"]),
        list_kind: owned(&accepted["listKind"]),
        short_names: names(&accepted["shortNames"]),
        categories: names(&accepted["categories"]),
        scope: if spec["scope"] == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        schema: schema(definition, version)?,
        storage: GroupResource { group: gvk.group.clone(), resource: owned(&accepted["plural"]) },
        table: table(version),
        strategy,
        selectable: selectable(definition, version),
        status: subresources["status"].is_object(),
        scale: scale(&subresources["scale"]),
        versions: versions(definition)?,
        custom: true,
        deprecation: deprecation(spec, version, &gvk),
        ..KindDef::namespaced(gvk, "", SchemaRef::default())
    })
}

/// Finalizers that came with a write and that anybody else might use too. Upstream:
/// `pkg/registry/customresource/validator.go`.
fn finalizer_warnings(new: &Value, old: &Value) -> Vec<String> {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    let of = |object: &Value| -> BTreeSet<String> {
        let list = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let before = of(old);
    let is_bare = |name: &&String| !name.contains('/') && !STANDARD.contains(&name.as_str());
    let warning = |name: &String| {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        )
    };
    of(new).difference(&before).filter(is_bare).map(warning).collect()
}

/// How objects are stored, when there are several versions.
fn versions(definition: &Value) -> ApiResult<Option<Arc<Versions>>> {
    let all = definition["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let stored = all.iter().find(|version| version["storage"] == true);
    let Some(stored) = stored.filter(|_| all.len() > 1) else { return Ok(None) };
    let first = definition["status"]["storedVersions"].get(0).unwrap_or(&stored["name"]);
    let conversion = &definition["spec"]["conversion"];
    let webhook =
        if conversion["strategy"] == "Webhook" { Some(webhook(&conversion["webhook"])?) } else { None };
    Ok(Some(Arc::new(Versions { stored: owned(&stored["name"]), first: owned(first), webhook })))
}

fn webhook(conversion: &Value) -> ApiResult<ConversionWebhook> {
    let client = WebhookClient::of(&conversion["clientConfig"]).map_err(ApiError::internal)?;
    let versions = conversion["conversionReviewVersions"].as_array().into_iter().flatten();
    let review_versions = versions.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(ConversionWebhook { client, review_versions })
}

fn schema(definition: &Value, version: &Value) -> ApiResult<SchemaRef> {
    let declared = &version["schema"]["openAPIV3Schema"];
    crd::schema_of(declared).map(SchemaRef::inline).map_err(|why| {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        ApiError::internal(format_args!("schema of {name} in version {}: {why}", version["name"]))
    })
}

fn table(version: &Value) -> Table {
    // The name comes first and is implied.
    let (mut columns, mut paths) = (Vec::new(), Vec::new());
    match version["additionalPrinterColumns"].as_array() {
        Some(declared) if !declared.is_empty() => {
            for column in declared {
                let path = column["jsonPath"].as_str().unwrap_or_default();
                // A path that cannot be read ends the table, as upstream.
                if JsonPath::parse(path).is_err() {
                    break;
                }
                let description = match &column["description"] {
                    Value::String(text) if !text.is_empty() => text.clone(),
                    _ => format!("Custom resource definition column (in JSONPath format): {path}"),
                };
                columns.push(Column {
                    name: owned(&column["name"]),
                    kind: owned(&column["type"]),
                    format: owned(&column["format"]),
                    description: Name::Owned(description),
                    priority: column["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
                });
                paths.push(path.to_owned());
            }
        }
        _ => {
            columns.push(Column::of("Age", "date"));
            paths.push(".metadata.creationTimestamp".to_owned());
        }
    }
    Table { columns, row: Row::Paths(paths.into()) }
}

/// The fields of all versions, in the same order for each: they share what is known of stored objects.
fn selectable(definition: &Value, version: &Value) -> Vec<Selectable> {
    fn paths(version: &Value) -> impl Iterator<Item = &str> {
        let fields = version["selectableFields"].as_array().into_iter().flatten();
        fields.map(|field| field["jsonPath"].as_str().unwrap_or_default().trim_start_matches('.'))
    }
    let mut all: Vec<&str> = Vec::new();
    for path in definition["spec"]["versions"].as_array().into_iter().flatten().flat_map(paths) {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    let field = |path: &str| Selectable {
        field: Name::Owned(path.to_owned()),
        is_anothers: paths(version).all(|own| own != path),
        ..Selectable::new("")
    };
    all.into_iter().map(field).collect()
}

fn scale(declared: &Value) -> Option<Scale> {
    declared.is_object().then(|| Scale {
        spec_replicas: owned(&declared["specReplicasPath"]),
        status_replicas: owned(&declared["statusReplicasPath"]),
        selector: declared["labelSelectorPath"].is_string().then(|| owned(&declared["labelSelectorPath"])),
    })
}

fn deprecation(spec: &Value, version: &Value, gvk: &Gvk) -> Option<Name> {
    if version["deprecated"] != true {
        return None;
    }
    if let Some(text) = version["deprecationWarning"].as_str() {
        return Some(Name::Owned(text.to_owned()));
    }
    let mut text = format!("{} {} is deprecated", gvk.api_version(), gvk.kind);
    // The newest version that is better.
    let others = spec["versions"].as_array().into_iter().flatten();
    let others = others.filter(|other| other["served"] == true && other["deprecated"] != true);
    let names = others.filter_map(|other| other["name"].as_str());
    let better = names.filter(|name| compare_versions(name, &gvk.version).is_lt());
    if let Some(name) = better.min_by(|a, b| compare_versions(a, b)) {
        text.push_str(&format!("; use {}/{name} {}", gvk.group, gvk.kind));
    }
    Some(Name::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_finalizers_without_an_owner_are_warned_of() {
        let object = |names: &[&str]| serde_json::json!({"metadata": {"finalizers": names}});
        let new = object(&["old", "plain", "a.b", "a.b/c", "orphan"]);
        let told = finalizer_warnings(&new, &object(&["old"]));
        let starts = [
            "metadata.finalizers: \"a.b\": prefer a domain-qualified finalizer name including a path (/) to",
            "metadata.finalizers: \"plain\": prefer a domain-qualified finalizer name to avoid",
        ];
        assert_eq!(told.len(), starts.len(), "{told:?}");
        assert!(told.iter().zip(starts).all(|(text, start)| text.starts_with(start)), "{told:?}");
    }

    #[test]
    fn a_deprecated_version_names_a_better_one() {
        let version = |name: &str, deprecated: bool| serde_json::json!({"name": name, "served": true, "deprecated": deprecated});
        let spec = serde_json::json!({"versions": [version("v1beta1", true), version("v1", false), version("v2", false),
            version("v3", true), version("v1alpha1", false)]});
        let of = |name: &'static str| {
            let gvk = Gvk::new("a.b", name, "K");
            deprecation(&spec, &version(name, true), &gvk).map(|text| text.to_string())
        };
        assert_eq!(of("v1beta1").as_deref(), Some("a.b/v1beta1 K is deprecated; use a.b/v2 K"));
        assert_eq!(of("v3").as_deref(), Some("a.b/v3 K is deprecated"));
    }

    #[test]
    fn versions_count_the_same_fields_and_name_their_own() {
        let version = |paths: &[&str]| {
            let fields: Vec<Value> = paths.iter().map(|path| serde_json::json!({"jsonPath": path})).collect();
            serde_json::json!({"selectableFields": fields})
        };
        let (first, second) = (version(&[".hostPort"]), version(&[".host", ".hostPort"]));
        let definition = serde_json::json!({"spec": {"versions": [first, second, {"name": "v3"}]}});
        let named = |version: &Value| {
            let fields = selectable(&definition, version);
            assert_eq!(fields.iter().map(|field| &*field.field).collect::<Vec<_>>(), ["hostPort", "host"]);
            let own = fields.iter().filter(|field| field.is_called(&field.field));
            own.map(|field| field.field.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(named(&first), ["hostPort"]);
        assert_eq!(named(&second), ["hostPort", "host"]);
        assert_eq!(named(&serde_json::json!({})), Vec::<String>::new());
    }
}
