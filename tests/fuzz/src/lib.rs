//! Entry points of everything that reads input from outside, for any bytes: refused, or read, and never a panic.
//!
//! Each holds what is read to a property as well, such as that it survives being written.

pub mod mutate;

use proa_crds::facts;
use proa_meta::{
    FieldErrors, FieldPath,
    selector::{FieldSelector, Selector},
};
use proa_schema::{
    Schema, SchemaRef,
    apply::{FieldManager, Reset},
    canonical::canonical,
    crd::{self, StatusSubresource},
    default::default_values,
    json, patch, protobuf,
    prune::{Root, prune},
    validate::validate_object,
};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// A target: its name, the folders and files of its corpus, and what runs it.
pub type Target = (&'static str, &'static [&'static str], fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("bodies", &["corpus/bodies"], bodies),
    ("definitions", &["corpus/definitions"], definitions),
    ("patches", &["corpus/patch"], patches),
    ("apply", &["corpus/patch"], apply),
    ("selectors", &[], selectors),
    ("protobuf", &["corpus/protobuf"], protobuf),
    ("expressions", &["rules/cases.yaml"], expressions),
];

static POD: LazyLock<SchemaRef> = LazyLock::new(|| facts::schema("io.k8s.api.core.v1.Pod"));

/// A JSON or YAML body: what was parsed survives being written.
pub fn bodies(bytes: &[u8]) {
    drop(json::parse_yaml(bytes));
    if let Ok(parsed) = json::parse(bytes) {
        let written = parsed.value.to_string();
        assert_eq!(json::parse(written.as_bytes()).expect("own JSON").value, parsed.value);
    }
}

/// The schema of a definition: refused with field errors, or usable on any object.
pub fn definitions(bytes: &[u8]) {
    let Ok(parsed) = json::parse(bytes) else { return };
    let mut object = parsed.value;
    let Some(schema) = compiled(&object) else { return };
    prune(&schema, &mut object, Root::Resource);
    default_values(&schema, &mut object);
    let once = object.clone();
    prune(&schema, &mut object, Root::Resource);
    default_values(&schema, &mut object);
    assert_eq!(object, once, "pruning and defaulting are done after one pass");
    validate_object(&schema, &object, None, &mut FieldErrors::default());
}

fn compiled(schema: &Value) -> Option<Schema> {
    let mut errors = FieldErrors::default();
    let made = crd::compile(schema, StatusSubresource::Served, &FieldPath::root("schema"), &mut errors);
    assert!(made.is_some() || !errors.is_empty(), "a refusal says why");
    made
}

/// A patch of a document, as `{"doc", "patch"}`: an error or an object.
pub fn patches(bytes: &[u8]) {
    let Ok(parsed) = json::parse(bytes) else { return };
    let (doc, body) = (parsed.value["doc"].clone(), parsed.value["patch"].clone());
    drop(patch::json_patch(doc.clone(), body.to_string().as_bytes()));
    let mut merged = doc.clone();
    patch::merge(&mut merged, body.clone());
    let mut strategic = doc;
    drop(patch::strategic(&POD, &mut strategic, body));
}

/// Server-side apply onto a document, as `{"doc", "patch"}`: what was applied is stable.
pub fn apply(bytes: &[u8]) {
    let Ok(parsed) = json::parse(bytes) else { return };
    let (doc, body) = (parsed.value["doc"].clone(), parsed.value["patch"].clone());
    let manager = FieldManager {
        schema: &POD,
        api_version: "v1",
        kind: "Pod",
        subresource: "",
        manager: "fuzz",
        now: "2026-01-01T00:00:00Z",
        reset: Reset::Nothing,
    };
    let applied = [doc.is_object().then_some(&doc), None].map(|live| manager.apply(live, body.clone(), true));
    for object in applied.into_iter().flatten() {
        // The first may only have found that nobody was recorded as an owner so far.
        let Ok(again) = manager.apply(Some(&object), body.clone(), true) else { continue };
        let third =
            manager.apply(Some(&again), body.clone(), false).expect("there is nothing to conflict with");
        assert_eq!(third, again, "applying the same changes nothing");
    }
}

/// A label or field selector: what is accepted prints as something that means the same.
pub fn selectors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(selector) = Selector::parse(text) {
        let printed = selector.to_string();
        assert_eq!(Selector::parse(&printed).expect("own text").to_string(), printed);
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let printed = selector.to_string();
        assert_eq!(FieldSelector::parse(&printed).expect("own text").to_string(), printed);
    }
}

/// The protobuf of the kind that it names: what was read survives being written.
pub fn protobuf(bytes: &[u8]) {
    let Ok(envelope) = protobuf::Envelope::open(bytes) else { return };
    let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", envelope.api_version));
    let Some(of) = facts::type_of(group, version, envelope.kind) else { return };
    let schema = facts::schema(of.name);
    let read = |bytes: &[u8]| {
        protobuf::decode(&schema, bytes).map(|mut value| {
            canonical(&schema, &mut value);
            value
        })
    };
    let Ok(value) = read(envelope.raw) else { return };
    let mut written = Vec::new();
    protobuf::encode(&schema, &value, &mut written);
    assert_eq!(read(&written).expect("own bytes"), value);
    let mut from_text = Vec::new();
    protobuf::encode_json(&schema, value.to_string().as_bytes(), &mut from_text).expect("own JSON");
    assert_eq!(from_text, written);
}

/// A rule of a definition, compiled and evaluated on an object.
pub fn expressions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Lines of the corpus begin with what is YAML's.
    let rule = text.trim_start_matches(['-', ' ']).trim_matches('\'');
    let (text, open) =
        (json!({"type": "string"}), json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let list = json!({"type": "array", "maxItems": 9, "items": text});
    let schema = json!({
        "type": "object", "x-kubernetes-validations": [{"rule": rule}],
        "properties": {
            "int": {"type": "integer"}, "num": {"type": "number"}, "str": text, "bool": {"type": "boolean"},
            "list": list, "obj": open, "map": {"type": "object", "additionalProperties": text},
            "time": {"type": "string", "format": "date-time"}, "duration": {"type": "string", "format": "duration"},
            "bytes": {"type": "string", "format": "byte"},
        },
    });
    let Some(schema) = compiled(&schema) else { return };
    let object = json!({
        "int": 3, "num": 1.5, "str": "a/b?c=1", "bool": true, "list": ["a", "b", "a"], "obj": {"x": [1, {}]},
        "map": {"k": "v"}, "time": "2026-01-01T00:00:00Z", "duration": "1h", "bytes": "YQ==",
    });
    for object in [object, json!({})] {
        validate_object(&schema, &object, None, &mut FieldErrors::default());
        validate_object(&schema, &object, Some(&object), &mut FieldErrors::default());
    }
}
