//! When requests go: some time after they were answered or denied, when nobody decides, and when the certificate ended.
//!
//! Upstream: `pkg/controller/certificates/cleaner/cleaner.go`, `pkg/controller/podcertificaterequestcleaner`.

use crate::observe::{PodRequestView, RequestView};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::SignedDuration;
use proa_kit::{Action, Plan, Timestamp, Typed, clock::elapsed};
use x509_parser::pem::parse_x509_pem;

/// After it was answered, denied, or failed.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// While nobody decides.
const PENDING: SignedDuration = SignedDuration::from_hours(24);
/// A pod's request, whatever came of it.
const POD: SignedDuration = SignedDuration::from_mins(15);

/// When a request goes; `None` while it depends on somebody's decision or answer.
pub fn due(request: &RequestView, now: Timestamp) -> Option<Timestamp> {
    let status = &request.status;
    if status.conditions.is_empty() {
        return Some(request.metadata.creation_timestamp.unwrap_or(now) + PENDING);
    }
    let is_issued = !status.certificate.is_empty();
    let decided = status.conditions.iter().filter(|own| match &*own.kind {
        "Approved" => is_issued,
        "Denied" | "Failed" => true,
        _ => false,
    });
    let kept = decided.filter_map(|own| Some(own.last_update_time? + DECIDED)).min();
    let ends = (is_issued && request.is("Approved")).then(|| ends(request)).flatten();
    kept.into_iter().chain(ends).min()
}

/// When the certificate ends.
fn ends(request: &RequestView) -> Option<Timestamp> {
    let pem = BASE64_STANDARD.decode(request.status.certificate.as_bytes()).ok()?;
    let (_, block) = parse_x509_pem(&pem).ok()?;
    Timestamp::from_second(block.parse_x509().ok()?.validity().not_after.timestamp()).ok()
}

/// Deletes a request, unless it changed.
pub(crate) fn delete(request: &RequestView) -> Action {
    Action::delete(request.reference().at(request.metadata.resource_version))
}

/// The plan for a pod's request.
pub fn pod(request: &PodRequestView, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let due = request.metadata.creation_timestamp.unwrap_or(now) + POD;
    if due <= now {
        plan.push(Action::delete(request.reference()));
    } else {
        plan.look_again(elapsed(now, due));
    }
    plan
}
