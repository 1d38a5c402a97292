//! Events, served as v1 and events.k8s.io/v1. One object in two forms; v1 is stored.
//!
//! Upstream: `pkg/apis/core/validation/events.go`, `pkg/apis/events/v1/conversion.go`, `pkg/registry/core/event`.

mod validate;

use crate::{core::namespaced, facts, fill, table};
use jiff::Timestamp;
use proa_meta::{FieldErrors, GroupResource, Gvk, gvk::GroupKind, names};
use proa_registry::kind::{Column, Conversion, KindDef, Selectable, Strategy};
use serde_json::Value;

/// Events vanish after an hour.
const TTL_SECONDS: u64 = 3600;
/// Fields of the two forms: v1, events.k8s.io/v1.
const RENAMED: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];
const RENAMED_INSTANCE: (&str, &str) = ("reportingComponent", "reportingController");

/// v1.
pub(crate) fn core_kind() -> KindDef {
    let validate_create = |object: &Value, errors: &mut FieldErrors| {
        // Upstream looks at the metadata of an event that is otherwise well.
        let metadata = std::mem::take(errors);
        validate::object(object, "reportingComponent", errors);
        if errors.is_empty() {
            *errors = metadata;
        }
    };
    let validate_update = |new: &Value, _: &Value, errors: &mut FieldErrors| {
        validate::object(new, "reportingComponent", errors);
    };
    // Names begin with the name of what they are about, which may be anything that fits in a path.
    let name = names::name_is_path_segment;
    completed(
        namespaced("Event", "events"),
        Strategy { validate_create, validate_update, name, ..strategy() },
    )
}

/// events.k8s.io/v1. It is validated in the stored form.
pub(crate) fn events_kind() -> KindDef {
    let gvk = Gvk::new("events.k8s.io", "v1", "Event");
    let kind = KindDef::namespaced(gvk, "events", facts::schema("io.k8s.api.events.v1.Event"));
    let strategy = Strategy {
        validate_create: |object, errors| {
            // Upstream looks at the metadata later.
            let metadata = std::mem::take(errors);
            validate::object(&stored(object), "reportingController", errors);
            errors.extend(metadata);
            validate::create(&stored(object), errors);
        },
        validate_update: |new, old, errors| {
            validate::object(&stored(new), "reportingController", errors);
            validate::update(&stored(new), &stored(old), errors);
        },
        ..strategy()
    };
    KindDef {
        storage: GroupResource::new("", "events"),
        convert: Some(Conversion { to_storage, from_storage }),
        error_kind: Some(GroupKind::new("", "Event")),
        ..completed(kind, strategy)
    }
}

fn stored(object: &Value) -> Value {
    let mut stored = object.clone();
    to_storage(&mut stored);
    stored
}

fn strategy() -> Strategy {
    Strategy { create_on_update: true, ..Strategy::default() }
}

fn completed(kind: KindDef, strategy: Strategy) -> KindDef {
    let columns = [
        Column::text("Last Seen"),
        Column::text("Type"),
        Column::text("Reason"),
        Column::text("Object"),
        Column::text("Subobject").wide(),
        Column::text("Source").wide(),
        Column::text("Message"),
        Column::text("First Seen").wide(),
        Column::text("Count").wide(),
        Column::name().wide(),
    ];
    let is_core = kind.gvk.group.is_empty();
    let row = if is_core { row } else { events_row };
    let selectable: &[_] = if is_core { &SELECTABLE } else { &EVENTS_SELECTABLE };
    let kind = kind.short(&["ev"]).selectable(selectable).with_table(&columns, row).with_strategy(strategy);
    KindDef { ttl_seconds: Some(TTL_SECONDS), ..kind }
}

const SELECTABLE: [Selectable; 11] = [
    Selectable::new("involvedObject.kind"),
    Selectable::new("involvedObject.namespace"),
    Selectable::new("involvedObject.name"),
    Selectable::new("involvedObject.uid"),
    Selectable::new("involvedObject.apiVersion"),
    Selectable::new("involvedObject.resourceVersion"),
    Selectable::new("involvedObject.fieldPath"),
    Selectable::new("reason"),
    Selectable::new("reportingComponent"),
    Selectable::new("type"),
    Selectable::new("source.component").else_at("reportingComponent").called("source"),
];

/// The same fields of the stored form in the same order, as events.k8s.io calls them; it has no name for the last.
/// Upstream: `pkg/apis/events/v1/conversion.go`.
const EVENTS_SELECTABLE: [Selectable; 10] = [
    Selectable::new("involvedObject.kind").called("regarding.kind"),
    Selectable::new("involvedObject.namespace").called("regarding.namespace"),
    Selectable::new("involvedObject.name").called("regarding.name"),
    Selectable::new("involvedObject.uid").called("regarding.uid"),
    Selectable::new("involvedObject.apiVersion").called("regarding.apiVersion"),
    Selectable::new("involvedObject.resourceVersion").called("regarding.resourceVersion"),
    Selectable::new("involvedObject.fieldPath").called("regarding.fieldPath"),
    Selectable::new("reason"),
    Selectable::new("reportingComponent").called("reportingController"),
    Selectable::new("type"),
];

fn rename(object: &mut Value, from: &str, to: &str) {
    let fields = fill::fields(object);
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

/// From events.k8s.io/v1 to v1.
fn to_storage(object: &mut Value) {
    for (core, events) in RENAMED {
        rename(object, events, core);
    }
    rename(object, RENAMED_INSTANCE.1, RENAMED_INSTANCE.0);
    always(object, &["involvedObject", "source"], &["reportingComponent", "reportingInstance"]);
    for field in ["firstTimestamp", "lastTimestamp"] {
        fill::absent(object, field, Value::Null);
    }
    fill::set(object, "apiVersion", "v1");
}

/// From v1 to events.k8s.io/v1.
fn from_storage(object: &mut Value) {
    for (core, events) in RENAMED {
        rename(object, core, events);
    }
    rename(object, RENAMED_INSTANCE.0, RENAMED_INSTANCE.1);
    // v1 always writes what events.k8s.io leaves out when it is empty.
    for field in ["reportingController", "reportingInstance"] {
        if object[field] == "" {
            fill::remove(object, field);
        }
    }
    always(object, &["regarding", "deprecatedSource"], &[]);
    for field in ["deprecatedFirstTimestamp", "deprecatedLastTimestamp"] {
        fill::absent(object, field, Value::Null);
    }
    fill::set(object, "apiVersion", "events.k8s.io/v1");
}

/// Structs and texts that are written even when they are empty.
fn always(object: &mut Value, structs: &[&str], texts: &[&str]) {
    for field in structs {
        fill::sub(object, field);
    }
    for field in texts {
        fill::absent(object, field, "");
    }
}

fn events_row(object: &Value, now: Timestamp) -> Vec<Value> {
    row(&stored(object), now)
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let first = match &object["firstTimestamp"] {
        Value::Null => table::since(&object["eventTime"], now),
        time => table::since(time, now),
    };
    let series = &object["series"];
    let last = match (&series["lastObservedTime"], &object["lastTimestamp"]) {
        (Value::Null, Value::Null) => first.clone(),
        (Value::Null, time) => table::since(time, now),
        (time, _) => table::since(time, now),
    };
    let count = match (series["count"].as_i64(), object["count"].as_i64().unwrap_or(0)) {
        (Some(count), _) => count,
        (None, 0) => 1,
        (None, count) => count,
    };
    let text = |value: &Value| Value::from(value.as_str().unwrap_or("").trim());
    vec![
        last.into(),
        text(&object["type"]),
        text(&object["reason"]),
        target(&object["involvedObject"]).into(),
        text(&object["involvedObject"]["fieldPath"]),
        source(object).into(),
        text(&object["message"]),
        first.into(),
        count.into(),
        table::name(object),
    ]
}

fn target(involved: &Value) -> String {
    let kind = involved["kind"].as_str().unwrap_or("").to_lowercase();
    match involved["name"].as_str().unwrap_or("") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(object: &Value) -> String {
    let either = |a: &Value, b: &Value| {
        let texts = [a, b].map(|v| v.as_str().unwrap_or("").to_owned());
        texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    };
    let component = either(&object["source"]["component"], &object["reportingComponent"]);
    let host = either(&object["source"]["host"], &object["reportingInstance"]);
    if host.is_empty() { component } else { format!("{component}, {host}") }
}
