//! `patch`: JSON, merge and strategic patches, and server-side apply.
//!
//! A patch is an update whose new object comes from the present one, so it is repeated after a conflict. Upstream:
//! apiserver `pkg/endpoints/handlers/patch.go`.

use super::{
    scale,
    update::{Change, PRECONDITIONS, Update},
    write::Stages,
};
use crate::{
    admission::Operation,
    metadata,
    registry::Registry,
    request::{Patch, PatchType, Target, WriteOptions, Written},
};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, Reason, gvk::GroupKind};
use proa_schema::{decode, json::StrictIssue, patch};
use serde_json::{Value, json};
use std::sync::Arc;

impl Registry {
    /// Patches an object, a part of it or its scale; an apply may create the object.
    ///
    /// # Errors
    /// 400, 403, 404, 409, 415 and 422 as upstream.
    pub async fn patch(
        self: &Arc<Self>,
        target: &Target,
        patch: Patch,
        options: &WriteOptions,
    ) -> ApiResult<Written> {
        let stages = Stages::new(self, target, options, Operation::Update);
        if patch.kind == PatchType::Strategic && target.kind.def.custom {
            return Err(ApiError::new(
                Reason::UnsupportedMediaType,
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            ));
        }
        match target.subresource.as_str() {
            "" | "status" => {}
            part if target.kind.def.part(part).is_some() => {}
            "scale" => return scale::patch(&stages, &patch).await,
            other => {
                let resource = format!("{}/{other}", target.kind.def.resource);
                let resource = proa_meta::GroupResource {
                    group: target.kind.def.gvk.group.clone(),
                    resource: resource.into(),
                };
                return Err(ApiError::method_not_allowed(&resource, "patch"));
            }
        }
        if patch.kind == PatchType::Apply {
            return Applied::run(&stages, patch).await;
        }
        Update::new(&stages, Patched(patch)).run(Vec::new()).await
    }
}

/// A patch that needs an object to start from.
struct Patched(Patch);

impl Change for Patched {
    fn change(&self, stages: &Stages<'_>, old: &Value) -> ApiResult<Value> {
        let def = stages.def();
        let (mut new, mut issues) = apply_patch(&self.0, &def.schema, old)?;
        let refused = |new: &Value, error: &ApiError| patch_error(new, reason(error.message()));
        stages.identify(&mut new).map_err(|error| match self.0.kind {
            PatchType::Json | PatchType::Merge if !def.custom => refused(&new, &error),
            _ => error,
        })?;
        issues.extend(stages.decode_types(&mut new).map_err(|error| refused(&new, &error))?);
        let warnings = stages.options.strictness(&issues, |text| patch_error(&new, text))?;
        warnings.into_iter().for_each(|text| stages.notes.warn(text));
        stages.check_patched_name(&new)?;
        stages.check_namespace(&mut new)?;
        stages.isolate(&mut new, old, &PRECONDITIONS);
        stages.manage(old, &mut new);
        Ok(new)
    }

    fn means_one_uid(&self) -> bool {
        false
    }
}

/// What a body of another type is refused for, without the words of how it was to be handled.
fn reason(message: &str) -> &str {
    let handled = message.split_once(" cannot be handled as a ");
    handled.and_then(|(_, rest)| rest.split_once(": ")).map_or(message, |(_, why)| why)
}

/// The object after a patch other than apply, and what strictness finds in the patch.
pub(super) fn apply_patch(
    patch: &Patch,
    schema: &proa_schema::Schema,
    old: &Value,
) -> ApiResult<(Value, Vec<StrictIssue>)> {
    let mut new = old.clone();
    if patch.kind == PatchType::Json {
        let parsed = patch::JsonPatch::parse(&patch.bytes)?;
        let issues = parsed.strict_errors().iter().cloned().map(StrictIssue::Yaml).collect();
        return Ok((parsed.apply(new)?, issues));
    }
    let (value, issues) = body_of(patch)?;
    match patch.kind {
        PatchType::Merge => patch::merge(&mut new, value),
        _ => patch::strategic(schema, &mut new, value)?,
    }
    Ok((new, issues))
}

/// What a manager, which must be named, applies.
pub(super) fn configuration(stages: &Stages<'_>, patch: &Patch) -> ApiResult<Value> {
    if !stages.options.field_manager.is_empty() {
        return body_of(patch).map(|(value, _)| value);
    }
    let mut errors = FieldErrors::default();
    errors.required(&FieldPath::root("fieldManager"), "is required for apply patch");
    Err(ApiError::invalid(&GroupKind::new("meta.k8s.io", "PatchOptions"), "", &errors))
}

/// The patch as a value, and what strictness finds in it. Upstream's text for a malformed one.
fn body_of(patch: &Patch) -> ApiResult<(Value, Vec<StrictIssue>)> {
    let parsed = proa_schema::json::parse(&patch.bytes)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    let before = match (patch.kind, &parsed.value) {
        (_, Value::Object(_)) => return Ok((parsed.value, parsed.issues)),
        (PatchType::Merge, Value::Null) => return Err(ApiError::bad_request("Invalid JSON Patch")),
        (PatchType::Strategic, Value::Null) => return Ok((json!({}), Vec::new())),
        (PatchType::Merge, _) => "error decoding patch: ",
        (PatchType::Apply, _) => "error decoding patch: error unmarshaling JSON: while decoding JSON: ",
        (PatchType::Json | PatchType::Strategic, _) => "",
    };
    let kind = patch::json_kind(&parsed.value);
    let why =
        format!("{before}json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
    Err(ApiError::bad_request(why))
}

/// 422 that names the patch. Upstream: apiserver `pkg/endpoints/handlers/patch.go`.
pub(super) fn patch_error(patched: &Value, why: &str) -> ApiError {
    let mut errors = FieldErrors::default();
    errors.invalid(&FieldPath::root("patch"), &json!(patched.to_string()), why);
    ApiError::invalid(&GroupKind::new("", ""), "", &errors)
}

impl Stages<'_> {
    fn check_patched_name(&self, new: &Value) -> ApiResult<()> {
        if metadata::text(new, "name") == self.target.name {
            return Ok(());
        }
        Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            metadata::text(new, "name"),
            self.target.name
        )))
    }
}

/// A server-side apply: the caller's whole intent. KEP-555.
struct Applied(Value);

impl Applied {
    async fn run(stages: &Stages<'_>, patch: Patch) -> ApiResult<Written> {
        let mut applied = configuration(stages, &patch)?;
        let def = stages.def();
        stages.managing(|manager| manager.check(&applied))?;
        if applied["metadata"]
            .get("managedFields")
            .is_some_and(|m| m.as_array().is_some_and(|m| !m.is_empty()))
        {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        stages.identify(&mut applied)?;
        stages.check_namespace(&mut applied)?;
        let exists = stages.target.kind.get(&stages.target.namespace, &stages.target.name).is_some();
        if exists && metadata::text(&applied, "name").is_empty() {
            // What it becomes part of has a name.
            metadata::of(&mut applied).insert("name".to_owned(), json!(stages.target.name));
        }
        stages.check_name(&applied)?;
        let warnings = stages.apply_types(&mut applied, &patch.issues)?;
        if !exists && stages.target.subresource.is_empty() {
            if !metadata::text(&applied, "uid").is_empty() {
                let resource = def.group_resource();
                let uid = metadata::text(&applied, "uid");
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(ApiError::conflict(&resource, &stages.target.name, &why));
            }
            let created = stages.as_create();
            let mut object = stages.apply(None, applied.clone())?;
            let unlabelled = metadata::is_unlabelled(&object);
            stages.decode_types(&mut object)?;
            match created.store_new(object, unlabelled, warnings.clone()).await {
                Err(error) if error.reason() == Reason::AlreadyExists => {}
                answer => return answer,
            }
        }
        Update::new(stages, Applied(applied)).run(warnings).await
    }
}

impl Stages<'_> {
    /// Types and strictness of an applied configuration, without defaults: what is not named is not owned.
    /// Unknown fields are errors, whatever the strictness.
    fn apply_types(&self, applied: &mut Value, repeated: &[StrictIssue]) -> ApiResult<Vec<String>> {
        let def = self.def();
        let unknown = if def.custom {
            proa_schema::prune::prune(&def.schema, applied, proa_schema::prune::Root::Resource)
        } else {
            decode::decode(&def.schema, applied)?
        };
        let mut warnings = self.tell_repeated(repeated)?;
        let gvk = &def.gvk;
        warnings.extend(
            self.options
                .strictness(&unknown, |text| decode::cannot_be_handled(&gvk.kind, &gvk.version, text))?,
        );
        Ok(warnings)
    }

    /// Strictness about the fields that an applied configuration repeats.
    pub(super) fn tell_repeated(&self, repeated: &[StrictIssue]) -> ApiResult<Vec<String>> {
        self.options.strictness(repeated, |_| {
            let issues: Vec<String> = repeated.iter().map(ToString::to_string).collect();
            ApiError::bad_request(format!("error strict decoding patch: {}", issues.join(", ")))
        })
    }
}

impl Change for Applied {
    fn change(&self, stages: &Stages<'_>, old: &Value) -> ApiResult<Value> {
        let mut new = stages.apply(Some(old), self.0.clone())?;
        stages.identify(&mut new)?;
        stages.check_namespace(&mut new)?;
        stages.decode_types(&mut new)?;
        stages.isolate(&mut new, old, &PRECONDITIONS);
        Ok(new)
    }

    fn means_one_uid(&self) -> bool {
        false
    }
}
