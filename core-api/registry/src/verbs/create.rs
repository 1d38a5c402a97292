//! `create`.

use super::write::Stages;
use crate::{
    admission::Operation,
    charge::Beside,
    commit::{Decide, Done, Verdict},
    entry::Entry,
    kind::{Behaviour, Generation},
    metadata,
    registry::Registry,
    request::{ActionRequest, Body, Object, Target, WriteOptions, Written},
};
use futures::future::BoxFuture;
use proa_meta::{ApiError, ApiResult, FieldErrors, Reason};
use proa_store::Key;
use serde_json::{Value, json};
use std::sync::Arc;

/// How often a generated name that is taken is generated again. Upstream: KEP-4420.
const NAME_ATTEMPTS: usize = 8;

impl Registry {
    /// Creates an object, or calls the action of a virtual kind or subresource.
    ///
    /// # Errors
    /// 400, 403, 404 (namespace), 409 and 422 as upstream.
    pub async fn create(
        self: &Arc<Self>,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> ApiResult<Written> {
        if target.kind.def.behaviour == Behaviour::Virtual || !target.subresource.is_empty() {
            return self.call_action(target, body, options, "create").await;
        }
        let stages = Stages::new(self, target, options, Operation::Create);
        let mut object = body.value;
        stages.identify(&mut object)?;
        let unlabelled = metadata::is_unlabelled(&object);
        let warnings = stages.decode(&mut object, body.issues)?;
        stages.check_namespace(&mut object)?;
        let revision = metadata::text(&object, "resourceVersion").parse::<u64>();
        if !options.dry_run && revision.is_ok_and(|revision| revision != 0) {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(ApiError::bad_request(message));
        }
        metadata::wipe(&mut object);
        stages.manage_new(&mut object);
        let mut found = warnings.clone();
        stages.store_new(object, unlabelled, warnings).await.map_err(|error| {
            found.extend(stages.notes.warnings());
            error.with_warnings(found)
        })
    }

    /// Calls the action registered for a virtual kind or an extra subresource.
    pub(super) async fn call_action(
        self: &Arc<Self>,
        target: &Target,
        body: Body,
        options: &WriteOptions,
        verb: &str,
    ) -> ApiResult<Written> {
        let def = &target.kind.def;
        let resource = def.group_resource();
        let action = self
            .action(&resource, &target.subresource)
            .ok_or_else(|| ApiError::method_not_allowed(&resource, verb))?;
        let schema = match def.subresources.iter().find(|s| s.name == target.subresource) {
            Some(subresource) => &subresource.schema,
            None => &def.schema,
        };
        let mut value = body.value;
        let mut warnings = Vec::new();
        let virtual_kind = (def.behaviour == Behaviour::Virtual && target.subresource.is_empty())
            .then(|| Stages::new(self, target, options, Operation::Create));
        if let Some(stages) = &virtual_kind {
            stages.identify(&mut value)?;
        }
        if value.is_object() {
            let unknown = proa_schema::decode::decode(schema, &mut value)?;
            let issues = super::write::in_order(false, body.issues, unknown);
            proa_schema::default::default_values(schema, &mut value);
            warnings = options.strictness(&issues, |text| {
                let kind = value["kind"].as_str().unwrap_or_default();
                let version = value["apiVersion"].as_str().and_then(proa_meta::gvk::split_api_version);
                proa_schema::decode::cannot_be_handled(kind, version.map_or("", |(_, v)| v), text)
            })?;
        }
        if let Some(stages) = &virtual_kind {
            stages.check_namespace(&mut value)?;
            metadata::wipe(&mut value);
        }
        let operation = if verb == "update" { Operation::Update } else { Operation::Create };
        let stages = Stages::new(self, target, options, operation);
        if value.is_object() {
            stages.manage_body(&mut value);
        }
        let old = match operation {
            Operation::Update => target.kind.get(&target.namespace, &target.name).map(|old| old.value(def)),
            _ => None,
        };
        stages.mutate(&mut value, old.as_ref()).await?;
        if def.behaviour == Behaviour::Virtual {
            let mut errors = FieldErrors::default();
            (def.strategy.validate)(&value, &mut errors);
            if !errors.is_empty() {
                return Err(ApiError::invalid(&def.group_kind(), "", &errors).with_warnings(warnings));
            }
        }
        let name = match target.name.as_str() {
            "" => metadata::text(&value, "name").to_owned(),
            name => name.to_owned(),
        };
        let admitted = stages.admit(&name, &value, old.as_ref()).await;
        warnings.extend(stages.notes.warnings());
        admitted.map_err(|error| error.with_warnings(warnings.clone()))?;
        let request = ActionRequest {
            target: target.clone(),
            body: value,
            options: options.clone(),
            verb: verb.to_owned(),
        };
        let answer = action.call(self, request).await;
        let mut written = answer.map_err(|error| error.with_warnings(warnings.clone()))?;
        written.warnings.extend(warnings);
        Ok(written)
    }
}

impl Stages<'_> {
    /// Stores a decoded and managed object under its own or a generated name. Mutating admission runs once, before the
    /// name is generated; validating admission sees each object that is tried. `unlabelled`: it came without labels.
    pub(super) async fn store_new(
        &self,
        mut object: Value,
        unlabelled: bool,
        mut warnings: Vec<String>,
    ) -> ApiResult<Written> {
        self.namespace_guard(&object)?;
        let mutated = self.mutate(&mut object, None).await;
        mutated.map_err(|error| error.with_warnings(self.notes.warnings()))?;
        self.check_namespace(&mut object)?;
        let generated = metadata::text(&object, "name").is_empty();
        let mut attempt = 1;
        loop {
            let mut object = if generated { object.clone() } else { std::mem::take(&mut object) };
            let asked = object["metadata"].get("resourceVersion").cloned();
            metadata::fill_create(&mut object, self.registry.now());
            let key = self.key(metadata::text(&object, "name"));
            let mut create = Create { stages: self, object, unlabelled, warnings: Vec::new() };
            let done = self.registry.commit(&self.target.kind, &key, self.options.dry_run, &mut create).await;
            let done = done.map_err(|error| error.with_warnings(self.notes.warnings()));
            let taken = matches!(&done, Err(e) if e.reason() == Reason::AlreadyExists);
            if taken && generated && attempt < NAME_ATTEMPTS {
                attempt += 1;
                continue;
            }
            return match done? {
                Done::Put(entry) => {
                    warnings.extend(self.notes.warnings());
                    warnings.extend(create.warnings);
                    let mut written = self.written(entry, true, warnings);
                    // Nothing was stored, so there is no other.
                    if let (Object::Made(object), Some(asked)) = (&mut written.object, asked) {
                        metadata::of(Arc::make_mut(object)).insert("resourceVersion".to_owned(), asked);
                    }
                    Ok(written)
                }
                // A create either stores or fails.
                Done::Removed(..) | Done::Unchanged(_) => Err(ApiError::internal("create stored nothing")),
            };
        }
    }
}

struct Create<'a> {
    stages: &'a Stages<'a>,
    object: Value,
    unlabelled: bool,
    /// What the last decision's object is warned of.
    warnings: Vec<String>,
}

impl Decide for Create<'_> {
    fn asked_others(&self) -> bool {
        self.stages.notes.asked_others()
    }
    fn line(&self) -> Option<Key> {
        self.stages.line()
    }
    fn charge<'a>(
        &'a mut self,
        object: &'a Value,
        _: Option<&'a Arc<Entry>>,
    ) -> BoxFuture<'a, ApiResult<Vec<Beside>>> {
        Box::pin(async move { self.stages.charge(metadata::text(object, "name"), object, None).await })
    }
    fn decide<'a>(&'a mut self, current: Option<&'a Arc<Entry>>) -> BoxFuture<'a, ApiResult<Verdict>> {
        Box::pin(async move {
            let stages = self.stages;
            let def = stages.def();
            let name = metadata::text(&self.object, "name").to_owned();
            if current.is_some() {
                return Err(ApiError::already_exists(&def.group_resource(), &name));
            }
            let guards = stages.namespace_guard(&self.object)?;
            let mut object = self.object.clone();
            if def.status
                && !def.strategy.status_on_create
                && let Some(members) = object.as_object_mut()
            {
                members.remove("status");
            }
            (def.strategy.prepare_create)(&mut object);
            if self.unlabelled {
                (def.strategy.prepare_unlabelled)(&mut object);
            }
            if !matches!(def.strategy.generation, Generation::None | Generation::Given) {
                metadata::of(&mut object).insert("generation".to_owned(), json!(1));
            }
            let mut errors = FieldErrors::default();
            stages.claim(&mut object, None, &mut errors);
            // As upstream, nothing else is looked at in an object that cannot have what it claims.
            stages.refuse(&object, &errors)?;
            stages.canonical(&mut object);
            stages.validate(&object, None, &mut errors);
            (stages.def().strategy.validate_create)(&object, &mut errors);
            stages.refuse(&object, &errors)?;
            stages.admit(&name, &object, None).await?;
            self.warnings = (def.strategy.warnings)(&object);
            self.warnings.extend((def.strategy.create_warnings)(&object));
            Ok(Verdict::Put { object, guards })
        })
    }
}
