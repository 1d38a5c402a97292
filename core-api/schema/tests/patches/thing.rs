//! The kind that the tests use: every structural feature, as a built-in kind has it.

use proa_schema::{
    Field, ListShape, ListType, ObjectShape, Omit, Schema, SchemaRef, Shape, schema::MapShape,
};
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(crate) fn api_version() -> &'static str {
    "apps/v1"
}

pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(thing);
    &SCHEMA
}

fn field(schema: Schema, omit: Omit) -> Field {
    Field { omit, ..Field::new(SchemaRef::inline(schema)) }
}

fn with_default(schema: Schema, default: Value) -> Field {
    Field { default: Some(default), ..field(schema, Omit::Empty) }
}

fn object(fields: Vec<(&str, Field)>) -> Schema {
    let fields = fields.into_iter().map(|(name, field)| (name.into(), field)).collect();
    Schema::of(Shape::Object(ObjectShape { fields, ..ObjectShape::default() }))
}

fn atomic(mut schema: Schema) -> Schema {
    if let Shape::Object(object) = &mut schema.shape {
        object.atomic = true;
    }
    schema
}

fn list(items: Schema, list_type: ListType) -> Schema {
    Schema::of(Shape::List(ListShape { items: SchemaRef::inline(items), list_type }))
}

fn by(keys: &[&str]) -> ListType {
    ListType::Map(keys.iter().map(|&key| key.into()).collect())
}

fn text() -> Schema {
    Schema::of(Shape::String)
}

fn number() -> Schema {
    Schema::of(Shape::Integer { bits: 32 })
}

fn text_map() -> Schema {
    Schema::of(Shape::Map(MapShape { values: SchemaRef::inline(text()), atomic: false }))
}

fn part(schema: Schema) -> Field {
    field(schema, Omit::Empty)
}

/// A list that strategic merge merges; without a key for scalars.
fn merged(schema: Schema, key: Option<&str>) -> Field {
    Field { patch_merge: true, patch_merge_key: key.map(Into::into), ..part(schema) }
}

fn pointer(schema: Schema) -> Field {
    field(schema, Omit::Null)
}

fn container() -> Schema {
    let port = object(vec![
        ("containerPort", part(number())),
        ("protocol", with_default(text(), json!("TCP"))),
        ("name", part(text())),
    ]);
    object(vec![
        ("name", field(text(), Omit::Never)),
        ("image", part(text())),
        ("args", part(list(text(), ListType::Atomic))),
        ("ports", merged(list(port, by(&["containerPort", "protocol"])), Some("containerPort"))),
        ("resources", part(object(vec![("limits", part(text_map()))]))),
    ])
}

fn thing() -> Schema {
    let metadata = object(vec![
        ("name", part(text())),
        ("namespace", part(text())),
        ("uid", part(text())),
        ("labels", part(text_map())),
        ("annotations", part(text_map())),
        ("finalizers", merged(list(text(), ListType::Set), None)),
        ("managedFields", part(list(Schema::default(), ListType::Atomic))),
    ]);
    let strategy = object(vec![
        ("type", part(text())),
        (
            "rollingUpdate",
            pointer(object(vec![("maxSurge", pointer(number())), ("maxUnavailable", pointer(number()))])),
        ),
    ]);
    let spec = object(vec![
        ("replicas", pointer(number())),
        ("paused", part(Schema::of(Shape::Boolean))),
        ("selector", pointer(atomic(object(vec![("matchLabels", part(text_map()))])))),
        ("strategy", part(strategy)),
        ("containers", Field { omit: Omit::Never, ..merged(list(container(), by(&["name"])), Some("name")) }),
        ("raw", pointer(Schema::default())),
    ]);
    let condition = object(vec![("type", part(text())), ("status", part(text()))]);
    let status = object(vec![
        ("replicas", field(number(), Omit::Never)),
        ("conditions", merged(list(condition, by(&["type"])), Some("type"))),
    ]);
    object(vec![
        ("apiVersion", part(text())),
        ("kind", part(text())),
        ("metadata", part(metadata)),
        ("spec", part(spec)),
        ("status", part(status)),
    ])
}
