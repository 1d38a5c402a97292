//! Structural schemas of built-in types. A type is decoded at its first use and kept; references between types are
//! lazy, so recursive types are no special case.
//!
//! Enumerations and declared validations stay out of these schemas: built-in kinds are validated by their own code,
//! whose messages clients know.
//! A Go pointer that has no `omitempty` is left out when it is null, where upstream writes `null`.

use super::table::{Field as FieldFacts, ListKind, Part, Shape as ShapeFacts, TypeFacts, count, type_facts};
use proa_schema::{
    Field, Lazy, ListShape, ListType, ObjectShape, Omit, Schema, SchemaRef, Shape,
    protobuf::{Message, Part as MessagePart, Wire},
    schema::MapShape,
};
use std::sync::{Arc, OnceLock};

/// The schema of a type by its OpenAPI name, such as `io.k8s.api.apps.v1.Deployment`.
pub fn find_schema(type_name: &str) -> Option<SchemaRef> {
    type_facts(type_name).map(reference)
}

/// As [`find_schema`], for names that are constants of the catalogue. An unknown name is a mistake in the catalogue,
/// which its tests find; it gives a schema without fields.
pub fn schema(type_name: &str) -> SchemaRef {
    let found = find_schema(type_name);
    debug_assert!(found.is_some(), "no type {type_name} in the facts table");
    found.unwrap_or_else(|| SchemaRef::inline(Schema::of(Shape::Object(ObjectShape::default()))))
}

/// One shared promise per type.
fn reference(facts: TypeFacts) -> SchemaRef {
    static TYPES: OnceLock<Box<[OnceLock<Arc<Lazy>>]>> = OnceLock::new();
    let types = TYPES.get_or_init(|| (0..count()).map(|_| OnceLock::new()).collect());
    let lazy = types[facts.index].get_or_init(|| Arc::new(Lazy::new(facts.name, load)));
    SchemaRef::Lazy(Arc::clone(lazy))
}

fn load(name: &str) -> Schema {
    let object = type_facts(name).map(|facts| ObjectShape {
        fields: facts.json_fields().into_iter().filter_map(|f| Some((f.name?.into(), field(&f)))).collect(),
        atomic: facts.is_atomic(),
        retain_keys: facts.retains_keys(),
        additional: None,
        message: Some(message(facts)),
    });
    Schema::of(Shape::Object(object.unwrap_or_default()))
}

/// Protobuf nests the structs that JSON takes into their owner; `TypeMeta` has no number and is not in messages.
fn message(facts: TypeFacts) -> Message {
    let part = |field: FieldFacts| {
        let part = match field.name {
            Some(name) => MessagePart::Field(name),
            None => MessagePart::Inlined(message(field.shape.type_facts()?)),
        };
        Some((field.tag, part))
    };
    Message::new(facts.fields().filter(|field| field.tag != 0).filter_map(part).collect())
}

fn field(facts: &FieldFacts) -> Field {
    let strategy = facts.patch_strategy().unwrap_or_default();
    Field {
        required: facts.is_required(),
        omit: omit(facts),
        default: facts.default(),
        immutable: facts.is_immutable(),
        tag: facts.tag,
        patch_merge: strategy.split(',').any(|s| s == "merge"),
        // How strategic merge knows an object that is replaced, not merged.
        patch_merge_key: facts.patch_merge_key().or((strategy == "replace").then_some("")).map(Into::into),
        ..Field::new(node(facts.shape, Some(facts)))
    }
}

fn omit(facts: &FieldFacts) -> Omit {
    // Structs whose JSON is a scalar are structs to Go all the same: `omitempty` does not leave them out.
    let is_struct = matches!(
        facts.shape.scalar(),
        Some("time" | "microtime" | "duration" | "quantity" | "int-or-string" | "raw" | "json" | "fieldsv1")
    );
    match () {
        () if facts.shape.is_pointer() && !facts.omits_empty() && !facts.omits_zero() => Omit::Nil,
        () if facts.shape.is_pointer() => Omit::Null,
        () if facts.omits_zero() => Omit::Zero,
        () if facts.omits_empty() && !is_struct => Omit::Empty,
        () => Omit::Never,
    }
}

/// The schema of a shape; `facts` are those of the field that has it, and bind its outermost level.
fn node(of_shape: ShapeFacts, facts: Option<&FieldFacts>) -> SchemaRef {
    match of_shape.part() {
        Part::Type(of) => match facts.and_then(FieldFacts::map_type) {
            Some(map_type) if (map_type == "atomic") != of.is_atomic() => {
                with_atomic(of, map_type == "atomic")
            }
            _ => reference(of),
        },
        Part::List(item) => {
            let kind = facts.map_or(ListKind::Atomic { declared: false }, FieldFacts::list_kind);
            let shape = ListShape { items: node(item, None), list_type: list_type(kind) };
            let wire = if of_shape.is_wrapped() { Wire::Wrapped } else { Wire::Plain };
            SchemaRef::inline(Schema { wire, ..Schema::of(Shape::List(shape)) })
        }
        Part::Map(value) => {
            let atomic = facts.and_then(FieldFacts::map_type) == Some("atomic");
            SchemaRef::inline(Schema::of(Shape::Map(MapShape { values: node(value, None), atomic })))
        }
        Part::Scalar(name) => scalar(name),
    }
}

/// A field that applies its type otherwise than the type itself says.
/// It keeps its name, which messages about wrong types tell.
fn with_atomic(of: TypeFacts, atomic: bool) -> SchemaRef {
    fn changed(name: &str, atomic: bool) -> Schema {
        let mut schema = load(name);
        if let Shape::Object(object) = &mut schema.shape {
            object.atomic = atomic;
        }
        schema
    }
    let load = if atomic { |name: &str| changed(name, true) } else { |name: &str| changed(name, false) };
    SchemaRef::Lazy(Arc::new(Lazy::new(of.name, load)))
}

fn list_type(kind: ListKind) -> ListType {
    match kind {
        ListKind::Atomic { .. } => ListType::Atomic,
        ListKind::Set => ListType::Set,
        ListKind::Map(keys) => ListType::Map(keys.split(',').map(Into::into).collect()),
    }
}

/// A raw extension keeps its name: server-side apply treats it as one value, unlike other open values.
fn named_or_inline(name: &str, schema: Schema) -> SchemaRef {
    const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
    match name {
        "raw" => SchemaRef::Lazy(Arc::new(Lazy::new(RAW_EXTENSION, |_| Schema {
            wire: Wire::Raw,
            ..Schema::default()
        }))),
        _ => SchemaRef::inline(schema),
    }
}

/// Scalars are shared: there are thousands of fields and a dozen scalars.
fn scalar(name: &str) -> SchemaRef {
    static SCALARS: OnceLock<Vec<(&str, SchemaRef)>> = OnceLock::new();
    let scalars = SCALARS.get_or_init(|| {
        let plain = [
            ("any", Shape::Any),
            ("string", Shape::String),
            ("bool", Shape::Boolean),
            ("int32", Shape::Integer { bits: 32 }),
            ("int64", Shape::Integer { bits: 64 }),
            ("double", Shape::Number),
            ("bytes", Shape::Bytes),
            ("time", Shape::Time),
            ("microtime", Shape::MicroTime),
            ("duration", Shape::Duration),
            ("quantity", Shape::Quantity),
            ("int-or-string", Shape::IntOrString),
        ];
        let props = || schema("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
        let open = [
            ("raw", Wire::Raw),
            ("json", Wire::Raw),
            ("fieldsv1", Wire::Raw),
            ("schema-or-bool", Wire::SchemaOrBool(props())),
            ("schema-or-array", Wire::SchemaOrArray(props())),
            ("schema-or-strings", Wire::SchemaOrStrings(props())),
        ];
        let plain = plain.into_iter().map(|(name, shape)| (name, Schema::of(shape)));
        let open = open.into_iter().map(|(name, wire)| (name, Schema { wire, ..Schema::default() }));
        plain.chain(open).map(|(name, schema)| (name, named_or_inline(name, schema))).collect()
    });
    let found = scalars.iter().find(|(known, _)| *known == name).or(scalars.first());
    found.map_or_else(SchemaRef::default, |(_, schema)| schema.clone())
}
