use super::*;
use crate::schema::{ListShape, ListType, MapShape, ObjectShape, Omit};
use serde_json::json;

fn field(schema: Schema, merge: bool, key: Option<&str>) -> Field {
    Field {
        schema: SchemaRef::inline(schema),
        required: false,
        omit: Omit::Empty,
        default: None,
        immutable: false,
        tag: 0,
        patch_merge: merge,
        patch_merge_key: key.map(Into::into),
    }
}

fn object(fields: Vec<(&str, Field)>) -> Schema {
    let fields = fields.into_iter().map(|(name, field)| (name.into(), field)).collect();
    Schema::of(Shape::Object(ObjectShape { fields, ..ObjectShape::default() }))
}

fn list(items: Schema) -> Schema {
    Schema::of(Shape::List(ListShape { items: SchemaRef::inline(items), list_type: ListType::Atomic }))
}

fn text() -> Schema {
    Schema::of(Shape::String)
}

fn schema() -> Schema {
    let env = object(vec![("name", field(text(), false, None)), ("value", field(text(), false, None))]);
    let container = object(vec![
        ("name", field(text(), false, None)),
        ("image", field(text(), false, None)),
        ("args", field(list(text()), false, None)),
        ("env", field(list(env), true, Some("name"))),
    ]);
    let labels = Schema::of(Shape::Map(MapShape { values: SchemaRef::inline(text()), atomic: false }));
    object(vec![
        ("labels", field(labels.clone(), false, None)),
        ("selector", field(labels, false, Some(""))),
        ("finalizers", field(list(text()), true, None)),
        ("containers", field(list(container), true, Some("name"))),
        (
            "strategy",
            field(
                object(vec![("type", field(text(), false, None)), ("rolling", field(text(), false, None))]),
                false,
                None,
            ),
        ),
    ])
}

fn patched(mut original: Value, patch: Value) -> Result<Value, ApiError> {
    strategic(&schema(), &mut original, patch)?;
    Ok(original)
}

/// (what, original, patch, expected)
fn cases() -> Vec<(&'static str, Value, Value, Value)> {
    let names = |names: &[&str]| Value::Array(names.iter().map(|n| json!({"name": n})).collect());
    vec![
        (
            "maps merge, null removes, new nested nulls vanish",
            json!({"labels": {"a": "1", "b": "2"}}),
            json!({"labels": {"a": null, "c": "3"}, "strategy": {"type": "X", "rolling": null}}),
            json!({"labels": {"b": "2", "c": "3"}, "strategy": {"type": "X"}}),
        ),
        (
            "$patch: replace replaces a map",
            json!({"labels": {"a": "1", "b": "2"}}),
            json!({"labels": {"$patch": "replace", "c": "3"}}),
            json!({"labels": {"c": "3"}}),
        ),
        (
            "$patch: delete empties a map",
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"$patch": "delete"}}),
            json!({"labels": {}}),
        ),
        (
            "a new map with a directive is not kept",
            json!({"labels": {"a": "1"}}),
            json!({"strategy": {"$patch": "delete"}}),
            json!({"labels": {"a": "1"}}),
        ),
        (
            "a map with the replace strategy is replaced",
            json!({"selector": {"a": "1"}}),
            json!({"selector": {"b": "2"}}),
            json!({"selector": {"b": "2"}}),
        ),
        (
            "elements merge by key, new ones are appended",
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "1"}]}),
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "1"}]}),
        ),
        (
            "nested keyed lists merge, atomic lists are replaced",
            json!({"containers": [{"name": "a", "args": ["x"], "env": [{"name": "E", "value": "1"}]}]}),
            json!({"containers": [{"name": "a", "args": ["y"], "env": [{"name": "F", "value": "2"}]}]}),
            json!({"containers": [{"name": "a", "args": ["y"],
                "env": [{"name": "F", "value": "2"}, {"name": "E", "value": "1"}]}]}),
        ),
        (
            "$patch: delete removes elements by key",
            json!({"containers": names(&["a", "b"])}),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": names(&["b"])}),
        ),
        (
            "$patch: replace as an element replaces the list",
            json!({"containers": names(&["a", "b"])}),
            json!({"containers": [{"name": "c"}, {"$patch": "replace"}]}),
            json!({"containers": names(&["c"])}),
        ),
        (
            "scalars are united; the patch's keep their place among themselves",
            json!({"finalizers": ["a", "b"]}),
            json!({"finalizers": ["c", "a"]}),
            json!({"finalizers": ["c", "a", "b"]}),
        ),
        (
            "$deleteFromPrimitiveList removes scalars",
            json!({"finalizers": ["a", "b", "c"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["b", "x"]}),
            json!({"finalizers": ["a", "c"]}),
        ),
        (
            "$deleteFromPrimitiveList of an absent list does nothing",
            json!({}),
            json!({"$deleteFromPrimitiveList/finalizers": ["b"]}),
            json!({}),
        ),
        (
            "$setElementOrder orders, with server-only elements in between",
            json!({"containers": names(&["a", "s", "b"])}),
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
                "containers": [{"name": "c"}]}),
            json!({"containers": names(&["c", "s", "b", "a"])}),
        ),
        (
            "$setElementOrder without a list in the patch reorders",
            json!({"finalizers": ["a", "b", "c"]}),
            json!({"$setElementOrder/finalizers": ["c", "a"]}),
            json!({"finalizers": ["b", "c", "a"]}),
        ),
        (
            "$retainKeys drops what it does not name",
            json!({"strategy": {"type": "Rolling", "rolling": "x"}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        ),
        (
            "a scalar gives way to an object of another type",
            json!({"strategy": "x"}),
            json!({"strategy": {"type": "y"}}),
            json!({"strategy": {"type": "y"}}),
        ),
        (
            "unknown fields merge as plain objects",
            json!({"other": {"a": 1, "l": [1]}}),
            json!({"other": {"b": 2, "l": [2]}}),
            json!({"other": {"a": 1, "b": 2, "l": [2]}}),
        ),
    ]
}

#[test]
fn directives_and_lists() {
    for (what, original, patch, expected) in cases() {
        assert_eq!(patched(original, patch), Ok(expected), "{what}");
    }
}

#[test]
fn errors_have_upstreams_codes_and_texts() {
    let original = json!({"containers": [{"name": "a"}], "finalizers": ["a"], "strategy": {"type": "x"}});
    let cases = [
        (
            json!({"containers": [{"image": "x"}]}),
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (json!({"containers": ["x"]}), 500, "list element types are not identical: [[map[name:a]] [x]]"),
        (
            json!({"strategy": {"$patch": "frob", "type": "y"}}),
            500,
            "unknown patch type: frob in map: map[$patch:frob type:y]",
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "merge"}]}),
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (json!({"$deleteFromPrimitiveListfinalizers": ["a"]}), 400, "invalid patch format of primitive list"),
        (json!({"$setElementOrderX": ["a"]}), 400, "invalid patch format of setElementOrder list"),
        (
            json!({"$setElementOrder/finalizers": "a"}),
            500,
            "expected a []interface {}, but received a string",
        ),
        (json!({"strategy": {"$retainKeys": "type"}}), 400, "invalid patch format of retainKeys"),
        (
            json!({"strategy": {"$retainKeys": ["type"], "rolling": "x"}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (json!({"finalizers": [["a"]]}), 500, "list element types are not identical: [[a] [[a]]]"),
        (
            json!({"$setElementOrder/finalizers": ["b"], "finalizers": ["a"]}),
            500,
            "The order in patch list:\n[a]\n doesn't match $setElementOrder list:\n[b]\n",
        ),
        (json!([]), 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ];
    for (patch, code, text) in cases {
        let error = patched(original.clone(), patch.clone()).unwrap_err();
        assert_eq!((error.code(), error.message()), (code, text), "{patch}");
    }
    let lists = patched(json!({"finalizers": [["a"]]}), json!({"finalizers": [["b"]]})).unwrap_err();
    assert_eq!(lists.code(), 422);
}

#[test]
fn patching_an_empty_object_creates_what_the_patch_says() {
    let patch = json!({"labels": {"a": "1"}, "containers": [{"name": "a", "env": [{"name": "E"}]}], "finalizers": ["x"]});
    assert_eq!(patched(json!({}), patch.clone()), Ok(patch));
}
