//! Kinds of the group `rbac.authorization.k8s.io`, `v1`.
//!
//! Upstream: `pkg/registry/rbac/*/strategy.go`, `pkg/apis/rbac/{v1/defaults.go,validation/validation.go}`.

pub(crate) mod cluster_role;
pub(crate) mod cluster_role_binding;
pub(crate) mod role;
pub(crate) mod role_binding;
mod rules;

use crate::facts;
use proa_meta::{Gvk, names};
use proa_registry::kind::Strategy;
use proa_schema::SchemaRef;

/// The group, which references to roles and subjects name too.
const GROUP: &str = "rbac.authorization.k8s.io";

fn named(kind: &'static str) -> (Gvk, SchemaRef) {
    (Gvk::new(GROUP, "v1", kind), facts::schema(&format!("io.k8s.api.rbac.v1.{kind}")))
}

/// What the four kinds have in common: names with colons, and PUT that creates.
fn strategy() -> Strategy {
    Strategy { name: names::name_is_path_segment, create_on_update: true, ..Strategy::default() }
}
