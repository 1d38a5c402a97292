//! scheduling.k8s.io/v1 PriorityClass.
//!
//! Upstream: `pkg/registry/scheduling/priorityclass/strategy.go`, `pkg/apis/scheduling/{validation,v1/helpers.go}`.

use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, set, sub},
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

const HIGHEST_FOR_USERS: i64 = 1_000_000_000;
/// The classes that Kubernetes itself makes.
const SYSTEM: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("scheduling.k8s.io", "v1", "PriorityClass");
    let columns = [
        Column::name(),
        Column::of("Value", "integer"),
        Column::of("Global-Default", "boolean"),
        Column::age(),
        Column::text("PreemptionPolicy"),
    ];
    KindDef::cluster(gvk, "priorityclasses", facts::schema("io.k8s.api.scheduling.v1.PriorityClass"))
        .short(&["pc"])
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default: |object| absent(object, "preemptionPolicy", "PreemptLowerPriority"),
            // Upstream counts no changes, and looks at what cannot change only once.
            prepare_create: |object| set(sub(object, "metadata"), "generation", 1),
            validate_create,
            validate_update,
            ..Strategy::default()
        })
}

fn validate_create(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (metadata, value) = (root.get("metadata"), root.get("value"));
    let name = metadata.get("name");
    if name.text().starts_with("system-") {
        if let Some(why) = not_of_the_system(&root, name.text()) {
            let text = "priority class names with 'system-' prefix are reserved for system use only. error: ";
            name.forbidden(errors, &format!("{text}{why}"));
        }
    } else if value.int() > HIGHEST_FOR_USERS {
        let text = format!("maximum allowed value of a user defined priority is {HIGHEST_FOR_USERS}");
        value.forbidden(errors, &text);
    }
    if let Some(policy) = root.present("preemptionPolicy") {
        policy.one_of(errors, &["PreemptLowerPriority", "Never"]);
    }
}

fn not_of_the_system(root: &Cursor<'_, '_>, name: &str) -> Option<String> {
    let Some((_, value)) = SYSTEM.iter().find(|(system, _)| *system == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if root.int_of("value") != *value {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    let global = root.get("globalDefault").is_true();
    global.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    if new.int_of("value") != old.int_of("value") {
        new.get("value").forbidden(errors, "may not be changed in an update.");
    }
    new.get("preemptionPolicy").immutable(&old.get("preemptionPolicy"), errors);
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        table::name(object),
        table::number(&object["value"]),
        (object["globalDefault"] == true).into(),
        table::age(object, now),
        table::text_or(&object["preemptionPolicy"], ""),
    ]
}
