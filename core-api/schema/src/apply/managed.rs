//! `metadata.managedFields`: entries of managers, their order, and the bound on their number.
//!
//! Invariants: an entry that a write does not concern keeps its parts as they are; entries without fields are dropped;
//! operation, time, manager, version and subresource give the order.
//! Upstream: apimachinery `managedfields/internal/managedfields.go`, `capmanagers.go`, apiserver
//! `handlers/fieldmanager/{admission,equality}.go`.

use super::path_set::PathSet;
use crate::patch::go_text;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::{cmp::Ordering, collections::HashMap};

/// Most entries of updates; the oldest are merged into one bucket per version.
const MAX_UPDATE_MANAGERS: usize = 10;
const BUCKET: &str = "ancient-changes";

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Any other write.
    Update,
}

impl Operation {
    const fn text(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name of the manager.
    pub manager: String,
    /// How it wrote.
    pub operation: Operation,
    /// Version that its fields are written in.
    pub api_version: String,
    /// Subresource it wrote through; empty for the object itself.
    pub subresource: String,
    /// When its set last changed, RFC 3339; empty when not known.
    pub time: String,
    /// Its fields.
    pub fields: PathSet,
}

impl Entry {
    /// Whether both stand for the same manager: for apply, the version does not matter.
    pub(super) fn is_same_manager(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// Upstream's text for the manager, by which managers are ordered.
    pub(super) fn identifier(&self) -> String {
        let mut parts = Vec::with_capacity(4);
        let mut put = |name: &str, text: &str| {
            if !text.is_empty() {
                parts.push(format!("\"{name}\":{}", go_text::json(&Value::from(text))));
            }
        };
        put("manager", &self.manager);
        put("operation", self.operation.text());
        put("apiVersion", if self.operation == Operation::Apply { "" } else { &self.api_version });
        put("subresource", &self.subresource);
        format!("{{{}}}", parts.join(","))
    }

    fn seconds(&self) -> i64 {
        self.time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
    }

    /// Order of times to the second; times in the form that is written compare as text.
    fn compare_times(&self, other: &Self) -> Ordering {
        let is_usual = |time: &str| time.len() == "2006-01-02T15:04:05Z".len() && time.ends_with('Z');
        if self.time == other.time || (is_usual(&self.time) && is_usual(&other.time)) {
            return self.time.cmp(&other.time);
        }
        self.seconds().cmp(&other.seconds())
    }

    fn into_value(self) -> Value {
        let mut map = Map::new();
        let mut put = |key: &str, text: String| {
            if !text.is_empty() {
                map.insert(key.to_owned(), Value::String(text));
            }
        };
        put("manager", self.manager);
        put("operation", self.operation.text().to_owned());
        put("apiVersion", self.api_version);
        put("time", self.time);
        put("fieldsType", "FieldsV1".to_owned());
        put("subresource", self.subresource);
        map.insert("fieldsV1".to_owned(), self.fields.into_value());
        Value::Object(map)
    }
}

/// Reads entries that this module wrote: fields are taken as they are.
pub(super) fn trusted(entries: Vec<Value>) -> Result<Vec<Entry>, String> {
    entries.into_iter().enumerate().map(|(i, entry)| entry_of(entry, i, take_fields)).collect()
}

fn take_fields(fields: Value) -> Result<PathSet, String> {
    match fields {
        Value::Object(map) => Ok(PathSet(map)),
        _ => Ok(PathSet::default()),
    }
}

/// Reads entries that a client wrote: fields become canonical, and later entries replace earlier ones of the same
/// manager.
///
/// Errors: why an entry is not valid.
pub(super) fn foreign(entries: &[Value]) -> Result<Vec<Entry>, String> {
    let mut out: Vec<Entry> = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        let entry = entry_of(entry.clone(), i, |fields| {
            PathSet::decode(&fields).map_err(|e| format!("error decoding set: {e}"))
        })?;
        match out.iter_mut().find(|other| other.is_same_manager(&entry)) {
            Some(other) => *other = entry,
            None => out.push(entry),
        }
    }
    Ok(out)
}

fn entry_of(
    entry: Value,
    index: usize,
    fields: impl Fn(Value) -> Result<PathSet, String>,
) -> Result<Entry, String> {
    let Value::Object(mut map) = entry else {
        return Err(format!("managed fields entry {index} is no object"));
    };
    let mut text = |key: &str| match map.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let operation = match text("operation").as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let api_version = text("apiVersion");
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType").as_str() {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
        other => {
            let other = go_text::quoted(other);
            return Err(format!("invalid fieldsType {other} in managed fields entry {index}"));
        }
    }
    let (manager, subresource, time) = (text("manager"), text("subresource"), text("time"));
    let fields = fields(map.remove("fieldsV1").unwrap_or_default())?;
    Ok(Entry { manager, operation, api_version, subresource, time, fields })
}

/// Checks `metadata.managedFields` as a client or an admission plugin left it.
///
/// Errors: upstream's text.
pub fn validate_managed_fields(object: &Value) -> Result<(), String> {
    foreign(list_of(object).map(Vec::as_slice).unwrap_or_default()).map(drop)
}

/// The entries of an object as they are.
pub(super) fn list_of(object: &Value) -> Option<&Vec<Value>> {
    object.get("metadata")?.get("managedFields")?.as_array()
}

/// Takes the entries out of an object; `None` when it has none.
pub(super) fn take_list(object: &mut Value) -> Option<Vec<Value>> {
    match object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")? {
        Value::Array(entries) => Some(entries),
        _ => None,
    }
}

/// A copy of an object without its entries.
pub(super) fn clone_without_list(object: &Value) -> Value {
    let copy = |map: &Map<String, Value>, skip: &str| {
        map.iter().filter(|(key, _)| *key != skip).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let Value::Object(map) = object else { return object.clone() };
    let mut out: Map<String, Value> = copy(map, "metadata");
    match map.get("metadata") {
        Some(Value::Object(metadata)) => {
            out.insert("metadata".to_owned(), Value::Object(copy(metadata, "managedFields")));
        }
        Some(other) => drop(out.insert("metadata".to_owned(), other.clone())),
        None => {}
    }
    Value::Object(out)
}

/// Writes entries, already as values, into an object that has metadata.
pub(super) fn put_list(object: &mut Value, entries: Vec<Value>) {
    if entries.is_empty() {
        return;
    }
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Entries in wire form and order, without those that own nothing.
pub(super) fn encode(mut entries: Vec<Entry>) -> Vec<Value> {
    entries.sort_by(|a, b| {
        a.operation
            .cmp(&b.operation)
            .then_with(|| a.compare_times(b))
            .then_with(|| a.manager.cmp(&b.manager))
            .then_with(|| a.api_version.cmp(&b.api_version))
            .then_with(|| a.subresource.cmp(&b.subresource))
    });
    entries.into_iter().map(Entry::into_value).collect()
}

/// Whether a client asks to clear the entries: an empty list, or one empty entry.
pub(super) fn is_reset(entries: &[Value]) -> bool {
    match entries {
        [] => true,
        [Value::Object(only)] => only.values().all(|value| value.is_null() || value.as_str() == Some("")),
        _ => false,
    }
}

/// Merges the oldest entries of updates until few enough are left.
pub(super) fn cap_updates(entries: &mut Vec<Entry>) {
    let mut updates: Vec<usize> =
        (0..entries.len()).filter(|&i| entries[i].operation == Operation::Update).collect();
    let mut excess = updates.len().saturating_sub(MAX_UPDATE_MANAGERS);
    if excess == 0 {
        return;
    }
    updates.sort_by(|&a, &b| {
        let (a, b) = (&entries[a], &entries[b]);
        let name =
            |entry: &Entry| (entry.manager.clone(), entry.api_version.clone(), entry.subresource.clone());
        a.compare_times(b).then_with(|| name(a).cmp(&name(b)))
    });
    let is_bucket = |entry: &Entry| {
        entry.manager == BUCKET && entry.operation == Operation::Update && entry.subresource.is_empty()
    };
    let mut buckets: HashMap<String, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| is_bucket(entry)) {
        buckets.insert(entry.api_version.clone(), at);
    }
    for at in updates {
        let version = entries[at].api_version.clone();
        match buckets.get(&version) {
            Some(&bucket) if excess > 0 && bucket != at => {
                pour(entries, at, bucket);
                excess -= 1;
            }
            Some(_) => {}
            None => drop(buckets.insert(version, at)),
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
}

/// Empties one entry into another, which becomes the bucket of its version.
fn pour(entries: &mut [Entry], from: usize, into: usize) {
    let fields = std::mem::take(&mut entries[from].fields);
    let time = entries[from].time.clone();
    let bucket = &mut entries[into];
    bucket.fields.unite(fields);
    bucket.time = time;
    BUCKET.clone_into(&mut bucket.manager);
    bucket.subresource.clear();
}

/// Puts back the times of entries when a write changed nothing but them, so that it is no write at all.
pub fn keep_unchanged_times(old: &Value, new: &mut Value) {
    let (Some(before), Some(after)) = (list_of(old), list_of(new)) else { return };
    let differs_in_time_only = before.len() == after.len()
        && before != after
        && before.iter().zip(after).all(|(a, b)| is_equal_but_time(a, b))
        && is_equal_but_entries(old, new);
    if differs_in_time_only {
        let before = before.clone();
        put_list(new, before);
    }
}

fn is_equal_but_time(a: &Value, b: &Value) -> bool {
    is_equal_but(a, b, "time", |_, _| true)
}

/// Whether two objects are equal apart from their entries.
pub(super) fn is_equal_but_entries(a: &Value, b: &Value) -> bool {
    is_equal_but(a, b, "metadata", |a, b| is_equal_but(a, b, "managedFields", |_, _| true))
}

/// Equality of objects, with another notion of it for one field, which may also be absent.
fn is_equal_but(a: &Value, b: &Value, field: &str, equal: impl Fn(&Value, &Value) -> bool) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let others = |map: &'_ Map<String, Value>| map.len() - usize::from(map.contains_key(field));
    let null = Value::Null;
    others(a) == others(b)
        && a.iter().filter(|(key, _)| *key != field).all(|(key, value)| b.get(key) == Some(value))
        && equal(a.get(field).unwrap_or(&null), b.get(field).unwrap_or(&null))
}
