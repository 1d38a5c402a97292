//! What a signer answers to an approved request.
//!
//! Upstream: `pkg/controller/certificates/signer/signer.go`, `pkg/apis/certificates/helpers.go`.

use super::{Asked, CLIENT, NODE_CLIENT, NODE_SERVING, parse};
use crate::{build::Authority, observe::RequestView};
use base64::{Engine, prelude::BASE64_STANDARD};
use proa_kit::{Action, Plan, Timestamp, Typed, action::PatchKind};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

/// How long certificates are valid at most, and at least.
const LONGEST: Duration = Duration::from_hours(24 * 365);
const SHORTEST: Duration = Duration::from_mins(10);
/// A request that cannot be signed now is tried again.
const AGAIN: Duration = Duration::from_mins(1);

pub(super) fn plan(request: &RequestView, authority: Option<&Authority>, plan: &mut Plan, now: Timestamp) {
    let Some(authority) = authority else { return };
    if !super::SIGNERS.contains(&&*request.spec.signer_name) {
        return;
    }
    let target = request.reference().at(request.metadata.resource_version);
    let asked = parse(request).and_then(|asked| problem(request, &asked).map_or(Ok(asked), Err));
    let asked = match asked {
        Ok(asked) => asked,
        Err(message) => {
            let patch = request.with("Failed", "SignerValidationFailure", &message, now);
            plan.push(Action::patch(target, "status", PatchKind::Merge, patch));
            return;
        }
    };
    match authority.sign(&asked.der, &request.spec.usages, duration(request.spec.expiration_seconds), now) {
        Ok(pem) => {
            let certificate = BASE64_STANDARD.encode(pem);
            plan.push(Action::merge_status(target, json!({"certificate": certificate})));
        }
        Err(error) => {
            tracing::warn!(request = %request.metadata.name, %error, "a request cannot be signed; will try again");
            plan.look_again(AGAIN);
        }
    }
}

fn duration(asked: Option<u32>) -> Duration {
    let asked = asked.map(|seconds| Duration::from_secs(seconds.into()));
    asked.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
}

/// Why a signer refuses a request.
pub fn problem(request: &RequestView, asked: &Asked) -> Option<String> {
    let usages: BTreeSet<&str> = request.spec.usages.iter().map(|usage| &**usage).collect();
    let [dns, email, ip, uri] = asked.names;
    match &*request.spec.signer_name {
        CLIENT => client(request),
        NODE_CLIENT => of_node(
            asked,
            &[
                (dns, "DNS subjectAltNames are not allowed"),
                (email, "Email subjectAltNames are not allowed"),
                (ip, "IP subjectAltNames are not allowed"),
                (uri, "URI subjectAltNames are not allowed"),
                (!asked.common_name.starts_with(NODE), NOT_A_NODE),
            ],
        )
        .or_else(|| usage(&usages, "client auth")),
        NODE_SERVING => of_node(
            asked,
            &[
                (!dns && !ip, "DNS or IP subjectAltName is required"),
                (email, "Email subjectAltNames are not allowed"),
                (uri, "URI subjectAltNames are not allowed"),
            ],
        )
        .or_else(|| usage(&usages, "server auth"))
        .or_else(|| (!asked.common_name.starts_with(NODE)).then(|| NOT_A_NODE.to_owned())),
        _ => None,
    }
}

const NODE: &str = "system:node:";
const NOT_A_NODE: &str = "subject common name does not begin with system:node:";

fn of_node(asked: &Asked, problems: &[(bool, &str)]) -> Option<String> {
    if asked.organizations != ["system:nodes"] {
        return Some("subject organization is not system:nodes".to_owned());
    }
    problems.iter().find(|(is_wrong, _)| *is_wrong).map(|(_, message)| (*message).to_owned())
}

/// Nodes need exactly these; keys that encrypt nothing need not say that they do.
fn usage(usages: &BTreeSet<&str>, purpose: &str) -> Option<String> {
    let mut wanted = BTreeSet::from(["digital signature", "key encipherment", purpose]);
    if *usages == wanted {
        return None;
    }
    let message = wanted.iter().copied().collect::<Vec<_>>().join(" ");
    wanted.remove("key encipherment");
    (*usages != wanted).then(|| format!("usages did not match [{message}]"))
}

fn client(request: &RequestView) -> Option<String> {
    let known = ["digital signature", "key encipherment", "client auth"];
    if let Some(usage) = request.spec.usages.iter().find(|usage| !known.contains(&&***usage)) {
        return Some(format!("invalid usage for client certificate: {usage}"));
    }
    let is_client = request.spec.usages.iter().any(|usage| &**usage == "client auth");
    (!is_client).then(|| "missing required usage for client certificate: client auth".to_owned())
}
