//! The stages that every write shares, in upstream's order.
//!
//! decode (strictness) -> default -> [patch onto current] -> managed fields -> mutating admission -> prepare metadata
//! -> validate -> validating admission -> commit. Upstream: apiserver `pkg/endpoints/handlers/{create,update,patch}.go`,
//! `pkg/registry/generic/registry/store.go`.

use crate::{
    admission::{AdmissionRequest, Notes, Operation, Options, Rounds},
    charge::Beside,
    entry::{Entry, lookup, storage_key},
    kind::{Generation, KindDef},
    metadata,
    registry::Registry,
    request::{Object, Target, WriteOptions, Written},
};
use proa_meta::{
    ApiError, ApiResult, FieldErrors, FieldPath, GroupResource,
    gvk::{self, GroupKind},
};
use proa_schema::{
    apply::{FieldManager, Reset},
    canonical, decode, default,
    json::StrictIssue,
    prune, validate,
};
use proa_store::{Expect, Guard, Key};
use serde_json::{Value, json};
use std::sync::Arc;

/// Groups whose finalizers need not be qualified names.
const FREE_FINALIZERS: [&str; 6] = [
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "admissionregistration.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "policy",
];
/// Groups whose validation tells the same error as often as it is found.
const REPEATING: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];
const NAMESPACES: GroupResource = GroupResource::new("", "namespaces");

/// One write on its way.
pub(super) struct Stages<'a> {
    pub(super) registry: &'a Arc<Registry>,
    pub(super) target: &'a Target,
    pub(super) options: &'a WriteOptions,
    pub(super) operation: Operation,
    /// The options as they came.
    pub(super) asked: Options<'a>,
    pub(super) notes: Arc<Notes>,
}

impl<'a> Stages<'a> {
    pub(super) fn new(
        registry: &'a Arc<Registry>,
        target: &'a Target,
        options: &'a WriteOptions,
        operation: Operation,
    ) -> Self {
        Self { registry, target, options, operation, asked: Options::Write(options), notes: Arc::default() }
    }
    /// The same request as a create.
    pub(super) fn as_create(&self) -> Self {
        Self { operation: Operation::Create, notes: self.notes.clone(), ..*self }
    }
    pub(super) fn def(&self) -> &'a KindDef {
        &self.target.kind.def
    }
    pub(super) fn key(&self, name: &str) -> Key {
        storage_key(&self.def().storage, &self.target.namespace, name)
    }

    /// The body is of the kind that the request is about; what it leaves out is filled in.
    pub(super) fn identify(&self, object: &mut Value) -> ApiResult<()> {
        let def = self.def();
        let kind = object["kind"].as_str().unwrap_or_default();
        let (given, expected) = (object["apiVersion"].as_str().unwrap_or_default(), def.gvk.api_version());
        if def.custom && !given.is_empty() && given != expected {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({given}) does not match the expected API version ({expected})"
            )));
        }
        if def.custom && !kind.is_empty() && *kind != *def.gvk.kind {
            return Err(other_custom_kind(def, object, kind));
        }
        self.registry.catalogue().is_of_kind(object, &def.gvk)?;
        let members = metadata::map(object);
        members.insert("apiVersion".to_owned(), json!(def.gvk.api_version()));
        members.insert("kind".to_owned(), json!(def.gvk.kind));
        Ok(())
    }

    /// The object is in the namespace of the request. Objects of no namespace may name any: it is dropped.
    pub(super) fn check_namespace(&self, object: &mut Value) -> ApiResult<()> {
        let wanted = &self.target.namespace;
        let found = metadata::text(object, "namespace");
        if !self.def().is_namespaced() {
            if !found.is_empty() {
                metadata::of(object).remove("namespace");
            }
            return Ok(());
        }
        if !found.is_empty() && found != wanted {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata::of(object).insert("namespace".to_owned(), json!(wanted));
        Ok(())
    }

    /// Types, unknown fields and defaults. Returns the warnings.
    pub(super) fn decode(&self, object: &mut Value, repeated: Vec<StrictIssue>) -> ApiResult<Vec<String>> {
        let unknown = self.decode_types(object)?;
        let issues = in_order(self.def().custom, repeated, unknown);
        let gvk = &self.def().gvk;
        self.options.strictness(&issues, |text| decode::cannot_be_handled(&gvk.kind, &gvk.version, text))
    }

    /// Types and unknown fields; strictness is the caller's.
    pub(super) fn decode_types(&self, object: &mut Value) -> ApiResult<Vec<StrictIssue>> {
        decode_types(self.registry, self.def(), object)
    }

    /// The namespace of a new object exists and is not being deleted; guards the write against that changing.
    pub(super) fn namespace_guard(&self, object: &Value) -> ApiResult<Vec<Guard>> {
        if !self.def().is_namespaced() {
            return Ok(Vec::new());
        }
        let name = &self.target.namespace;
        let namespaces = self.registry.kind(&gvk::Gvr::new("", "v1", "namespaces"));
        let Some(namespaces) = namespaces else { return Ok(Vec::new()) };
        let key = storage_key(&NAMESPACES, "", name);
        let Some(entry) = namespaces.state.get(&key) else {
            return Err(ApiError::not_found(&NAMESPACES, name));
        };
        if entry.is_deleting() {
            let why =
                format!("unable to create new content in namespace {name} because it is being terminated");
            let cause = proa_meta::status::Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {name} is being terminated"),
                field: "metadata.namespace".to_owned(),
            };
            let named = ["name", "generateName"].map(|field| metadata::text(object, field));
            let object = named.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
            return Err(ApiError::forbidden(&self.def().group_resource(), object, &why).with_cause(cause));
        }
        Ok(vec![Guard { key, expect: Expect::At(entry.revision) }])
    }

    fn admission<'b>(
        &'b self,
        name: &'b str,
        old: Option<&'b Value>,
        rounds: &'b Rounds,
    ) -> AdmissionRequest<'b> {
        AdmissionRequest {
            registry: self.registry,
            kind: self.def(),
            subresource: &self.target.subresource,
            namespace: &self.target.namespace,
            name,
            operation: self.operation,
            user: &self.target.user,
            dry_run: self.options.dry_run,
            old,
            options: self.asked,
            notes: &self.notes,
            rounds,
        }
    }

    /// Mutating admission; `object` is null on delete. Whether anyone had a say in it.
    pub(super) async fn mutate(&self, object: &mut Value, old: Option<&Value>) -> ApiResult<bool> {
        let name = match self.target.name.as_str() {
            "" => metadata::text(object, "name").to_owned(),
            name => name.to_owned(),
        };
        let rounds = Rounds::default();
        let mut is_heard = false;
        loop {
            let request = self.admission(&name, old, &rounds);
            for plugin in self.registry.mutators() {
                if plugin.handles(&request) {
                    plugin.admit(&request, object).await?;
                    is_heard = true;
                }
            }
            if !rounds.next() {
                return Ok(is_heard);
            }
        }
    }

    /// Validating admission; `object` is null on delete.
    pub(super) async fn admit(&self, name: &str, object: &Value, old: Option<&Value>) -> ApiResult<()> {
        let rounds = Rounds::default();
        let request = self.admission(name, old, &rounds);
        for plugin in self.registry.validators() {
            if plugin.handles(&request) {
                plugin.validate(&request, object).await?;
            }
        }
        Ok(())
    }

    /// The line of those who charge the same objects.
    pub(super) fn line(&self) -> Option<Key> {
        let rounds = Rounds::default();
        let request = self.admission(&self.target.name, None, &rounds);
        let mut charging = self.registry.charges().iter().filter(|plugin| plugin.handles(&request));
        charging.find_map(|plugin| plugin.line(&request))
    }

    /// What changes with the object.
    pub(super) async fn charge(
        &self,
        name: &str,
        object: &Value,
        old: Option<&Value>,
    ) -> ApiResult<Vec<Beside>> {
        let rounds = Rounds::default();
        let request = self.admission(name, old, &rounds);
        let mut all = Vec::new();
        for plugin in self.registry.charges() {
            if plugin.handles(&request) {
                all.extend(plugin.charge(&request, object).await?);
            }
        }
        Ok(all)
    }

    /// Picks and checks unique values.
    pub(super) fn claim(&self, new: &mut Value, old: Option<&Value>, errors: &mut FieldErrors) {
        if let Some(claims) = self.def().claims {
            (claims.allocate)(new, old, &self.registry.claims, errors);
        }
    }

    /// Brings the object into the form that is stored.
    pub(super) fn canonical(&self, object: &mut Value) {
        canonical_form(self.registry, self.def(), object);
    }

    fn canonical_sent(&self, object: &mut Value) {
        match self.def().custom {
            true => self.canonical(object),
            false => canonical::canonical_sent(&self.def().schema, object),
        }
    }

    /// Rules that hold for every state of the object.
    pub(super) fn validate(&self, object: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
        let def = self.def();
        metadata::validate(object, def.is_namespaced(), def.strategy.name, errors);
        let is_free =
            FREE_FINALIZERS.contains(&&*def.gvk.group) || (&*def.gvk.group, &*def.gvk.kind) == ("", "Event");
        if !def.custom && !is_free {
            metadata::validate_standard_finalizers(object, errors);
        }
        if def.custom {
            let validate = match self.target.subresource.as_str() {
                "status" => validate::validate_status,
                _ => validate::validate_object,
            };
            for warning in validate(&def.schema, object, old, errors) {
                self.notes.warn(warning);
            }
            scale_numbers(def, object, self.target.subresource == "status", errors);
        } else {
            (def.strategy.validate)(object, errors);
        }
    }

    /// 422 when something is wrong.
    pub(super) fn refuse(&self, object: &Value, errors: &FieldErrors) -> ApiResult<()> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(invalid(self.def(), object, errors))
    }

    /// Records who set what in a new object, in canonical form: what is left out has no owner.
    pub(super) fn manage_new(&self, new: &mut Value) {
        self.canonical_sent(new);
        self.managing(|manager| manager.create(new));
    }

    /// Records who changed what.
    pub(super) fn manage(&self, old: &Value, new: &mut Value) {
        self.canonical_sent(new);
        self.managing(|manager| manager.update(old, new));
    }

    /// The object after an apply, with its owners recorded.
    pub(super) fn apply(&self, live: Option<&Value>, applied: Value) -> ApiResult<Value> {
        self.managing(|manager| manager.apply(live, applied, self.options.force))
    }

    /// The same for the body of a virtual kind or of a subresource, in the form of its own type.
    pub(super) fn manage_body(&self, body: &mut Value) {
        let def = self.def();
        let subresource = def.subresources.iter().find(|s| s.name == self.target.subresource);
        let (schema, gvk) = subresource.map_or((&def.schema, &def.gvk), |s| (&s.schema, &s.gvk));
        canonical::canonical(schema, body);
        let manager = FieldManager {
            schema,
            api_version: &gvk.api_version(),
            kind: &gvk.kind,
            subresource: &self.target.subresource,
            manager: &self.options.field_manager,
            now: &self.now_text(),
            reset: Reset::Nothing,
        };
        manager.create(body);
    }

    pub(super) fn managing<T>(&self, act: impl FnOnce(&FieldManager<'_>) -> T) -> T {
        let def = self.def();
        act(&FieldManager {
            schema: &def.schema,
            api_version: &def.gvk.api_version(),
            kind: &def.gvk.kind,
            subresource: &self.target.subresource,
            manager: &self.options.field_manager,
            now: &self.now_text(),
            reset: reset_fields(def, &self.target.subresource),
        })
    }

    pub(super) fn now_text(&self) -> String {
        proa_meta::time::Time::new(self.registry.now()).to_string()
    }

    /// Sets the generation a change leads to.
    pub(super) fn generation(&self, new: &mut Value, old: &Value) {
        let rule = self.def().strategy.generation;
        if rule == Generation::None {
            return;
        }
        let before = old["metadata"]["generation"].as_i64().unwrap_or(0);
        let differs = |field: &str| new["metadata"][field] != old["metadata"][field];
        let described = match rule {
            Generation::SpecOrAnnotations => differs("annotations"),
            Generation::SpecOrLabels => differs("labels"),
            _ => false,
        };
        let grows = described || desired_differs(new, old, self.def().status);
        let generation = if grows { before + 1 } else { before };
        if generation > 0 {
            metadata::of(new).insert("generation".to_owned(), json!(generation));
        }
    }

    /// The answer to a write that stored or left `entry`.
    pub(super) fn written(&self, entry: Arc<Entry>, created: bool, warnings: Vec<String>) -> Written {
        let object = if self.options.dry_run && entry.revision.0 == 0 {
            Object::Made(Arc::new(without_revision(entry.value(self.def()))))
        } else {
            Object::Stored(entry)
        };
        Written { object, created, accepted: false, warnings }
    }
}

/// 422: an object of a custom kind is of that kind.
fn other_custom_kind(def: &KindDef, object: &Value, kind: &str) -> ApiError {
    let mut errors = FieldErrors::default();
    errors.invalid(&FieldPath::root("kind"), &json!(kind), &format!("must be {}", def.gvk.kind));
    let given = GroupKind { group: def.gvk.group.clone(), kind: kind.to_owned().into() };
    ApiError::invalid(&given, metadata::text(object, "name"), &errors)
}

/// What the paths of a custom kind's scale lead to are numbers that count. Who writes the status alone has no say in what
/// is desired.
fn scale_numbers(def: &KindDef, object: &Value, status_only: bool, errors: &mut FieldErrors) {
    let Some(scale) = def.scale.as_ref().filter(|_| def.custom) else { return };
    let desired = (!status_only).then_some(&scale.spec_replicas);
    for path in desired.into_iter().chain([&scale.status_replicas]) {
        let Some(value) = lookup(object, path).filter(|value| !value.is_null()) else { continue };
        let why = match value.as_i64() {
            Some(..0) => "should be a non-negative integer".to_owned(),
            Some(number) if number > i64::from(i32::MAX) => {
                format!("should be less than or equal to {}", i32::MAX)
            }
            _ => continue,
        };
        errors.invalid(&FieldPath::root(path), value, &why);
    }
}

/// 422 that names the object.
fn invalid(def: &KindDef, object: &Value, errors: &FieldErrors) -> ApiError {
    let name = match metadata::text(object, "name") {
        "" => metadata::text(object, "generateName"),
        name => name,
    };
    // Of what is declared on a built-in type upstream tells each thing once.
    if def.custom || REPEATING.contains(&&*def.gvk.group) {
        return ApiError::invalid(&def.group_kind(), name, errors);
    }
    ApiError::invalid(&def.group_kind(), name, &errors.clone().without_repeats())
}

/// Brings an object into the types of its kind: what the kind does not know is dropped and told, defaults are set.
pub(crate) fn decode_types(
    registry: &Registry,
    def: &KindDef,
    object: &mut Value,
) -> ApiResult<Vec<StrictIssue>> {
    if !def.custom {
        let issues = decode::decode(&def.schema, object)?;
        default::default_values(&def.schema, object);
        (def.strategy.default)(object);
        return Ok(issues);
    }
    let handled = |e: decode::DecodeError| e.handled_as(&def.gvk.kind, &def.gvk.version);
    let meta = &registry.config.object_meta;
    let mut issues = decode::decode_part(meta, &mut object["metadata"], "ObjectMeta").map_err(handled)?;
    issues = issues.into_iter().map(|issue| in_metadata(&issue)).collect();
    canonical::canonical(meta, &mut object["metadata"]);
    issues.extend(prune::prune(&def.schema, object, prune::Root::Resource));
    let mut errors = FieldErrors::default();
    issues.extend(prune::coerce_embedded(&def.schema, object, meta, &mut errors));
    if let Some(first) = errors.iter().next() {
        return Err(decode::cannot_be_handled(&def.gvk.kind, &def.gvk.version, &first.to_string()));
    }
    default::default_values(&def.schema, object);
    Ok(issues)
}

/// The issues of a body as upstream comes upon them: JSON of built-in kinds is read and checked in one go, what is
/// unknown in YAML or in custom kinds is found after it was read.
pub(super) fn in_order(
    custom: bool,
    repeated: Vec<StrictIssue>,
    unknown: Vec<StrictIssue>,
) -> Vec<StrictIssue> {
    let at_once = !custom && repeated.iter().all(|issue| matches!(issue, StrictIssue::Duplicate(_)));
    if at_once { [unknown, repeated] } else { [repeated, unknown] }.concat()
}

/// Brings an object into the form that is stored.
pub(crate) fn canonical_form(registry: &Registry, def: &KindDef, object: &mut Value) {
    if def.custom {
        canonical::canonical(&registry.config.object_meta, &mut object["metadata"]);
    }
    canonical::canonical(&def.schema, object);
}

/// Managed fields never own what a write through this path cannot change.
fn reset_fields(def: &KindDef, subresource: &str) -> Reset<'static> {
    if let Some(part) = def.part(subresource) {
        return part.owned;
    }
    if let Some(resets) = (def.strategy.resets)(subresource) {
        return resets;
    }
    match subresource {
        "status" if def.custom => Reset::Exclude(&[&["spec"], &["metadata"]]),
        "status" => Reset::Exclude(&[&["spec"]]),
        _ if def.status => Reset::Exclude(&[&["status"]]),
        _ => Reset::Nothing,
    }
}

/// Whether anything but metadata (and status, when it is a subresource) differs.
fn desired_differs(new: &Value, old: &Value, status_apart: bool) -> bool {
    let skip =
        |key: &str| matches!(key, "metadata" | "apiVersion" | "kind") || (status_apart && key == "status");
    let members = |v: &Value, other: &Value| {
        v.as_object().is_some_and(|m| m.iter().any(|(k, value)| !skip(k) && other.get(k) != Some(value)))
    };
    members(new, old) || members(old, new)
}

fn in_metadata(issue: &StrictIssue) -> StrictIssue {
    match issue {
        StrictIssue::Unknown(path) => StrictIssue::Unknown(format!("metadata.{path}")),
        StrictIssue::Duplicate(path) => StrictIssue::Duplicate(format!("metadata.{path}")),
        StrictIssue::Yaml(text) => StrictIssue::Yaml(text.clone()),
    }
}

fn without_revision(mut object: Value) -> Value {
    metadata::of(&mut object).remove("resourceVersion");
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Scale;
    use proa_meta::Gvk;
    use proa_schema::SchemaRef;

    #[test]
    fn who_writes_the_status_answers_for_its_replicas_alone() {
        let path = |of: &str| format!(".{of}.replicas").into();
        let mut def = KindDef::cluster(Gvk::new("toy", "v1", "Toy"), "toys", SchemaRef::default());
        def.custom = true;
        def.scale =
            Some(Scale { spec_replicas: path("spec"), status_replicas: path("status"), selector: None });
        let found = |status_only| {
            let mut errors = FieldErrors::default();
            let object = json!({"spec": {"replicas": -1}, "status": {"replicas": -1}});
            scale_numbers(&def, &object, status_only, &mut errors);
            errors.iter().map(|error| error.field.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found(false), [".spec.replicas", ".status.replicas"]);
        assert_eq!(found(true), [".status.replicas"]);
    }
}
