//! What a webhook's answer means. Pure.
//!
//! Upstream: apiserver `pkg/admission/plugin/webhook/{request/admissionreview,errors/statuserror}.go`.

use base64::{Engine, prelude::BASE64_STANDARD};
use proa_meta::{ApiError, Reason, status::Details};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a webhook says.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Why not, when it does not let the request pass.
    pub(super) refusal: Option<ApiError>,
    /// A JSON patch; empty when nothing is to be changed.
    pub(super) patch: Vec<u8>,
    /// Texts for the client.
    pub(super) warnings: Vec<String>,
    /// What the audit log is told.
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Review {
    kind: String,
    api_version: String,
    response: Option<Response>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    uid: String,
    allowed: bool,
    status: Option<Status>,
    patch: Option<String>,
    patch_type: Option<String>,
    warnings: Option<Vec<String>>,
    audit_annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: i64,
    message: String,
    reason: String,
    details: Option<Details>,
}

/// Reads the answer to the question `uid`, asked in a version of AdmissionReview.
///
/// # Errors
/// It is no valid answer, and why.
pub(super) fn read(
    body: &[u8],
    version: &str,
    uid: &str,
    mutating: bool,
    webhook: &str,
) -> Result<Verdict, String> {
    let invalid = |why: String| format!("received invalid webhook response: {why}");
    let value: Value = serde_json::from_slice(body).map_err(|why| {
        format!("failed to call webhook: couldn't get version/kind; json parse error: {why}")
    })?;
    let review = Review::deserialize(&value).map_err(|why| format!("failed to call webhook: {why}"))?;
    let Some(response) = review.response else {
        return Err(invalid("webhook response was absent".to_owned()));
    };
    let patch = response.patch.unwrap_or_default();
    let patch = BASE64_STANDARD.decode(patch).map_err(|why| format!("failed to call webhook: {why}"))?;
    if version == "v1" {
        if response.uid != uid {
            return Err(invalid(format!("expected response.uid={uid:?}, got {:?}", response.uid)));
        }
        if review.kind != "AdmissionReview" || review.api_version != "admission.k8s.io/v1" {
            let found = format!("{}, Kind={}", review.api_version, review.kind);
            let expected = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview";
            return Err(invalid(format!("{expected}, got {found}")));
        }
        check_patch(&patch, response.patch_type.as_deref(), mutating).map_err(invalid)?;
    }
    let refusal = (!response.allowed).then(|| denial(webhook, response.status.unwrap_or_default()));
    let patch = if mutating { patch } else { Vec::new() };
    Ok(Verdict {
        refusal,
        patch,
        warnings: response.warnings.unwrap_or_default(),
        annotations: response.audit_annotations.unwrap_or_default(),
    })
}

fn check_patch(patch: &[u8], patch_type: Option<&str>, mutating: bool) -> Result<(), String> {
    let why = match (mutating, patch.is_empty(), patch_type) {
        (true, false, None) => "webhook returned response.patch but not response.patchType",
        (true, true, Some(_)) => "webhook returned response.patchType but not response.patch",
        (true, false, Some("")) => "webhook returned invalid response.patchType of \"\"",
        (true, false, Some(other)) if other != "JSONPatch" => {
            return Err(format!("unsupported patch type {other:?}"));
        }
        (false, false, _) => "validating webhook may not return response.patch",
        (false, true, Some(_)) => "validating webhook may not return response.patchType",
        _ => return Ok(()),
    };
    Err(why.to_owned())
}

/// The error that a client is given: the webhook's own, with its name in front, and never a success.
fn denial(webhook: &str, status: Status) -> ApiError {
    let by = format!("admission webhook {webhook:?} denied the request");
    let message = match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("{by} without explanation"),
        ("", why) | (why, _) => format!("{by}: {why}"),
    };
    let code = u16::try_from(status.code).ok().filter(|code| *code >= 400).unwrap_or(400);
    let mut error = ApiError::new(Reason::Unknown, message).with_code(code);
    if !status.reason.is_empty() {
        error = error.with_foreign_reason(status.reason);
    }
    match status.details {
        Some(details) => error.with_details(details),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reading(version: &str, mutating: bool, response: &Value) -> Result<Verdict, String> {
        let review =
            json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
        read(review.to_string().as_bytes(), version, "u", mutating, "hook.example.com")
    }

    #[test]
    fn answers_that_are_none_are_told_in_upstreams_words() {
        for (mutating, response, why) in [
            (true, json!(null), "webhook response was absent"),
            (true, json!({"uid": "x", "allowed": true}), "expected response.uid=\"u\", got \"x\""),
            (
                true,
                json!({"uid": "u", "allowed": true, "patch": "W10="}),
                "webhook returned response.patch but not response.patchType",
            ),
            (
                true,
                json!({"uid": "u", "allowed": true, "patchType": "JSONPatch"}),
                "webhook returned response.patchType but not response.patch",
            ),
            (
                true,
                json!({"uid": "u", "allowed": true, "patch": "W10=", "patchType": "X"}),
                "unsupported patch type \"X\"",
            ),
            (
                false,
                json!({"uid": "u", "allowed": true, "patch": "W10=", "patchType": "JSONPatch"}),
                "validating webhook may not return response.patch",
            ),
        ] {
            let found = reading("v1", mutating, &response).unwrap_err();
            assert_eq!(found, format!("received invalid webhook response: {why}"));
        }
        let found = read(b"<html>", "v1", "u", true, "h").unwrap_err();
        assert!(
            found.starts_with("failed to call webhook: couldn't get version/kind; json parse error"),
            "{found}"
        );
        let other = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1",
            "response": {"uid": "u"}});
        let found = read(other.to_string().as_bytes(), "v1", "u", true, "h").unwrap_err();
        assert!(found.ends_with("got admission.k8s.io/v1beta1, Kind=AdmissionReview"), "{found}");
    }

    #[test]
    fn the_older_version_is_taken_as_it_comes() {
        let answer = reading("v1beta1", true, &json!({"allowed": true, "patch": "W10="})).unwrap();
        assert_eq!((answer.patch.as_slice(), answer.refusal.is_none()), (&b"[]"[..], true));
    }

    #[test]
    fn denials_carry_the_webhooks_words_and_never_a_success() {
        let denied = |status: Value| {
            let answer = reading("v1", false, &json!({"uid": "u", "allowed": false, "status": status}));
            let refusal = answer.unwrap().refusal.expect("refused");
            (refusal.code(), refusal.to_status())
        };
        let by = "admission webhook \"hook.example.com\" denied the request";
        let (code, status) = denied(json!({"code": 403, "message": "no", "reason": "Forbidden"}));
        assert_eq!(
            (code, &status["message"], &status["reason"]),
            (403, &json!(format!("{by}: no")), &json!("Forbidden"))
        );
        let (code, status) = denied(json!({"code": 200, "reason": "because"}));
        assert_eq!(
            (code, &status["message"], &status["status"]),
            (400, &json!(format!("{by}: because")), &json!("Failure"))
        );
        let (code, status) = denied(json!(null));
        assert_eq!((code, &status["message"]), (400, &json!(format!("{by} without explanation"))));
        assert_eq!(status.get("reason"), None);
    }

    #[test]
    fn warnings_and_annotations_are_kept() {
        let said = json!({"uid": "u", "allowed": true, "warnings": ["w"], "auditAnnotations": {"k": "v"}});
        let answer = reading("v1", false, &said).unwrap();
        assert_eq!(answer.warnings, ["w"]);
        assert_eq!(answer.annotations["k"], "v");
    }
}
