//! rbac.authorization.k8s.io/v1 Role.

use super::{named, rules, strategy};
use proa_registry::kind::{KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("Role");
    KindDef::namespaced(gvk, "roles", schema).with_strategy(Strategy {
        validate: |object, errors| rules::rules(object, true, errors),
        validate_create: |object, errors| rules::declared_rules(object, &Value::Null, errors),
        validate_update: rules::declared_rules,
        ..strategy()
    })
}
