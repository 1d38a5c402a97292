//! rbac.authorization.k8s.io/v1 RoleBinding.

use super::{named, rules, strategy};
use crate::table;
use jiff::Timestamp;
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// Columns of both kinds of bindings.
pub(super) fn columns() -> [Column; 6] {
    [
        Column::name(),
        Column::text("Role"),
        Column::age(),
        Column::text("Users").wide(),
        Column::text("Groups").wide(),
        Column::text("ServiceAccounts").wide(),
    ]
}

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("RoleBinding");
    KindDef::namespaced(gvk, "rolebindings", schema).with_table(&columns(), row).with_strategy(Strategy {
        default: rules::default_binding,
        validate: |object, errors| rules::binding(object, true, errors),
        validate_create: |object, errors| rules::declared_binding(object, &Value::Null, errors),
        validate_update: rules::update_binding,
        ..strategy()
    })
}

/// A row of either kind.
pub(super) fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let text = |field: &str| object["roleRef"][field].as_str().unwrap_or("");
    let mut row = vec![
        table::name(object),
        format!("{}/{}", text("kind"), text("name")).into(),
        table::age(object, now),
    ];
    row.extend(table::subjects(object));
    row
}
