//! One call: the question is written, sent, and its answer read; a patch is applied.
//!
//! Upstream: `callAttrMutatingHook` and `callHook` of apiserver
//! `pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go`.

use super::{matching::Asked, response, response::Verdict, review, source::Hook};
use proa_meta::ApiError;
use proa_registry::{
    AdmissionRequest,
    admission::{annotate, annotate_contents},
    webhook::CallWebhook,
};
use proa_schema::patch::JsonPatch;
use serde_json::{Value, json};
use uuid::Uuid;

/// Why a call did not let the request pass.
pub(super) enum Failed {
    /// The webhook could not be asked, or its answer is none: its failure policy counts.
    Call(String),
    /// It was asked and refuses, or did what it may not.
    Refused(ApiError),
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// Asks a mutating webhook and applies what it answers. Says whether the object changed. `place` tells this call from
/// others in the audit log.
pub(super) async fn mutating(
    client: &dyn CallWebhook,
    hook: &Hook,
    asked: &Asked,
    request: &AdmissionRequest<'_>,
    object: &mut Value,
    place: &str,
) -> Result<bool, Failed> {
    let shown = review::object(asked, request, object).await?;
    let verdict = ask(client, hook, asked, request, &shown, true).await?;
    if verdict.patch.is_empty() {
        return Ok(false);
    }
    let undecodable = |why: ApiError| {
        Failed::Call(format!("received undecodable patch in webhook response: {}", why.message()))
    };
    let patch = JsonPatch::parse(&verdict.patch).map_err(undecodable)?;
    if patch.is_empty() {
        return Ok(false);
    }
    if shown.is_null() {
        return Err(Failed::Refused(ApiError::internal(format_args!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        ))));
    }
    annotate_contents(
        || format!("patch.webhook.admission.k8s.io/{place}"),
        || {
            let patch: Value = serde_json::from_slice(&verdict.patch).unwrap_or_default();
            json!({"configuration": hook.configuration, "webhook": hook.name, "patch": patch,
                "patchType": "JSONPatch"})
            .to_string()
        },
    );
    let mut patched = patch.apply(shown.clone()).map_err(|why| ApiError::internal(why.message()))?;
    if patched == shown {
        return Ok(false);
    }
    let before = object.clone();
    if request.gvk() == request.kind.gvk {
        request.registry.convert(asked.kind(request), request.kind, &mut patched).await?;
    }
    request.accept(object, patched).map_err(|why| ApiError::internal(why.message()))?;
    Ok(before != *object)
}

/// Asks a validating webhook.
pub(super) async fn validating(
    client: &dyn CallWebhook,
    hook: &Hook,
    asked: &Asked,
    request: &AdmissionRequest<'_>,
    object: &Value,
) -> Result<(), Failed> {
    let shown = review::object(asked, request, object).await?;
    ask(client, hook, asked, request, &shown, false).await.map(|_| ())
}

async fn ask(
    client: &dyn CallWebhook,
    hook: &Hook,
    asked: &Asked,
    request: &AdmissionRequest<'_>,
    shown: &Value,
    mutating: bool,
) -> Result<Verdict, Failed> {
    if request.dry_run && !hook.allows_dry_run {
        let why = format!("admission webhook {:?} does not support dry run", hook.name);
        return Err(Failed::Refused(ApiError::bad_request(why)));
    }
    let version = hook.review_versions.iter().find(|version| matches!(version.as_str(), "v1" | "v1beta1"));
    let version = version.ok_or_else(|| {
        let why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
        Failed::Call(format!("could not create admission objects: {why}"))
    })?;
    let uid = Uuid::new_v4().to_string();
    let old = review::object(asked, request, request.old.unwrap_or(&Value::Null)).await?;
    let question = review::review(version, &uid, asked, request, shown, old).to_string();
    request.notes.ask_others();
    let answer = client.call(&hook.client, question.into(), hook.timeout).await;
    let answer = answer.map_err(|why| Failed::Call(format!("failed to call webhook: {why}")))?;
    let mut verdict = response::read(&answer, version, &uid, mutating, &hook.name).map_err(Failed::Call)?;
    for (key, value) in std::mem::take(&mut verdict.annotations) {
        annotate(|| format!("{}/{key}", hook.name), || value);
    }
    for warning in verdict.warnings.drain(..) {
        request.notes.warn(warning);
    }
    match verdict.refusal.take() {
        Some(refusal) => Err(Failed::Refused(refusal)),
        None => Ok(verdict),
    }
}
