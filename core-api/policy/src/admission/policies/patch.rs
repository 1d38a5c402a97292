//! What a mutation makes of an object: a configuration that is merged into it, or a JSON patch. Pure.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/mutating/patch/{smd,json_patch}.go`.

use super::{
    evaluation::{Compiled, evaluate},
    source::text,
};
use proa_meta::ApiError;
use proa_registry::{AdmissionRequest, KindDef};
use proa_schema::{
    SchemaRef, apply, decode,
    patch::JsonPatch,
    policy::{Compiler, Role, Scope},
};
use serde_json::{Value, json};

/// One mutation.
pub(super) enum Mutation {
    /// Merged as a server-side apply does, without owners.
    Configuration(Compiled),
    /// RFC 6902.
    Patch(Compiled),
}

/// Why an object was not patched.
pub(super) enum Unpatched {
    /// The failure policy counts.
    Failed(String),
    /// It does not.
    Refused(ApiError),
}

impl From<String> for Unpatched {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Mutation {
    pub(super) fn of(mutation: &Value, compiler: &Compiler) -> Self {
        let compile = |field: &str, role| {
            let expression = text(&mutation[field]["expression"]);
            compiler.compile(expression.trim(), role)
        };
        if mutation["patchType"] == "JSONPatch" {
            Self::Patch(compile("jsonPatch", Role::JsonPatch))
        } else {
            Self::Configuration(compile("applyConfiguration", Role::ApplyConfiguration))
        }
    }

    /// The object after the mutation; `kind` is that of its version.
    pub(super) fn patched<'a>(
        &'a self,
        scope: &Scope<'a>,
        object: &Value,
        kind: &KindDef,
        request: &AdmissionRequest<'_>,
    ) -> Result<Value, Unpatched> {
        let schema = schema(kind, request);
        match self {
            Self::Configuration(expression) => {
                let mut made = evaluate(expression, |expression| expression.configuration(scope))?;
                for field in ["apiVersion", "kind"] {
                    made[field] = object[field].clone();
                }
                let merged = apply::merge_unowned(schema, object, &made);
                Ok(merged.map_err(|why| format!("error applying patch: {why}"))?)
            }
            Self::Patch(expression) => {
                let operations = evaluate(expression, |expression| expression.operations(scope))?;
                let is_custom = kind.custom && request.gvk() == request.kind.gvk;
                patch(object, &operations, schema, is_custom)
            }
        }
    }
}

/// The schema of what is shown: subresources have one of their own.
fn schema<'a>(kind: &'a KindDef, request: &AdmissionRequest<'a>) -> &'a SchemaRef {
    let part = request.kind.subresources.iter().find(|part| part.name == request.subresource);
    part.map_or(&kind.schema, |part| &part.schema)
}

fn patch(
    object: &Value,
    operations: &[Value],
    schema: &SchemaRef,
    is_custom: bool,
) -> Result<Value, Unpatched> {
    let internal = |why: &ApiError| Unpatched::Refused(ApiError::internal(why.message()));
    let patch = JsonPatch::parse(json!(operations).to_string().as_bytes());
    let patch = patch.map_err(|why| format!("JSON Patch: {}", why.message()))?;
    let patched = match patch.try_apply(object.clone()) {
        Ok(patched) => patched,
        // A test that fails means that nothing is to be done.
        Err(misfit) if misfit.operation == "test" => return Ok(object.clone()),
        Err(misfit) => return Err(Unpatched::Failed(format!("JSON Patch: {misfit}"))),
    };
    if !is_custom {
        let issues = decode::decode(schema, &mut patched.clone()).map_err(|why| internal(&why))?;
        if !issues.is_empty() {
            let issues: Vec<String> = issues.iter().map(ToString::to_string).collect();
            let why = format!("strict decoding error: {}", issues.join(", "));
            return Err(Unpatched::Refused(ApiError::internal(why)));
        }
    }
    Ok(patched)
}
