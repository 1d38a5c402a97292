use super::*;
use crate::{decode::decode, fixtures, schema::SchemaRef};
use serde_json::json;

fn canonical_deployment(spec: &Value) -> Value {
    let schema = fixtures::deployment();
    let mut value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec});
    decode(&schema, &mut value).unwrap();
    canonical(&schema, &mut value);
    value
}

#[test]
fn built_in_fields_follow_omit() {
    let value = canonical_deployment(&json!({}));
    assert_eq!(
        value,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {},
            "spec": {"containers": null, "strategy": {}},
        })
    );
    let value = canonical_deployment(&json!({
        "replicas": 0, "paused": false, "maxSurge": 0,
        "containers": [{"name": "a", "args": [], "data": "", "limits": {}, "extra": {}}],
    }));
    assert_eq!(
        value["spec"],
        json!({
            "replicas": 0, "maxSurge": 0, "strategy": {},
            "containers": [{"name": "a", "timeout": "0s", "extra": {}}],
        })
    );
    let value = canonical_deployment(&json!({"containers": []}));
    assert_eq!(value["spec"]["containers"], json!(null), "as upstream stores it");
}

#[test]
fn zero_structs_are_left_out_with_omitzero() {
    let inner = fixtures::object([
        ("a", fixtures::field(Shape::Integer { bits: 32 }, Omit::Never)),
        ("l", fixtures::field(fixtures::list(SchemaRef::default()), Omit::Never)),
    ]);
    let schema = Schema::of(fixtures::object([("part", fixtures::field(inner, Omit::Zero))]));
    for (value, want) in [
        (json!({"part": {"a": 0, "l": null}}), json!({})),
        (json!({"part": {}}), json!({})),
        (json!({"part": {"a": 1}}), json!({"part": {"a": 1, "l": null}})),
        (json!({"part": {"l": []}}), json!({})),
        (json!({}), json!({})),
    ] {
        let mut found = value.clone();
        canonical(&schema, &mut found);
        assert_eq!(found, want, "{value}");
    }
}

#[test]
fn custom_kinds_keep_what_they_were_given() {
    let nullable = Schema { nullable: true, ..Schema::of(Shape::String) };
    let schema = Schema::of(fixtures::object([
        ("text", fixtures::field(Shape::String, Omit::Absent)),
        ("maybe", Field::new(SchemaRef::inline(nullable))),
    ]));
    let mut value = json!({"text": "", "maybe": null});
    canonical(&schema, &mut value);
    assert_eq!(value, json!({"text": "", "maybe": null}));
    let mut value = json!({"text": null});
    canonical(&schema, &mut value);
    assert_eq!(value, json!({}));
}

#[test]
fn a_type_that_wrongly_holds_itself_ends() {
    fn load(_: &str) -> Schema {
        let lazy = crate::schema::Lazy::new("Loop", load);
        let inner = Field { omit: Omit::Never, ..Field::new(SchemaRef::Lazy(std::sync::Arc::new(lazy))) };
        Schema::of(fixtures::object([("self", inner)]))
    }
    let mut value = json!({});
    canonical(&load(""), &mut value);
    assert!(value["self"]["self"].is_object());
}
