use super::*;
use crate::{
    fixtures,
    schema::{ListType, Shape},
};
use proptest::prelude::*;
use serde_json::json;

fn errors_of(schema: &Value, status: StatusSubresource) -> Vec<String> {
    let spec = FieldPath::root("spec");
    let versions = spec.child("versions");
    let version = versions.index(0);
    let schema_path = version.child("schema");
    let mut errors = FieldErrors::default();
    let compiled = compile(schema, status, &schema_path.child("openAPIV3Schema"), &mut errors);
    assert_eq!(compiled.is_some(), errors.is_empty());
    const PREFIX: &str = "spec.versions[0].schema.openAPIV3Schema";
    let texts = errors.iter().map(ToString::to_string);
    texts.map(|text| text.strip_prefix(PREFIX).unwrap_or(&text).trim_start_matches('.').to_owned()).collect()
}

/// Errors of a schema whose only property `x` is given.
fn errors_in(x: &Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"x": x}});
    let texts = errors_of(&schema, StatusSubresource::Absent).into_iter();
    texts
        .map(|text| {
            text.strip_prefix("properties[x]").map(|t| t.trim_start_matches('.').to_owned()).unwrap_or(text)
        })
        .collect()
}

#[test]
fn structural_rules_read_as_upstreams() {
    for (x, want) in [
        (json!({}), &["type: Required value: must not be empty for specified object fields"][..]),
        (json!({"type": "array"}), &["items: Required value: must be specified"]),
        (
            json!({"type": "array", "items": {}}),
            &["items.type: Required value: must not be empty for specified array items"],
        ),
        (
            json!({"type": "string", "anyOf": [{"type": "string", "description": "d", "default": "x", "nullable": true}]}),
            &[
                "anyOf[0].default: Forbidden: must be undefined to be structural",
                "anyOf[0].description: Forbidden: must be empty to be structural",
                "anyOf[0].nullable: Forbidden: must be false to be structural",
                "anyOf[0].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            &[
                "x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            &[
                "properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without \
               x-kubernetes-preserve-unknown-fields",
            ],
        ),
        (
            json!({"type": "string", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
            &["type: Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true"],
        ),
        (
            json!({"type": "object", "not": {"properties": {"metadata": {}}}, "properties": {"metadata": {"type": "object"}}}),
            &["not.properties[metadata]: Forbidden: must not be specified in a nested context"],
        ),
    ] {
        assert_eq!(errors_in(&x), want, "{x}");
    }
    let bad = errors_in(&json!({"type": "string", "pattern": "("}));
    assert!(
        bad[0].starts_with("pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: "),
        "{bad:?}"
    );
}

#[test]
fn the_root_is_an_object() {
    for (schema, want) in [
        (
            json!({"type": "object", "allOf": [{"properties": {"a": {"minLength": 1}}}]}),
            "properties[a]: Required value: because it is defined in \
             spec.versions[0].schema.openAPIV3Schema.allOf[0].properties[a]",
        ),
        (json!({}), "type: Required value: must not be empty at the root"),
        (json!({"type": "string"}), "type: Invalid value: \"string\": must be object at the root"),
        (
            json!({"type": "object", "nullable": true}),
            "nullable: Forbidden: nullable cannot be true at the root",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "additionalProperties: Forbidden: must not be used at the root",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata \
             is implicitly specified",
        ),
        (
            json!({"type": "object", "properties": {"kind": {"type": "integer"}}}),
            "properties[kind].type: Invalid value: \"integer\": must be string",
        ),
        (
            json!({"type": "object", "properties": {"kind": {"type": "string", "default": "K"}}}),
            "properties[kind].default: Forbidden: must not be set in top-level kind",
        ),
    ] {
        assert_eq!(errors_of(&schema, StatusSubresource::Absent), [want], "{schema}");
    }
    let fine = json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object",
        "properties": {"name": {"type": "string", "maxLength": 5}}}}});
    assert_eq!(errors_of(&fine, StatusSubresource::Served), Vec::<String>::new());
}

#[test]
fn status_restricts_the_root() {
    let schema = json!({"type": "object", "oneOf": [{"required": ["a"]}]});
    let [found] = errors_of(&schema, StatusSubresource::Served).try_into().unwrap();
    assert!(
        found.ends_with(
            "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength \
             Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
             XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status \
             subresource is enabled"
        ),
        "{found}"
    );
    assert_eq!(errors_of(&schema, StatusSubresource::Absent), Vec::<String>::new());
    for (schema, want) in [
        (json!({"type": "object", "not": {}}), &["only [Description"][..]),
        (
            json!({"type": "string"}),
            &["type: Invalid value: \"string\": only \"object\" is", "type: Invalid"],
        ),
        // What is wrong first hides the type.
        (json!({"id": "a", "type": "string"}), &["only [Description", "id: Forbidden"]),
    ] {
        let found = errors_of(&schema, StatusSubresource::Served);
        assert_eq!(found.len(), want.len(), "{found:?}");
        assert!(found.iter().zip(want).all(|(found, want)| found.contains(want)), "{found:?}");
    }
}

#[test]
fn rules_are_left_alone_above_what_is_wrong() {
    let rule = json!([{"rule": "self.x"}]);
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "object", "x-kubernetes-validations": rule, "properties": {"b": {"type": "string", "default": "x", "id": "i"}}},
        "c": {"type": "object", "x-kubernetes-validations": rule, "x-kubernetes-map-type": "granular"}}});
    let found = errors_of(&schema, StatusSubresource::Absent);
    assert_eq!(found[0], "properties[a].properties[b].id: Forbidden: id is not supported");
    // Without the schema that cannot be read, the rules of the other part are judged.
    let mut schema = schema;
    schema["properties"]["a"]["properties"]["b"] =
        json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true});
    let found = errors_of(&schema, StatusSubresource::Absent);
    let fields = found.iter().map(|text| text.split(": ").next().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        fields,
        ["properties[a].properties[b].uniqueItems", "properties[c].x-kubernetes-validations[0].rule"]
    );
}

#[test]
fn selectable_fields_are_found_in_what_is_written() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "x-kubernetes-int-or-string": true, "properties": {"b": {"type": "integer"}}},
        "m": {"type": "object", "additionalProperties": {"type": "string"}}, "s": {"type": "string"}}});
    for (path, want) in [
        (".s", Ok("s")),
        (".a.b", Ok("a.b")),
        (".m.k", Ok("m[k]")),
        ("s", Err("expected [ or . but got: s")),
        (".", Err("unexpected end of JSON path")),
        ("..s", Err("does not refer to a valid field")),
        (".s.x", Err("does not refer to a valid field")),
        (".m['k']", Err("array notation is not allowed")),
    ] {
        let found = field_at(path, &schema);
        assert_eq!(
            found.as_ref().map(|(place, _)| &**place),
            want.map_err(str::to_owned).as_ref().map(|want| *want),
            "{path}"
        );
    }
    assert!(!has_default(&schema) && has_default(&json!({"anyOf": [{"items": {"default": 1}}]})));
}

#[test]
fn unsupported_keywords_are_refused() {
    for (x, want) in [
        (json!({"type": "string", "$ref": "#/a"}), "$ref: Forbidden: $ref is not supported"),
        (json!({"type": "string", "id": "a"}), "id: Forbidden: id is not supported"),
        (
            json!({"type": "object", "patternProperties": {"a": {"type": "string"}}}),
            "patternProperties: Forbidden: patternProperties is not supported",
        ),
        (
            json!({"type": "object", "dependencies": {}}),
            "dependencies: Forbidden: dependencies is not supported",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "foo"}),
            "type: Unsupported value: \"foo\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \
             \"object\", \"string\"",
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": ""}]}),
            "x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
        (json!({"type": 5}), "type: Invalid value: 5: must be a string"),
        (
            json!({"type": "array", "items": {"type": "string", "maxLength": "5"}}),
            "items.maxLength: Invalid value: \"5\": must be an integer",
        ),
    ] {
        assert_eq!(errors_in(&x), [want], "{x}");
    }
    let schema = json!({"type": "object", "$schema": "x"});
    assert_eq!(
        errors_of(&schema, StatusSubresource::Absent),
        [": Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"]
    );
}

#[test]
fn list_extensions_fit_together() {
    let map = |item: Value, keys: Value| json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": item});
    let item = json!({"type": "object", "required": ["k"], "properties": {
        "k": {"type": "string"}, "o": {"type": "object"}, "n": {"type": "string", "nullable": true}}});
    for (x, want) in [
        (map(item.clone(), json!(["k"])), &[][..]),
        (
            map(item.clone(), json!(["z", "k", "k"])),
            &[
                r#"x-kubernetes-list-map-keys: Invalid value: ["z","k","k"]: entries must all be names of item properties"#,
                r#"x-kubernetes-list-map-keys: Invalid value: ["z","k","k"]: must not contain duplicate entries"#,
            ],
        ),
        (
            map(item.clone(), json!(["n"])),
            &[
                "items.properties[n].default: Required value: this property is in x-kubernetes-list-map-keys, so it must \
                 have a default or be a required property",
                "items.properties[n].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be \
                 nullable",
            ],
        ),
        (
            map(json!({"type": "string"}), json!(["k"])),
            &[
                "items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map",
            ],
        ),
        (
            map(item.clone(), json!([])),
            &[
                "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            ],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-map-keys": ["k"]}),
            &[
                "x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
            ],
        ),
        (
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}),
            &["items.x-kubernetes-map-type: Invalid value: \"null\": must be atomic as item of a list with \
               x-kubernetes-list-type=set"],
        ),
        (
            json!({"type": "array", "items": {"type": "string", "nullable": true}, "x-kubernetes-list-type": "set"}),
            &["items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set"],
        ),
        (
            json!({"type": "string", "x-kubernetes-list-type": "set"}),
            &["type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "bag"}),
            &[
                "x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"set\", \"map\"",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-map-type": "odd"}),
            &[
                "x-kubernetes-map-type: Unsupported value: \"odd\": supported values: \"atomic\", \"granular\"",
            ],
        ),
    ] {
        assert_eq!(errors_in(&x), want, "{x}");
    }
}

#[test]
fn defaults_obey_their_schema() {
    for (x, want) in [
        (json!({"type": "integer", "default": 5}), &[][..]),
        (
            json!({"type": "integer", "default": "5"}),
            &["default: Invalid value: \"string\": default in body must be of type integer: \"string\""],
        ),
        (
            json!({"type": "object", "default": {"a": 1, "b": 2}, "properties": {"a": {"type": "integer"}}}),
            &["default: Invalid value: {\"a\":1,\"b\":2}: must not have unknown fields"],
        ),
        (
            json!({"type": "object", "default": {}, "required": ["a"], "properties": {"a": {"type": "integer"}}}),
            &["default.a: Required value"],
        ),
        // Upstream does not ask for a number or a text here.
        (json!({"x-kubernetes-int-or-string": true, "default": true}), &[]),
    ] {
        let found: Vec<String> = errors_in(&x);
        let want: Vec<String> = want.iter().map(|text| text.replace("default in body", " in body")).collect();
        assert_eq!(found, want, "{x}");
    }
    let whole = json!({"type": "object", "default": {}, "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(
        errors_of(&whole, StatusSubresource::Absent),
        ["default.apiVersion: Required value", "default.kind: Required value"]
    );
}

#[test]
fn schemas_are_converted() {
    let schema = schema_of(&json!({"type": "object", "required": ["n"], "properties": {
        "n": {"type": "integer", "format": "int32", "description": "d"},
        "m": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
        "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
        "i": {"x-kubernetes-int-or-string": true},
        "p": {"x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}},
    }}))
    .unwrap();
    let Shape::Object(object) = &schema.shape else { panic!("{schema:?}") };
    let of = |name: &str| object.fields[name].schema.get();
    assert!(object.fields["n"].required && !object.fields["m"].required);
    assert!(matches!(of("n").shape, Shape::Integer { bits: 32 }));
    assert_eq!(of("n").description.as_deref(), Some("d"));
    assert!(matches!(&of("m").shape, Shape::Map(map) if map.atomic));
    assert!(
        matches!(&of("l").shape, Shape::List(list) if list.list_type == ListType::Map(["k".into()].into()))
    );
    assert!(matches!(of("i").shape, Shape::IntOrString));
    assert!(of("p").untyped && of("p").preserve_unknown && matches!(of("p").shape, Shape::Object(_)));
}

#[test]
fn published_v3_is_what_was_written() {
    let json = json!({"type": "object", "description": "root", "required": ["spec"], "properties": {"spec": {
    "type": "object", "x-kubernetes-map-type": "granular", "default": {}, "properties": {
        "a": {"type": "string", "nullable": true, "enum": ["x", "y"], "default": "x", "title": "T"},
        "b": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}, "maxItems": 3},
        "c": {"type": "object", "additionalProperties": {"type": "integer", "format": "int64"}},
        "d": {"type": "object", "additionalProperties": true},
        "e": {"type": "object", "additionalProperties": false},
        "f": {"type": "number", "minimum": 1, "maximum": 2.5, "exclusiveMaximum": true},
        "g": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "h": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true},
        "i": {"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}],
            "not": {"properties": {"a": {"maxLength": 3}}}},
        "j": {"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true},
    }}}});
    assert_eq!(openapi::v3(&schema_of(&json).unwrap()), json);
    let spelled = openapi::v3(&schema_of(&json!({"x-kubernetes-int-or-string": true})).unwrap());
    assert_eq!(
        spelled,
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})
    );
}

#[test]
fn published_v2_leaves_out_what_old_readers_cannot_bear() {
    let json = json!({"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": "object", "nullable": true, "properties": {"x": {"type": "string"}}},
        "b": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"x": {"type": "string"}}},
        "c": {"type": "string", "anyOf": [{"minLength": 1}]},
        "d": {"x-kubernetes-int-or-string": true},
    }});
    assert_eq!(
        openapi::v2(&schema_of(&json).unwrap()),
        json!({"type": "object", "required": ["b"], "properties": {
            "a": {},
            "b": {"x-kubernetes-preserve-unknown-fields": true},
            "c": {"type": "string"},
            "d": {"x-kubernetes-int-or-string": true},
        }})
    );
}

#[test]
fn named_types_are_referred_to() {
    let published = openapi::v3(&fixtures::deployment());
    assert_eq!(
        published["properties"]["spec"],
        json!({"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"})
    );
    assert_eq!(
        openapi::v2(&fixtures::deployment())["properties"]["spec"],
        json!({"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentSpec"})
    );
}

fn any_schema() -> impl Strategy<Value = Value> {
    const KEYS: &[&str] = &[
        "type",
        "properties",
        "items",
        "additionalProperties",
        "default",
        "enum",
        "anyOf",
        "allOf",
        "not",
        "required",
        "pattern",
        "minimum",
        "maxLength",
        "nullable",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
        "format",
    ];
    let leaf = prop_oneof![
        prop::sample::select(vec!["object", "array", "string", "integer", "set", "map", "[", "date"])
            .prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (-2i64..5).prop_map(Value::from),
        Just(json!(["a", "metadata"])),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(KEYS), inner.clone(), 0..6)
                .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            prop::collection::btree_map(
                prop::sample::select(vec!["a", "metadata", "kind", "spec"]),
                inner,
                0..3
            )
            .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_is_survived(json in any_schema(), value in fixtures::any_value()) {
        let mut errors = FieldErrors::default();
        compile(&json, StatusSubresource::Served, &FieldPath::root("x"), &mut errors);
        if let Ok(schema) = schema_of(&json) {
            let mut value = value;
            crate::prune::prune(&schema, &mut value, crate::prune::Root::Resource);
            crate::default::default_values(&schema, &mut value);
            crate::validate::validate_object(&schema, &value, None, &mut errors);
            openapi::v2(&schema);
            prop_assert_eq!(schema_of(&openapi::v3(&schema)).is_ok(), true);
        }
    }
}
