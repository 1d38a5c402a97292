//! `/scale`: replicas of any kind that declares where they are, as an autoscaling/v1 Scale.
//!
//! Upstream: apiextensions `pkg/registry/customresource/etcd.go` (ScaleREST), `pkg/registry/apps/*/storage`.

use super::{
    get::not_found,
    patch::{apply_patch, configuration, patch_error},
    update::{Change, Update},
    write::{Stages, in_order},
};
use crate::{
    entry::lookup,
    kind::{KindDef, Scale},
    metadata,
    registry::Registry,
    request::{Body, Object, Patch, PatchType, Target, Written},
};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, Gvk, gvk::GroupKind, selector};
use proa_schema::{
    Field, Lazy, ObjectShape, Schema, SchemaRef, Shape,
    apply::{
        FieldManager, Reset,
        scale::{keep_times, to_parent, to_scale},
    },
    decode,
    json::StrictIssue,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The present scale.
pub(super) async fn get(registry: &Registry, target: &Target) -> ApiResult<Value> {
    let def = &target.kind.def;
    let scale = declared(def)?;
    let entry = target.kind.get(&target.namespace, &target.name);
    let entry = registry.one_in_version(&target.kind, entry).await?.ok_or_else(|| not_found(target))?;
    Ok(scale_of(&entry.value(def), scale))
}

fn declared(def: &KindDef) -> ApiResult<&Scale> {
    def.scale.as_ref().ok_or_else(ApiError::no_such_resource)
}

pub(crate) fn scale_of(object: &Value, scale: &Scale) -> Value {
    let replicas = |path: &str| lookup(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut meta = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            meta[field] = value.clone();
        }
    }
    let mut status = json!({"replicas": replicas(&scale.status_replicas)});
    if let Some(text) = scale.selector.as_ref().and_then(|path| selector_text(lookup(object, path)?)) {
        status["selector"] = json!(text);
    }
    let desired = replicas(&scale.spec_replicas);
    let spec = if desired == 0 { json!({}) } else { json!({"replicas": desired}) };
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status})
}

/// The selector as text: as it is, or printed from a LabelSelector or a map of labels.
fn selector_text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let labels = value.as_object().filter(|map| !map.is_empty() && map.values().all(Value::is_string));
    if let Some(labels) = labels {
        let whole = json!({"matchLabels": labels});
        return selector::LabelSelector::compile_json(Some(&whole)).ok().map(|s| s.to_string());
    }
    selector::LabelSelector::compile_json(Some(value)).ok().map(|s| s.to_string())
}

/// Replaces the scale.
pub(super) async fn update(stages: &Stages<'_>, body: Body) -> ApiResult<Written> {
    let mut scale = body.value;
    let unknown = decode_scale(stages, &mut scale, unhandled)?;
    let warnings = stages.options.strictness(&in_order(false, body.issues, unknown), unhandled)?;
    check(stages, &scale)?;
    run(stages, SetReplicas { wanted: Wanted::Body(scale) }, warnings).await
}

/// Patches the scale.
pub(super) async fn patch(stages: &Stages<'_>, patch: &Patch) -> ApiResult<Written> {
    let (wanted, warnings) = match patch.kind {
        PatchType::Apply => {
            (Wanted::Applied(configuration(stages, patch)?), stages.tell_repeated(&patch.issues)?)
        }
        _ => (Wanted::Patch(patch.clone()), Vec::new()),
    };
    run(stages, SetReplicas { wanted }, warnings).await
}

async fn run(stages: &Stages<'_>, change: SetReplicas, warnings: Vec<String>) -> ApiResult<Written> {
    declared(stages.def())?;
    let mut written = Update::new(stages, change).run(warnings).await?;
    let object = match &written.object {
        Object::Stored(entry) => entry.value(stages.def()),
        Object::Made(value) => Value::clone(value),
    };
    written.object = Object::Made(Arc::new(scale_of(&object, declared(stages.def())?)));
    Ok(written)
}

struct SetReplicas {
    wanted: Wanted,
}

enum Wanted {
    Body(Value),
    Patch(Patch),
    Applied(Value),
}

/// The Scale after an apply, with the owners of its fields.
fn apply(stages: &Stages<'_>, declared: &Scale, old: &Value, applied: Value) -> ApiResult<Value> {
    let mut before = scale_of(old, declared);
    let owners = to_scale(old, &steps(&declared.spec_replicas));
    if !owners.is_empty() {
        metadata::of(&mut before).insert("managedFields".to_owned(), owners.into());
    }
    let manager = FieldManager {
        schema: &schema(&stages.registry.config.object_meta),
        api_version: "autoscaling/v1",
        kind: "Scale",
        subresource: "scale",
        manager: &stages.options.field_manager,
        now: &stages.now_text(),
        reset: Reset::Nothing,
    };
    manager.apply(Some(&before), applied, stages.options.force)
}

/// The type of a Scale.
fn schema(object_meta: &SchemaRef) -> Schema {
    let named = |name, load| SchemaRef::Lazy(Arc::new(Lazy::new(name, load)));
    object(vec![
        ("apiVersion", text()),
        ("kind", text()),
        ("metadata", object_meta.clone()),
        ("spec", named("ScaleSpec", |_| object(vec![("replicas", count())]))),
        ("status", named("ScaleStatus", |_| object(vec![("replicas", count()), ("selector", text())]))),
    ])
}

fn object(fields: Vec<(&str, SchemaRef)>) -> Schema {
    let fields = fields.into_iter().map(|(name, schema)| (name.into(), Field::new(schema))).collect();
    Schema::of(Shape::Object(ObjectShape { fields, ..ObjectShape::default() }))
}

fn count() -> SchemaRef {
    SchemaRef::inline(Schema::of(Shape::Integer { bits: 32 }))
}

fn text() -> SchemaRef {
    SchemaRef::inline(Schema::of(Shape::String))
}

/// The names on a dotted path.
fn steps(path: &str) -> Vec<&str> {
    path.trim_start_matches('.').split('.').collect()
}

/// 400 for a Scale that is not of its type.
fn unhandled(why: &str) -> ApiError {
    decode::cannot_be_handled("Scale", "v1", why)
}

/// Brings a Scale into its type. Returns the fields that the type does not know, which are dropped.
fn decode_scale(
    stages: &Stages<'_>,
    scale: &mut Value,
    refuse: impl FnOnce(&str) -> ApiError,
) -> ApiResult<Vec<StrictIssue>> {
    stages.registry.catalogue().is_of_kind(scale, &Gvk::new("autoscaling", "v1", "Scale"))?;
    let schema = schema(&stages.registry.config.object_meta);
    decode::decode_part(&schema, scale, "Scale").map_err(|error| refuse(&error.to_string()))
}

/// A Scale that was decoded is this object's, and asks for what can be.
fn check(stages: &Stages<'_>, scale: &Value) -> ApiResult<()> {
    let name = metadata::text(scale, "name");
    if !name.is_empty() && name != stages.target.name {
        stages.check_name(scale)?;
    }
    let replicas = &scale["spec"]["replicas"];
    // The whole object of a custom kind is validated after.
    if stages.def().custom || replicas.as_i64().unwrap_or(0) >= 0 {
        return Ok(());
    }
    let mut errors = FieldErrors::default();
    let spec = FieldPath::root("spec");
    errors.invalid(&spec.child("replicas"), replicas, "must be greater than or equal to 0");
    Err(ApiError::invalid(&GroupKind::new("autoscaling", "Scale"), &stages.target.name, &errors))
}

/// The replicas that a Scale asks for, none when it does not say.
pub(crate) fn replicas_of(scale: &Value) -> ApiResult<Value> {
    match &scale["spec"]["replicas"] {
        Value::Null => Ok(json!(0)),
        value if value.as_i64().is_some_and(|count| i32::try_from(count).is_ok()) => Ok(value.clone()),
        _ => Err(ApiError::bad_request("spec.replicas must be an integer")),
    }
}

impl Change for SetReplicas {
    fn change(&self, stages: &Stages<'_>, old: &Value) -> ApiResult<Value> {
        let declared = declared(stages.def())?;
        let scale = match &self.wanted {
            Wanted::Body(scale) => scale.clone(),
            Wanted::Patch(patch) => {
                let before = scale_of(old, declared);
                let mut patch = patch.clone();
                // Every field of a Scale is atomic but the maps.
                if patch.kind == PatchType::Strategic {
                    patch.kind = PatchType::Merge;
                }
                let (mut after, mut issues) = apply_patch(&patch, &Schema::default(), &before)?;
                let patched = after.clone();
                let refuse = |why: &str| patch_error(&patched, why);
                issues.extend(decode_scale(stages, &mut after, refuse)?);
                let warnings = stages.options.strictness(&issues, refuse)?;
                warnings.into_iter().for_each(|text| stages.notes.warn(text));
                check(stages, &after)?;
                after
            }
            Wanted::Applied(applied) => {
                let mut after = apply(stages, declared, old, applied.clone())?;
                decode_scale(stages, &mut after, unhandled)?;
                check(stages, &after)?;
                after
            }
        };
        let mut new = old.clone();
        for field in ["resourceVersion", "uid"] {
            match scale["metadata"].get(field) {
                Some(value) => metadata::of(&mut new).insert(field.to_owned(), value.clone()),
                None => metadata::of(&mut new).remove(field),
            };
        }
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        set(&mut new, &declared.spec_replicas, json!(replicas));
        match &self.wanted {
            Wanted::Applied(_) => {
                let owners = scale["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
                let (path, version) = (steps(&declared.spec_replicas), stages.def().gvk.api_version());
                let entries = to_parent(old, owners, &path, &version);
                metadata::of(&mut new).insert("managedFields".to_owned(), entries.into());
            }
            Wanted::Body(_) | Wanted::Patch(_) => stages.manage(old, &mut new),
        }
        keep_times(old, &mut new);
        Ok(new)
    }
}

/// Sets the value at a dotted path; missing objects on the way are made.
pub(crate) fn set(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for step in steps(path) {
        at = metadata::map(at).entry(step).or_insert(Value::Null);
    }
    *at = value;
}
