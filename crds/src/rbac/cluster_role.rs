//! rbac.authorization.k8s.io/v1 ClusterRole.

use super::{named, rules, strategy};
use crate::{cursor::Cursor, selector};
use proa_meta::FieldErrors;
use proa_registry::kind::{KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("ClusterRole");
    KindDef::cluster(gvk, "clusterroles", schema).with_strategy(Strategy {
        validate,
        validate_create: |object, errors| rules::declared_rules(object, &Value::Null, errors),
        validate_update: rules::declared_rules,
        ..strategy()
    })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    rules::rules(object, false, errors);
    let root = Cursor::root(object);
    let Some(rule) = root.present("aggregationRule") else { return };
    let list = rule.get("clusterRoleSelectors");
    if list.is_empty() {
        let text = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        list.required(errors, text);
    }
    for one in list.items() {
        selector::validate(&one, errors);
        if selector::matches(one.value(), &Value::Null).is_none() {
            errors.invalid(one.path(), &Value::Null, "invalid label selector.");
        }
    }
}
