use super::*;
use crate::{crd::schema_of, fixtures};
use proptest::prelude::*;
use serde_json::json;

fn schema() -> Schema {
    schema_of(&json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {
                "a": {"type": "string"},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
                "map": {"type": "object", "additionalProperties": {
                    "type": "object", "properties": {"a": {"type": "string"}},
                }},
                "open": {"type": "object", "additionalProperties": true},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "known": {"type": "object", "properties": {"a": {"type": "string"}}},
                }},
                "embedded": {
                    "type": "object", "x-kubernetes-embedded-resource": true,
                    "properties": {"spec": {"type": "object"}},
                },
            }},
        },
    }))
    .unwrap()
}

#[test]
fn unknown_fields_go_and_are_named() {
    let mut value = json!({
        "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "odd": 1}, "top": 1,
        "spec": {
            "a": "x", "b": 1,
            "list": [{"a": "x"}, {"b": 1}],
            "map": {"k": {"a": "x", "b": 1}},
            "open": {"k": 1, "o": {"x": 1}},
            "free": {"any": {"thing": 1}, "known": {"a": "x", "b": 1}},
            "embedded": {"apiVersion": "v1", "kind": "P", "metadata": {"x": 1}, "spec": {"c": 1}, "status": {}},
        },
    });
    let issues: Vec<_> =
        prune(&schema(), &mut value, Root::Resource).iter().map(ToString::to_string).collect();
    assert_eq!(
        issues,
        [
            r#"unknown field "spec.b""#,
            r#"unknown field "spec.embedded.spec.c""#,
            r#"unknown field "spec.embedded.status""#,
            r#"unknown field "spec.free.known.b""#,
            r#"unknown field "spec.list[1].b""#,
            r#"unknown field "spec.map.k.b""#,
            r#"unknown field "spec.open.o.x""#,
            r#"unknown field "top""#,
        ]
    );
    assert_eq!(
        value,
        json!({
            "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "odd": 1},
            "spec": {
                "a": "x",
                "list": [{"a": "x"}, {}],
                "map": {"k": {"a": "x"}},
                "open": {"k": 1, "o": {}},
                "free": {"any": {"thing": 1}, "known": {"a": "x"}},
                "embedded": {"apiVersion": "v1", "kind": "P", "metadata": {"x": 1}, "spec": {}},
            },
        })
    );
}

#[test]
fn parts_have_no_metadata_of_their_own() {
    let mut value = json!({"kind": "K", "metadata": {}, "spec": {}});
    assert_eq!(prune(&schema(), &mut value, Root::Part).len(), 2);
    assert_eq!(value, json!({"spec": {}}));
}

#[test]
fn embedded_metadata_is_coerced() {
    let object_meta = Schema::of(fixtures::object([
        ("name", fixtures::field(Shape::String, crate::Omit::Empty)),
        ("creationTimestamp", fixtures::field(Shape::Time, crate::Omit::Zero)),
    ]));
    let mut errors = FieldErrors::default();
    let mut value = json!({"spec": {"embedded": {"kind": 1, "metadata": {
        "name": "", "creationTimestamp": null, "odd": 1,
    }}}});
    let issues = coerce_embedded(&schema(), &mut value, &object_meta, &mut errors);
    assert_eq!(issues, [StrictIssue::Unknown("spec.embedded.metadata.odd".into())]);
    assert_eq!(value["spec"]["embedded"]["metadata"], json!({}));
    assert_eq!(errors.summary(), "spec.embedded.kind: Invalid value: 1: must be a string");
    let mut value = json!({"spec": {"embedded": {"metadata": {"name": 1}}}});
    let mut errors = FieldErrors::default();
    coerce_embedded(&schema(), &mut value, &object_meta, &mut errors);
    assert_eq!(
        errors.summary(),
        "spec.embedded.metadata: Invalid value: {\"name\":1}: json: cannot unmarshal number into Go struct field \
         ObjectMeta.name of type string"
    );
}

proptest! {
    #[test]
    fn pruning_is_idempotent(value in fixtures::any_value()) {
        let mut once = json!({"spec": value});
        prune_silently(&schema(), &mut once, Root::Resource);
        let mut twice = once.clone();
        prop_assert_eq!(prune(&schema(), &mut twice, Root::Resource), vec![]);
        prop_assert_eq!(twice, once);
    }
}
