//! `metadata` of every kind: what the server fills in and what it refuses.
//!
//! Upstream: apimachinery `pkg/api/validation/objectmeta.go`, apiserver `pkg/registry/rest/meta.go`.

use jiff::Timestamp;
use proa_meta::{FieldErrors, FieldPath, names, time::Time};
use serde_json::{Map, Value, json};

/// Most bytes of all annotations together.
const ANNOTATIONS_BYTES: usize = 256 << 10;

/// The metadata of an object; made when it is missing.
pub(crate) fn of(object: &mut Value) -> &mut Map<String, Value> {
    map(map(object).entry("metadata").or_insert_with(|| json!({})))
}

/// The members of a value, which becomes an empty object when it is none.
pub(crate) fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was just made an object")
}

/// Text of a metadata field, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// Its resourceVersion.
pub(crate) fn version_of(object: &Value) -> Option<Value> {
    object["metadata"].get("resourceVersion").cloned()
}

/// Whether an object has no labels.
pub(crate) fn is_unlabelled(object: &Value) -> bool {
    object["metadata"]["labels"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// Whether the object is being deleted.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether finalizers are left.
pub(crate) fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())
}

/// RFC 3339 text of a time, to the second.
pub(crate) fn timestamp(at: Timestamp) -> Value {
    Value::String(Time::new(at).to_string())
}

/// Takes out of a new object what only the server sets, before anyone is recorded as its owner.
pub(crate) fn wipe(object: &mut Value) {
    let metadata = of(object);
    for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
}

/// What the server decides on create: uid, creation time, generated name, no resourceVersion.
pub(crate) fn fill_create(object: &mut Value, now: Timestamp) {
    wipe(object);
    let metadata = of(object);
    metadata.remove("resourceVersion");
    metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), timestamp(now));
    let empty = |v: Option<&Value>| v.and_then(Value::as_str).is_none_or(str::is_empty);
    if empty(metadata.get("name"))
        && let Some(prefix) = metadata.get("generateName").and_then(Value::as_str).filter(|p| !p.is_empty())
    {
        let name = generate_name(prefix);
        metadata.insert("name".to_owned(), json!(name));
    }
}

/// Prefix and five random characters, as upstream: apiserver `pkg/storage/names/generate.go`.
fn generate_name(prefix: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const LONGEST: usize = 63 - 5;
    let random = uuid::Uuid::new_v4();
    let mut end = prefix.len().min(LONGEST);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    // Bytes 6 and 8 of a version 4 uuid hold constant bits.
    let suffix =
        random.as_bytes()[10..15].iter().map(|&b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()]));
    prefix[..end].chars().chain(suffix).collect()
}

/// Fields that an update keeps as they are. Deletion can only be changed by deleting: an attempt is found by
/// [`validate_update`].
pub(crate) fn keep_on_update(new: &mut Value, old: &Value) {
    let old = |field: &str| old["metadata"].get(field).filter(|value| !value.is_null());
    let metadata = of(new);
    for field in ["generation", "creationTimestamp", "deletionTimestamp"] {
        match old(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None if field == "generation" => metadata.remove(field),
            None => None,
        };
    }
    for field in ["uid", "namespace", "deletionGracePeriodSeconds"] {
        if metadata.get(field).is_none_or(is_blank)
            && let Some(value) = old(field)
        {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
}

/// Validates metadata of any kind.
pub(crate) fn validate(
    object: &Value,
    namespaced: bool,
    name_rule: fn(&str, bool) -> Vec<String>,
    errors: &mut FieldErrors,
) {
    let root = FieldPath::root("metadata");
    let metadata = &object["metadata"];
    if let Some(prefix) = metadata["generateName"].as_str().filter(|p| !p.is_empty()) {
        for problem in name_rule(prefix, true) {
            errors.invalid(&root.child("generateName"), &metadata["generateName"], &problem);
        }
    }
    match metadata["name"].as_str().unwrap_or_default() {
        "" => errors.required(&root.child("name"), "name or generateName is required"),
        name => {
            for problem in name_rule(name, false) {
                errors.invalid(&root.child("name"), &metadata["name"], &problem);
            }
        }
    }
    validate_namespace(metadata, namespaced, &root, errors);
    if metadata["generation"].as_i64().is_some_and(|generation| generation < 0) {
        errors.invalid(
            &root.child("generation"),
            &metadata["generation"],
            "must be greater than or equal to 0",
        );
    }
    validate_labels(&metadata["labels"], &root.child("labels"), errors);
    validate_annotations(&metadata["annotations"], &root.child("annotations"), errors);
    validate_owners(&metadata["ownerReferences"], &root.child("ownerReferences"), errors);
    validate_finalizers(&metadata["finalizers"], &root.child("finalizers"), errors);
}

fn validate_namespace(metadata: &Value, namespaced: bool, root: &FieldPath<'_>, errors: &mut FieldErrors) {
    let path = root.child("namespace");
    match metadata["namespace"].as_str().unwrap_or_default() {
        "" if namespaced => errors.required(&path, ""),
        "" => {}
        _ if !namespaced => errors.forbidden(&path, "not allowed on this type"),
        namespace => {
            for problem in names::name_is_dns_label(namespace, false) {
                errors.invalid(&path, &metadata["namespace"], &problem);
            }
        }
    }
}

fn validate_labels(labels: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let pairs = labels.as_object().into_iter().flatten();
    names::validate_labels(pairs.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())), path, errors);
}

fn validate_annotations(annotations: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let Some(annotations) = annotations.as_object() else { return };
    let mut bytes = 0;
    for (key, value) in annotations {
        for problem in names::is_qualified_name(&key.to_lowercase()) {
            errors.invalid(path, &json!(key), &problem);
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES {
        errors.too_long(path, ANNOTATIONS_BYTES);
    }
}

fn validate_owners(owners: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let mut controller: Option<String> = None;
    for (i, owner) in owners.as_array().into_iter().flatten().enumerate() {
        validate_owner(owner, &path.index(i), errors);
        if owner["controller"] != true {
            continue;
        }
        let member = |field: &str| owner[field].as_str().unwrap_or_default();
        let this = format!("{}/{}", member("kind"), member("name"));
        match &controller {
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                     and {this}"
                );
                errors.invalid(path, owners, &detail);
            }
            None => controller = Some(this),
        }
    }
}

fn validate_owner(owner: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let version = owner["apiVersion"].as_str().unwrap_or_default();
    if version.is_empty() {
        errors.required(&path.child("apiVersion"), "must not be empty");
    } else if proa_meta::gvk::split_api_version(version).is_none_or(|(_, version)| version.is_empty()) {
        let detail = "must be <group>/<version> or <version>";
        errors.invalid(&path.child("apiVersion"), &owner["apiVersion"], detail);
    }
    for field in ["kind", "name", "uid"] {
        if owner[field].as_str().unwrap_or_default().is_empty() {
            errors.required(&path.child(field), "must not be empty");
        }
    }
    if version == "v1" && owner["kind"] == "Event" {
        errors.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner");
    }
}

fn validate_finalizers(finalizers: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    const BUILT_IN: [&str; 2] = ["orphan", "foregroundDeletion"];
    let mut policies = [false; 2];
    for finalizer in finalizers.as_array().into_iter().flatten() {
        let text = finalizer.as_str().unwrap_or_default();
        for problem in names::is_qualified_name(text) {
            errors.invalid(path, finalizer, &problem);
        }
        if let Some(at) = BUILT_IN.iter().position(|b| *b == text) {
            policies[at] = true;
        }
    }
    if policies == [true, true] {
        errors.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

/// What built-in kinds ask of finalizers besides; definitions and their objects may have bare names.
pub(crate) fn validate_standard_finalizers(object: &Value, errors: &mut FieldErrors) {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    let root = FieldPath::root("metadata");
    let path = root.child("finalizers");
    for (at, finalizer) in object["metadata"]["finalizers"].as_array().into_iter().flatten().enumerate() {
        let is_bare = finalizer.as_str().is_some_and(|text| !text.contains('/') && !STANDARD.contains(&text));
        if is_bare {
            let problem = "name is neither a standard finalizer name nor is it fully qualified";
            errors.invalid(&path.index(at), finalizer, problem);
        }
    }
}

/// Validates a change of metadata.
pub(crate) fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = FieldPath::root("metadata");
    let (new, old) = (&new["metadata"], &old["metadata"]);
    if old["deletionTimestamp"].is_string() {
        let before = old["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
        let added: Vec<&str> = new["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|f| !before.contains(f))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                go_strings(&added)
            );
            errors.forbidden(&root.child("finalizers"), &detail);
        }
    }
    const IMMUTABLE: [&str; 6] =
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in IMMUTABLE {
        if new[field] != old[field] && !(is_blank(&new[field]) && is_blank(&old[field])) {
            errors.invalid(&root.child(field), &new[field], "field is immutable");
        }
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// `sets.String` as Go prints it: `[]string{"a", "b"}`.
fn go_strings(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|i| format!("{i:?}")).collect();
    format!("[]string{{{}}}", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(metadata: &Value) -> Vec<String> {
        let mut errors = FieldErrors::default();
        let object = json!({"metadata": metadata});
        validate(&object, true, names::name_is_dns_subdomain, &mut errors);
        validate_standard_finalizers(&object, &mut errors);
        errors.iter().map(|e| e.field.clone()).collect()
    }

    #[test]
    fn metadata_is_validated_as_upstream() {
        assert!(problems(&json!({"name": "a", "namespace": "b"})).is_empty());
        assert_eq!(problems(&json!({"namespace": "b"})), ["metadata.name"]);
        assert_eq!(problems(&json!({"name": "A_", "namespace": "b"})), ["metadata.name"]);
        assert_eq!(problems(&json!({"name": "a"})), ["metadata.namespace"]);
        let labels = json!({"name": "a", "namespace": "b", "labels": {"x y": "z", "ok": "!"}});
        assert_eq!(problems(&labels), ["metadata.labels", "metadata.labels"]);
        let owners = json!({"name": "a", "namespace": "b", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod",
            "name": "", "uid": "u"}]});
        assert_eq!(problems(&owners), ["metadata.ownerReferences[0].name"]);
        let finalizers = json!({"name": "a", "namespace": "b", "finalizers": ["bare"]});
        assert_eq!(problems(&finalizers), ["metadata.finalizers[0]"]);
    }

    #[test]
    fn owners_must_be_complete_and_have_one_controller() {
        let owned =
            |owners: Value| problems(&json!({"name": "a", "namespace": "b", "ownerReferences": owners}));
        let path = |field: &str| format!("metadata.ownerReferences[0].{field}");
        assert_eq!(owned(json!([{}])), ["apiVersion", "kind", "name", "uid"].map(path));
        let controller =
            json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true});
        assert_eq!(owned(json!([controller, controller])), ["metadata.ownerReferences"]);
    }

    #[test]
    fn an_update_keeps_what_the_server_sets() {
        let old =
            json!({"metadata": {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3}});
        let mut new = json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z", "generation": 9,
            "deletionTimestamp": "2020-01-01T00:00:00Z"}});
        keep_on_update(&mut new, &old);
        let mut errors = FieldErrors::default();
        validate_update(&new, &old, &mut errors);
        let fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["metadata.deletionTimestamp"], "nobody can begin a deletion by an update");
        assert_eq!(new["metadata"]["generation"], 3);
        assert_eq!(new["metadata"]["creationTimestamp"], old["metadata"]["creationTimestamp"]);
    }

    #[test]
    fn generated_names_keep_the_prefix_and_fit() {
        let name = generate_name("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_eq!(generate_name(&"x".repeat(80)).len(), 63);
        assert_ne!(generate_name("a"), generate_name("a"));
    }
}
