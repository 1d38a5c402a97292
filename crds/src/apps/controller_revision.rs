//! apps/v1 ControllerRevision: a kept state of a DaemonSet or StatefulSet.
//!
//! Upstream: `pkg/registry/apps/controllerrevision/strategy.go`, `pkg/apis/apps/validation/validation.go`.

use super::namespaced;
use crate::{cursor::Cursor, table};
use jiff::Timestamp;
use proa_meta::{FieldErrors, gvk};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [Column::name(), Column::text("Controller"), Column::text("Revision"), Column::age()];
    namespaced("ControllerRevision", "controllerrevisions").with_table(&columns, row).with_strategy(
        Strategy {
            validate: |object, errors| Cursor::root(object).get("revision").non_negative(errors),
            validate_create,
            validate_update: |new, old, errors| {
                let (new, old) = (Cursor::root(new), Cursor::root(old));
                new.get("data").immutable(&old.get("data"), errors);
            },
            ..Strategy::default()
        },
    )
}

fn validate_create(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let data = root.get("data");
    match data.value() {
        Value::Null => data.required(errors, "data is mandatory"),
        Value::Object(_) => {}
        _ => data.required(errors, "data must be a valid JSON object"),
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        table::name(object),
        controller(object).unwrap_or_else(|| "<none>".to_owned()).into(),
        table::number(&object["revision"]),
        table::age(object, now),
    ]
}

/// `daemonset.apps/name`.
fn controller(object: &Value) -> Option<String> {
    let mut owners = object["metadata"]["ownerReferences"].as_array()?.iter();
    let owner = owners.find(|owner| owner["controller"] == true)?;
    let (group, _) = gvk::split_api_version(owner["apiVersion"].as_str()?)?;
    let kind = owner["kind"].as_str()?.to_lowercase();
    let name = owner["name"].as_str()?;
    Some(if group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{group}/{name}") })
}
