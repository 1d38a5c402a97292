//! Approval of client certificates of nodes, where the one who asks has the right to it.
//!
//! Upstream: `pkg/controller/certificates/approver/sarapprove.go`.

use super::{NODE_CLIENT, parse, sign::problem};
use crate::observe::{Observed, RequestView};
use proa_kit::{Action, Plan, Timestamp, Typed, action::PatchKind};
use std::time::Duration;

/// Rights may be given later, and nothing tells of that.
const AGAIN: Duration = Duration::from_mins(1);

/// On what ground a request may be approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A node asks for itself.
    Own,
    /// Somebody asks for a node.
    Any,
}

impl Way {
    /// What the user must be allowed to create.
    pub const fn subresource(self) -> &'static str {
        match self {
            Self::Own => "selfnodeclient",
            Self::Any => "nodeclient",
        }
    }
    const fn message(self) -> &'static str {
        match self {
            Self::Own => "Auto approving self kubelet client certificate after SubjectAccessReview.",
            Self::Any => "Auto approving kubelet client certificate after SubjectAccessReview.",
        }
    }
}

/// On which grounds a request may be approved.
pub fn ways(request: &RequestView) -> Vec<Way> {
    if &*request.spec.signer_name != NODE_CLIENT {
        return Vec::new();
    }
    match parse(request) {
        Ok(asked) if problem(request, &asked).is_none() => {
            let is_own = *request.spec.username == *asked.common_name;
            is_own.then_some(Way::Own).into_iter().chain([Way::Any]).collect()
        }
        _ => Vec::new(),
    }
}

pub(super) fn plan(request: &RequestView, observed: Observed, plan: &mut Plan, now: Timestamp) {
    let ways = ways(request);
    let allowed = ways.iter().find(|way| match way {
        Way::Own => observed.own,
        Way::Any => observed.any,
    });
    let Some(way) = allowed else {
        if !ways.is_empty() {
            plan.look_again(AGAIN);
        }
        return;
    };
    let patch = request.with("Approved", "AutoApproved", way.message(), now);
    let target = request.reference().at(request.metadata.resource_version);
    plan.push(Action::patch(target, "approval", PatchKind::Merge, patch));
}
