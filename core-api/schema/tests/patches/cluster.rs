//! A cluster of one object and a clock, to run sequences of writes by managers.

use crate::thing::{api_version, schema};
use proa_meta::ApiError;
use proa_schema::apply::{FieldManager, Reset};
use serde_json::Value;

/// One write.
pub(crate) enum Step {
    /// A new object by any write but apply.
    Create(&'static str, Value),
    /// The stored object becomes this (identity and entries are kept from the stored one).
    Update(&'static str, Value),
    /// The same through `/status`.
    Status(&'static str, Value),
    /// Server-side apply.
    Apply(&'static str, Value),
    /// Server-side apply with force.
    Force(&'static str, Value),
}

/// A cluster of one object, with a clock that ticks once per write.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) object: Option<Value>,
    pub(crate) ticks: u32,
}

impl Cluster {
    pub(crate) fn run(steps: Vec<Step>) -> Result<Value, ApiError> {
        let mut cluster = Self::default();
        for step in steps {
            cluster.step(step)?;
        }
        Ok(cluster.object.unwrap())
    }

    pub(crate) fn step(&mut self, step: Step) -> Result<(), ApiError> {
        self.ticks += 1;
        let now = format!("2026-01-01T00:00:{:02}Z", self.ticks);
        let by = |manager: &'static str, subresource: &'static str| manager_of(manager, subresource);
        let live = self.object.take();
        self.object = Some(match step {
            Step::Create(manager, new) => {
                let mut new = complete(new);
                FieldManager { now: &now, ..by(manager, "") }.create(&mut new);
                with_uid(new)
            }
            Step::Update(manager, new) => updated(&FieldManager { now: &now, ..by(manager, "") }, &live, new),
            Step::Status(manager, new) => {
                updated(&FieldManager { now: &now, ..by(manager, "status") }, &live, new)
            }
            Step::Apply(manager, config) => applied(
                &FieldManager { now: &now, ..by(manager, "") },
                &mut self.object,
                live,
                config,
                false,
            )?,
            Step::Force(manager, config) => {
                applied(&FieldManager { now: &now, ..by(manager, "") }, &mut self.object, live, config, true)?
            }
        });
        Ok(())
    }
}

pub(crate) fn manager_of(manager: &'static str, subresource: &'static str) -> FieldManager<'static> {
    let reset: Reset<'static> = match subresource {
        "status" => Reset::Exclude(&[&["spec"]]),
        _ => Reset::Exclude(&[&["status"]]),
    };
    FieldManager {
        schema: schema(),
        api_version: api_version(),
        kind: "Thing",
        subresource,
        manager,
        now: "",
        reset,
    }
}

fn applied(
    manager: &FieldManager<'_>,
    stored: &mut Option<Value>,
    live: Option<Value>,
    config: Value,
    force: bool,
) -> Result<Value, ApiError> {
    let result = manager.apply(live.as_ref(), complete(config), force);
    *stored = live;
    Ok(without_nulls(with_uid(result?)))
}

fn updated(manager: &FieldManager<'_>, live: &Option<Value>, new: Value) -> Value {
    let live = live.as_ref().unwrap();
    let mut new = with_uid(complete(new));
    if new["metadata"].get("managedFields").is_none()
        && let Some(entries) = live["metadata"].get("managedFields")
    {
        new["metadata"]["managedFields"] = entries.clone();
    }
    manager.update(live, &mut new);
    new
}

pub(crate) fn complete(mut object: Value) -> Value {
    object["apiVersion"] = api_version().into();
    object["kind"] = "Thing".into();
    object["metadata"]["name"] = "x".into();
    object
}

fn with_uid(mut object: Value) -> Value {
    object["metadata"]["uid"] = "u".into();
    object
}

/// What decoding into the kind does.
pub(crate) fn without_nulls(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            for value in map.values_mut() {
                *value = without_nulls(value.take());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_nulls(item.take())),
        _ => {}
    }
    value
}

/// The object without identity and entries.
pub(crate) fn content(object: &Value) -> Value {
    let mut object = object.clone();
    let map = object.as_object_mut().unwrap();
    map.remove("apiVersion");
    map.remove("kind");
    let metadata = map["metadata"].as_object_mut().unwrap();
    for key in ["name", "uid", "managedFields"] {
        metadata.remove(key);
    }
    if metadata.is_empty() {
        map.remove("metadata");
    }
    object
}

/// Owners as `manager/Operation[/subresource]` to their fields.
pub(crate) fn owners(object: &Value) -> Value {
    let mut out = serde_json::Map::new();
    for entry in entries(object) {
        let part = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let mut name = format!("{}/{}", part("manager"), part("operation"));
        if !part("subresource").is_empty() {
            name = format!("{name}/{}", part("subresource"));
        }
        let clash = out.insert(name, entry["fieldsV1"].clone());
        assert!(clash.is_none(), "two entries of one manager");
    }
    Value::Object(out)
}

/// `metadata.managedFields`.
pub(crate) fn entries(object: &Value) -> &[Value] {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
