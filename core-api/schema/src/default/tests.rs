use super::*;
use crate::{crd::schema_of, fixtures};
use proptest::prelude::*;
use serde_json::json;

fn schema() -> Schema {
    schema_of(&json!({"type": "object", "properties": {
        "a": {"type": "string", "default": "A"},
        "n": {"type": "string", "nullable": true, "default": "N"},
        "m": {"type": "string", "nullable": true},
        "plain": {"type": "string"},
        "map": {"type": "object", "additionalProperties": {
            "type": "object", "nullable": true, "properties": {"a": {"type": "string", "default": "A"}},
        }},
        "list": {"type": "array", "items": {
            "type": "object", "default": {}, "properties": {"a": {"type": "string", "default": "A"}},
        }},
        "type": {"type": "object", "default": {}, "properties": {
            "a": {"type": "integer", "default": 1},
            "b": {"type": "object", "properties": {"c": {"type": "string", "default": "C"}}},
        }},
        "other": {"type": "object", "properties": {"a": {"type": "string", "default": "A"}}},
        "extra": {"x-kubernetes-preserve-unknown-fields": true},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    }}))
    .unwrap()
}

fn defaulted(mut value: Value) -> Value {
    default_values(&schema(), &mut value);
    value
}

#[test]
fn absent_values_and_forbidden_nulls_are_filled() {
    assert_eq!(defaulted(json!({})), json!({"a": "A", "n": "N", "type": {"a": 1}}));
    assert_eq!(
        defaulted(json!({
            "a": null, "n": null, "m": null, "plain": null,
            "map": {"x": null, "y": {}}, "list": [null, {}, {"a": "B"}],
            "type": {"a": 2, "b": {}}, "other": {}, "extra": {"free": null}, "labels": {"x": null, "y": "z"},
        })),
        json!({
            "a": "A", "n": null, "m": null,
            "map": {"x": null, "y": {"a": "A"}}, "list": [{"a": "A"}, {"a": "A"}, {"a": "B"}],
            "type": {"a": 2, "b": {"c": "C"}}, "other": {"a": "A"}, "extra": {"free": null}, "labels": {"y": "z"},
        })
    );
}

#[test]
fn built_in_defaults_reach_into_structs_that_are_always_there() {
    let mut value = json!({"spec": {}});
    default_values(&fixtures::deployment(), &mut value);
    assert_eq!(value, json!({"spec": {"replicas": 1, "strategy": {"type": "RollingUpdate"}}}));
    let mut value = json!({});
    default_values(&fixtures::deployment(), &mut value);
    assert_eq!(value, json!({"spec": {"replicas": 1, "strategy": {"type": "RollingUpdate"}}}));
    let mut value = json!({"spec": {"replicas": 0}});
    default_values(&fixtures::deployment(), &mut value);
    assert_eq!(value["spec"]["replicas"], 0);
}

proptest! {
    #[test]
    fn defaulting_is_idempotent(value in fixtures::any_value()) {
        for schema in [schema(), fixtures::deployment()] {
            let mut once = value.clone();
            default_values(&schema, &mut once);
            let mut twice = once.clone();
            default_values(&schema, &mut twice);
            prop_assert_eq!(&twice, &once);
        }
    }
}
