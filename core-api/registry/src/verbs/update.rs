//! `update`: PUT of an object, a part of it or its scale.

use super::{get::not_found, scale, write::Stages};
use crate::{
    admission::Operation,
    charge::Beside,
    commit::{Decide, Done, Verdict},
    entry::Entry,
    kind::Generation,
    metadata,
    registry::Registry,
    request::{Body, Object, Target, WriteOptions, Written},
};
use futures::future::BoxFuture;
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, gvk::GroupKind};
use proa_store::Key;
use serde_json::{Value, json};
use std::sync::Arc;

impl Registry {
    /// Replaces an object, a part of it or its scale.
    ///
    /// # Errors
    /// 400, 403, 404, 409 and 422 as upstream.
    pub async fn update(
        self: &Arc<Self>,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> ApiResult<Written> {
        let stages = Stages::new(self, target, options, Operation::Update);
        match target.subresource.as_str() {
            "" | "status" => {}
            part if target.kind.def.part(part).is_some() => {}
            "scale" => return scale::update(&stages, body).await,
            _ => return self.call_action(target, body, options, "update").await,
        }
        let mut object = body.value;
        stages.identify(&mut object)?;
        let warnings = stages.decode(&mut object, body.issues)?;
        stages.check_name(&object)?;
        stages.check_namespace(&mut object)?;
        if target.kind.def.strategy.create_on_update
            && target.subresource.is_empty()
            && target.kind.get(&target.namespace, &target.name).is_none()
            && metadata::text(&object, "resourceVersion").is_empty()
        {
            metadata::wipe(&mut object);
            stages.manage_new(&mut object);
            return stages.as_create().store_new(object, false, warnings).await;
        }
        Update::new(&stages, Put(object)).run(warnings).await
    }
}

impl Stages<'_> {
    /// The body names the object that the URL names.
    pub(super) fn check_name(&self, object: &Value) -> ApiResult<()> {
        let name = metadata::text(object, "name");
        if name == self.target.name {
            return Ok(());
        }
        if name.is_empty() {
            let message = format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                self.target.name
            );
            return Err(ApiError::bad_request(message));
        }
        Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            self.target.name
        )))
    }
}

/// How the new object comes from the present one. Repeatable.
pub(super) trait Change: Send + Sync {
    /// The new object, decoded, defaulted and with managed fields, before admission.
    fn change(&self, stages: &Stages<'_>, old: &Value) -> ApiResult<Value>;
    /// Whether a uid says which object is meant. Of a patch it is a field like others, which cannot change.
    fn means_one_uid(&self) -> bool {
        true
    }
}

/// The body takes the object's place.
struct Put(Value);

impl Change for Put {
    fn change(&self, stages: &Stages<'_>, old: &Value) -> ApiResult<Value> {
        let mut new = self.0.clone();
        stages.isolate(&mut new, old, &PRECONDITIONS);
        stages.manage(old, &mut new);
        Ok(new)
    }
}

/// What a write gives of the metadata to say which object it means.
pub(super) const PRECONDITIONS: [&str; 2] = ["resourceVersion", "uid"];

impl Stages<'_> {
    /// A write through `/status` or the path of another part changes only that; any other never changes the status. Of
    /// a custom object's metadata a write through `/status` has a say in `kept` alone.
    pub(super) fn isolate(&self, new: &mut Value, old: &Value, kept: &[&str]) {
        let def = self.def();
        if let Some(part) = def.part(&self.target.subresource) {
            return (part.keep)(new, old);
        }
        if !def.status {
            return;
        }
        if self.target.subresource != "status" {
            set_member(new, "status", old.get("status").cloned());
            return;
        }
        let status = new.get_mut("status").map(Value::take);
        let mut metadata = new.get_mut("metadata").map(Value::take).unwrap_or_default();
        *new = old.clone();
        set_member(new, "status", status);
        // Owners and finalizers belong to the object's own path. Labels and annotations of built-in kinds pass, as
        // upstream; of custom kinds only the preconditions are looked at.
        if def.custom {
            let mut merged = old["metadata"].clone();
            for field in kept {
                set_member(&mut merged, field, metadata.get(*field).cloned());
            }
            set_member(new, "metadata", Some(merged));
        } else {
            for field in ["ownerReferences", "finalizers"] {
                set_member(&mut metadata, field, old["metadata"].get(field).cloned());
            }
            set_member(new, "metadata", Some(metadata));
        }
    }
}

fn set_member(object: &mut Value, name: &str, value: Option<Value>) {
    let members = metadata::map(object);
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
}

/// An update on its way: shared by PUT, PATCH and scale.
pub(super) struct Update<'a, C> {
    stages: &'a Stages<'a>,
    change: C,
    /// The object that goes with the write, as the write leaves it.
    last: Value,
    /// What the last decision's object is warned of.
    warnings: Vec<String>,
}

impl<'a, C: Change> Update<'a, C> {
    pub(super) fn new(stages: &'a Stages<'a>, change: C) -> Self {
        Self { stages, change, last: Value::Null, warnings: Vec::new() }
    }

    pub(super) async fn run(&mut self, mut warnings: Vec<String>) -> ApiResult<Written> {
        let stages = self.stages;
        let key = stages.key(&stages.target.name);
        let done = stages.registry.commit(&stages.target.kind, &key, stages.options.dry_run, self).await;
        warnings.extend(stages.notes.warnings());
        match done.map_err(|error| error.with_warnings(warnings.clone()))? {
            Done::Put(entry) => {
                warnings.append(&mut self.warnings);
                Ok(stages.written(entry, false, warnings))
            }
            Done::Unchanged(Some(entry)) => {
                // Kinds with a generation warn where it grows.
                if stages.def().strategy.generation == Generation::None {
                    warnings.append(&mut self.warnings);
                }
                Ok(stages.written(entry, false, warnings))
            }
            Done::Unchanged(None) => Err(not_found(stages.target)),
            Done::Removed(..) => {
                let object = Object::Made(Arc::new(std::mem::take(&mut self.last)));
                Ok(Written { object, created: false, accepted: false, warnings })
            }
        }
    }

    async fn next(&mut self, current: &Entry) -> ApiResult<Verdict> {
        let stages = self.stages;
        let def = stages.def();
        let old = current.value(def);
        let mut new = self.change.change(stages, &old)?;
        if self.change.means_one_uid() {
            stages.check_uid(&new, &old)?;
        }
        stages.check_version(&new, &old)?;
        metadata::keep_on_update(&mut new, &old);
        if stages.mutate(&mut new, Some(&old)).await? {
            stages.isolate(&mut new, &old, &["resourceVersion", "uid", "managedFields"]);
        }
        let mut errors = FieldErrors::default();
        let part = def.part(&stages.target.subresource);
        if stages.target.subresource == "status" {
            (def.strategy.prepare_status)(&mut new, &old);
        } else if part.is_none() {
            (def.strategy.prepare_update)(&mut new, &old);
            stages.claim(&mut new, Some(&old), &mut errors);
            stages.refuse(&new, &errors)?;
        }
        stages.canonical(&mut new);
        proa_schema::apply::keep_unchanged_times(&old, &mut new);
        stages.generation(&mut new, &old);
        metadata::validate_update(&new, &old, &mut errors);
        if stages.target.subresource == "status" && !def.custom {
            (def.strategy.validate_status)(&new, &old, &mut errors);
        } else {
            stages.validate(&new, Some(&old), &mut errors);
            let change = part.map_or(def.strategy.validate_update, |part| part.validate);
            change(&new, &old, &mut errors);
        }
        stages.refuse(&new, &errors)?;
        stages.admit(&stages.target.name, &new, Some(&old)).await?;
        if is_finished(&new, def.strategy.blocks_deletion) {
            self.last = as_last_seen(new, metadata::version_of(&old));
            return Ok(Verdict::Remove);
        }
        if stages.target.subresource.is_empty() {
            self.warnings = (def.strategy.warnings)(&new);
            (def.strategy.update_warnings)(&new, &old).into_iter().for_each(|text| stages.notes.warn(text));
        }
        Ok(Verdict::Put { object: new, guards: Vec::new() })
    }
}

/// An object that goes with the write that changed it, at the version that it had: nobody but who wrote sees it so.
pub(super) fn as_last_seen(mut object: Value, version: Option<Value>) -> Value {
    set_member(&mut object["metadata"], "resourceVersion", version);
    object
}

/// Whether nothing keeps a deleted object any longer.
pub(super) fn is_finished(object: &Value, blocks: fn(&Value) -> bool) -> bool {
    metadata::is_deleting(object)
        && !metadata::has_finalizers(object)
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !blocks(object)
}

impl<C: Change> Decide for Update<'_, C> {
    fn asked_others(&self) -> bool {
        self.stages.notes.asked_others()
    }
    fn line(&self) -> Option<Key> {
        self.stages.line()
    }
    fn charge<'a>(
        &'a mut self,
        object: &'a Value,
        current: Option<&'a Arc<Entry>>,
    ) -> BoxFuture<'a, ApiResult<Vec<Beside>>> {
        let old = current.map(|entry| entry.value(self.stages.def()));
        Box::pin(async move { self.stages.charge(&self.stages.target.name, object, old.as_ref()).await })
    }
    fn decide<'a>(&'a mut self, current: Option<&'a Arc<Entry>>) -> BoxFuture<'a, ApiResult<Verdict>> {
        Box::pin(async move {
            match current {
                Some(current) => self.next(current).await,
                None => Err(not_found(self.stages.target)),
            }
        })
    }
}

impl Stages<'_> {
    /// The uid that the caller gave is the present one.
    fn check_uid(&self, new: &Value, old: &Value) -> ApiResult<()> {
        let (uid, old_uid) = (metadata::text(new, "uid"), metadata::text(old, "uid"));
        if uid.is_empty() || uid == old_uid {
            return Ok(());
        }
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}");
        Err(ApiError::conflict(&self.def().group_resource(), &self.target.name, &why))
    }

    /// The resourceVersion that the caller gave is the present one.
    fn check_version(&self, new: &Value, old: &Value) -> ApiResult<()> {
        let resource = self.def().group_resource();
        let name = &self.target.name;
        let given = metadata::text(new, "resourceVersion");
        let present = metadata::text(old, "resourceVersion");
        if given.is_empty() || given == "0" {
            if self.def().strategy.unconditional_update {
                return Ok(());
            }
            let mut errors = FieldErrors::default();
            let path = FieldPath::root("metadata");
            let detail = "must be specified for an update";
            errors.invalid(&path.child("resourceVersion"), &json!(0), detail);
            // Upstream names the resource where a kind is meant.
            let kind = GroupKind { group: resource.group, kind: resource.resource };
            return Err(ApiError::invalid(&kind, name, &errors));
        }
        if given != present {
            if given.parse::<u64>().is_err() {
                // Upstream answers 500 and names no field.
                let mut errors = FieldErrors::default();
                let path = FieldPath::root("metadata");
                let detail = format!("strconv.ParseUint: parsing {given:?}: invalid syntax");
                errors.invalid(&path.child("resourceVersion"), &json!(given), &detail);
                return self.refuse(old, &errors);
            }
            return Err(ApiError::modified(&resource, name));
        }
        Ok(())
    }
}
