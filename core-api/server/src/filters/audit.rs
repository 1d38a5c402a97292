//! Where auditing takes place: after authentication, before impersonation, so that the impersonator is recorded.
//!
//! Nothing is written yet beyond a debug line; the audit id is made and answered by `trace`.

use super::trace::Trace;
use crate::request_info::RequestInfo;
use proa_meta::User;

pub(super) fn received(trace: &Trace, info: &RequestInfo, user: &User) {
    tracing::debug!(
        audit_id = trace.audit_id(),
        verb = info.verb,
        path = info.path,
        user = user.name,
        "request"
    );
}
