//! rbac.authorization.k8s.io/v1 ClusterRoleBinding.

use super::{
    named,
    role_binding::{columns, row},
    rules, strategy,
};
use proa_registry::kind::{KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("ClusterRoleBinding");
    KindDef::cluster(gvk, "clusterrolebindings", schema).with_table(&columns(), row).with_strategy(Strategy {
        default: rules::default_binding,
        validate: |object, errors| rules::binding(object, false, errors),
        validate_create: |object, errors| rules::declared_binding(object, &Value::Null, errors),
        validate_update: rules::update_binding,
        ..strategy()
    })
}
