use super::*;
use crate::{crd::schema_of, fixtures};
use proptest::prelude::*;
use serde_json::json;

/// Errors of `{"spec": {"x": VALUE}}` against a schema for `x`.
fn errors_of(x: &Value, value: &Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"x": x}},
    }});
    let mut errors = FieldErrors::default();
    let object = json!({"spec": {"x": value}});
    validate(&schema_of(&schema).unwrap(), &object, &FieldPath::root(""), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn failures_read_as_upstreams() {
    let int = || json!({"type": "integer"});
    for (schema, value, want) in [
        (
            int(),
            json!("3"),
            r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
        ),
        (
            int(),
            json!(null),
            r#"spec.x: Invalid value: "null": spec.x in body must be of type integer: "null""#,
        ),
        (
            json!({"type": "boolean"}),
            json!(1),
            r#"spec.x: Invalid value: "integer": spec.x in body must be of type boolean: "integer""#,
        ),
        (
            json!({"type": "object"}),
            json!([]),
            r#"spec.x: Invalid value: "array": spec.x in body must be of type object: "array""#,
        ),
        (
            json!({"type": "string"}),
            json!(1.5),
            r#"spec.x: Invalid value: "number": spec.x in body must be of type string: "number""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            r#"spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean""#,
        ),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "spec.x: Invalid value: 1: spec.x in body should be greater than 1",
        ),
        (
            json!({"type": "integer", "maximum": 5}),
            json!(6),
            "spec.x: Invalid value: 6: spec.x in body should be less than or equal to 5",
        ),
        (
            json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true}),
            json!(1.5),
            "spec.x: Invalid value: 1.5: spec.x in body should be less than 1.5",
        ),
        (
            json!({"type": "integer", "multipleOf": 5}),
            json!(7),
            "spec.x: Invalid value: 7: spec.x in body should be a multiple of 5",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_u64),
            r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.x"#,
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            r#"spec.x: Invalid value: "b": spec.x in body should match '^a+$'"#,
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("é"),
            r#"spec.x: Invalid value: "é": spec.x in body should be at least 2 chars long"#,
        ),
        (
            json!({"type": "string", "maxLength": 1}),
            json!("ab"),
            "spec.x: Too long: may not be more than 1 byte",
        ),
        (
            json!({"type": "string", "enum": ["A", "B"]}),
            json!("C"),
            r#"spec.x: Unsupported value: "C": supported values: "A", "B""#,
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            r#"spec.x: Unsupported value: 3: supported values: "1", "2""#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("now"),
            r#"spec.x: Invalid value: "now": spec.x in body must be of type date-time: "now""#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec.x: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", 1]),
            r#"spec.x[1]: Invalid value: "integer": spec.x[1] in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
            json!({"a": "x", "b": "y"}),
            "spec.x: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}),
            json!({}),
            "spec.x: Invalid value: 0: spec.x in body should have at least 1 properties",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"a": 1}),
            r#"spec.x.a: Invalid value: "integer": spec.x.a in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"a": 1}),
            r#"spec.x: Invalid value: "a": spec.x.a in body is a forbidden property"#,
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
            json!({}),
            "spec.x.a: Required value",
        ),
    ] {
        assert_eq!(errors_of(&schema, &value), [want], "{schema}");
    }
}

#[test]
fn valid_values_pass() {
    for (schema, value) in [
        (json!({"type": "integer"}), json!(1.0)),
        (json!({"type": "number"}), json!(1)),
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"type": "string", "format": "made-up"}), json!("x")),
        (json!({"type": "integer", "format": "int64"}), json!(5)),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            json!("5%"),
        ),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), json!({"a": [1]})),
        (json!({"type": "number", "enum": [1]}), json!(1.0)),
        (json!({"type": "number", "multipleOf": 0.1}), json!(0.3)),
        (json!({"type": "string", "maxLength": 1}), json!("é")),
    ] {
        assert_eq!(errors_of(&schema, &value), Vec::<String>::new(), "{schema}");
    }
}

#[test]
fn alternatives_report_the_best_failure() {
    let both = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(errors_of(&both, &json!({"a": "x"})), Vec::<String>::new());
    assert_eq!(
        errors_of(&both, &json!({})),
        [
            r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.x.a: Required value",
        ]
    );
    assert_eq!(
        errors_of(&both, &json!({"a": "x", "b": "y"})),
        [
            r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    let any = json!({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 1}]});
    assert_eq!(
        errors_of(&any, &json!(5)),
        [
            r#"<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)"#,
            "spec.x: Invalid value: 5: spec.x in body should be greater than or equal to 10",
        ]
    );
    let all = json!({"type": "integer", "allOf": [{"minimum": 10}]});
    assert_eq!(
        errors_of(&all, &json!(5)),
        [
            "spec.x: Invalid value: 5: spec.x in body should be greater than or equal to 10",
            r#"<nil>: Invalid value: "": "spec.x" must validate all the schemas (allOf). None validated"#,
        ]
    );
    let not = json!({"type": "string", "not": {"enum": ["x"]}});
    assert_eq!(
        errors_of(&not, &json!("x")),
        [r#"<nil>: Invalid value: "": "spec.x" must not validate the schema (not)"#]
    );
}

fn update(schema: &Value, old: &Value, new: &Value) -> Vec<String> {
    let mut errors = FieldErrors::default();
    validate_object(&schema_of(schema).unwrap(), new, Some(old), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn what_did_not_change_is_not_held_against_the_user() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1},
        "list": {"type": "array", "items": {"type": "string", "maxLength": 1}},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {
                "k": {"type": "string"}, "v": {"type": "string", "maxLength": 1},
            }}},
    }});
    let old = json!({"a": "long", "b": "x", "list": ["long"],
        "keyed": [{"k": "1", "v": "long"}, {"k": "2", "v": "long"}]});
    let mut new = old.clone();
    assert_eq!(update(&schema, &old, &new), Vec::<String>::new());
    new["b"] = json!("y");
    new["keyed"] = json!([{"k": "3", "v": "x"}, {"k": "2", "v": "long"}]);
    assert_eq!(update(&schema, &old, &new), Vec::<String>::new());
    new["a"] = json!("longer");
    new["list"] = json!(["long", "x"]);
    new["keyed"][1]["v"] = json!("longer");
    assert_eq!(
        update(&schema, &old, &new),
        [
            "a: Too long: may not be more than 1 byte",
            "keyed[1].v: Too long: may not be more than 1 byte",
            "list[0]: Too long: may not be more than 1 byte",
        ]
    );
}

#[test]
fn lists_of_sets_and_maps_have_no_duplicates() {
    let schema = json!({"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "one": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
        "two": {"type": "object", "additionalProperties": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "l"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "l": {"type": "integer"}}}}},
    }});
    let value = json!({
        "set": ["a", "b", "a", "a"],
        "one": [{"k": "x"}, {}, {"k": "x"}, {}],
        "two": {"m": [{"k": "x", "l": 1}, {"k": "x", "l": 2}, {"k": "x", "l": 1}]},
    });
    let mut errors = FieldErrors::default();
    validate_object(&schema_of(&schema).unwrap(), &value, None, &mut errors);
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"one[2]: Duplicate value: {"k":"x"}"#,
            "one[3]: Duplicate value: {}",
            r#"set[2]: Duplicate value: "a""#,
            r#"two[m][2]: Duplicate value: {"k":"x","l":1}"#,
        ]
    );
    assert_eq!(update(&schema, &value, &value), Vec::<String>::new());
}

#[test]
fn embedded_resources_are_checked() {
    let schema = json!({"type": "object", "properties": {"e": {
        "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
    }}});
    let check = |value: Value| {
        let mut errors = FieldErrors::default();
        validate_object(&schema_of(&schema).unwrap(), &json!({"e": value}), None, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(check(json!({})), ["e.apiVersion: Required value", "e.kind: Required value"]);
    assert_eq!(
        check(json!({"apiVersion": "a/b/c", "kind": ""})),
        [
            r#"e.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
            r#"e.kind: Invalid value: "": must not be empty"#,
        ]
    );
    let metadata =
        json!({"name": "a/b", "namespace": "A", "labels": {"-": "ok"}, "annotations": {"a b": ""}});
    let found = check(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}));
    for want in [
        "e.metadata.name: Invalid value: \"a/b\": may not contain '/'",
        "e.metadata.namespace: Invalid value: \"A\": ",
        "e.metadata.labels: Invalid value: \"-\": ",
        "e.metadata.annotations: Invalid value: \"a b\": ",
    ] {
        assert!(found.iter().any(|text| text.starts_with(want)), "{want} in {found:?}");
    }
}

#[test]
fn declared_requirements_of_built_in_kinds() {
    use crate::schema::{Field, Rules, Schema, SchemaRef, Shape};
    let rules = Rules { enumeration: Some(vec!["A".into(), "B".into()]), ..Rules::default() };
    let one = Schema { rules: Some(Box::new(rules)), ..Schema::of(Shape::String) };
    let schema = Schema::of(fixtures::object([
        ("name", Field { required: true, ..fixtures::field(Shape::String, crate::Omit::Never) }),
        ("policy", Field::new(SchemaRef::inline(one))),
    ]));
    let schema = Schema::of(fixtures::list(SchemaRef::inline(schema)));
    let mut errors = FieldErrors::default();
    let value =
        json!([{"name": "a", "policy": "A"}, {"name": "", "policy": "C"}, {"name": "b", "policy": ""}]);
    validate_required_and_enums(&schema, &value, &FieldPath::root("list"), &mut errors);
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "list[1].name: Required value",
            r#"list[1].policy: Unsupported value: "C": supported values: "A", "B""#,
        ]
    );
}

#[test]
fn floats_print_as_gos() {
    for (float, want) in [
        (0.0, "0"),
        (1.0, "1"),
        (1.5, "1.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e-5, "1.5e-05"),
        (-2.25, "-2.25"),
    ] {
        assert_eq!(number::go_float(float), want);
    }
}

proptest! {
    #[test]
    fn any_value_is_survived(value in fixtures::any_value(), old in fixtures::any_value()) {
        let schema = schema_of(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
                "replicas": {"type": "integer", "multipleOf": 3, "minimum": -1, "maximum": 1e300},
                "name": {"type": "string", "format": "date-time", "pattern": "^x"},
            }},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "oneOf": [{"required": ["name"]}, {"properties": {"a": {}}}]}},
        }})).unwrap();
        let mut errors = FieldErrors::default();
        validate_object(&schema, &value, None, &mut errors);
        let mut errors = FieldErrors::default();
        validate_update(&schema, &value, &value, &FieldPath::root(""), &mut errors);
        let only_type = errors.iter().all(|e| e.field == "kind" || e.field == "apiVersion");
        prop_assert!(only_type, "{}", errors.summary());
        validate_object(&schema, &value, Some(&old), &mut errors);
    }
}
