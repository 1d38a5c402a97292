//! Reviews of the group `authentication.k8s.io`, `v1`: answered, never stored.
//!
//! Upstream: `pkg/registry/authentication`.

use crate::facts;
use proa_meta::Gvk;
use proa_registry::kind::KindDef;

fn review(kind: &'static str, resource: &'static str) -> KindDef {
    let schema = facts::schema(&format!("io.k8s.api.authentication.v1.{kind}"));
    KindDef::cluster(Gvk::new("authentication.k8s.io", "v1", kind), resource, schema).answered()
}

/// Who a token belongs to.
pub(crate) fn token_review() -> KindDef {
    review("TokenReview", "tokenreviews")
}

/// Who the caller is.
pub(crate) fn self_subject_review() -> KindDef {
    review("SelfSubjectReview", "selfsubjectreviews")
}
