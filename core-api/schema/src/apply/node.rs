//! A place in a schema as server-side apply sees it: a leaf, an object with parts, or a list with elements.
//!
//! Owns: what is atomic; the types of fields that a schema does not name; the metadata of custom kinds.
//! Upstream: kube-openapi `pkg/schemaconv`, structured-merge-diff `typed/helpers.go`.

use super::element;
use crate::schema::{Field, ListShape, ListType, MapShape, ObjectShape, Omit, Schema, SchemaRef, Shape};
use serde_json::Value;
use std::sync::LazyLock;

const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// A place in a schema.
#[derive(Clone, Copy)]
pub(super) enum Node<'s> {
    /// Described by a schema.
    Typed {
        /// The schema.
        schema: &'s Schema,
        /// Unknown fields are kept here and below.
        open: bool,
        /// `apiVersion`, `kind` and `metadata` are known.
        whole_object: bool,
    },
    /// Not described: objects have parts, lists are leaves.
    Deduced,
    /// A leaf whatever it holds.
    Atomic,
}

/// How a value at a place is treated.
#[derive(Clone, Copy)]
pub(super) enum Atom<'s> {
    /// As a whole.
    Leaf,
    /// By its fields.
    Object,
    /// By its elements.
    List(ListNode<'s>),
}

/// A list whose elements are told apart.
#[derive(Clone, Copy)]
pub(super) struct ListNode<'s> {
    /// Place of the elements.
    pub(super) items: Node<'s>,
    /// Keys; empty for sets of scalars.
    pub(super) keys: &'s [Box<str>],
}

/// A field of an object.
#[derive(Clone, Copy)]
pub(super) enum Part<'s> {
    /// Named by the schema.
    Named(Node<'s>),
    /// A key of a map, or an unknown field that is kept.
    Other(Node<'s>),
    /// Not declared.
    Unknown,
}

impl<'s> Part<'s> {
    /// The place; what is not declared is treated as deduced.
    pub(super) fn node(self) -> Node<'s> {
        match self {
            Self::Named(node) | Self::Other(node) => node,
            Self::Unknown => Node::Deduced,
        }
    }
}

impl<'s> Node<'s> {
    /// The place of a whole object.
    pub(super) fn root(schema: &'s Schema) -> Self {
        Self::Typed { schema, open: schema.preserve_unknown, whole_object: true }
    }

    fn of(reference: &'s SchemaRef, open: bool) -> Self {
        if reference.type_name() == Some(RAW_EXTENSION) {
            return Self::Atomic;
        }
        let schema = reference.get();
        Self::Typed { schema, open: open || schema.preserve_unknown, whole_object: schema.embedded_resource }
    }

    /// How `value` is treated here. Null is treated as the schema says, and as a leaf where it says nothing.
    pub(super) fn atom(self, value: &Value) -> Atom<'s> {
        match self {
            Self::Atomic => Atom::Leaf,
            Self::Deduced if value.is_object() => Atom::Object,
            Self::Deduced => Atom::Leaf,
            Self::Typed { schema, open, .. } => match &schema.shape {
                Shape::Any if value.is_object() => Atom::Object,
                Shape::Object(ObjectShape { atomic: false, .. })
                | Shape::Map(MapShape { atomic: false, .. }) => Atom::Object,
                Shape::List(ListShape { items, list_type }) => match list_type {
                    ListType::Atomic => Atom::Leaf,
                    ListType::Set => Atom::List(ListNode { items: Self::of(items, open), keys: &[] }),
                    ListType::Map(keys) => Atom::List(ListNode { items: Self::of(items, open), keys }),
                },
                _ => Atom::Leaf,
            },
        }
    }

    /// The place of a field.
    pub(super) fn field(self, name: &str) -> Part<'s> {
        let Self::Typed { schema, open, whole_object } = self else {
            return Part::Other(if matches!(self, Self::Atomic) { Self::Atomic } else { Self::Deduced });
        };
        let declared = named(schema, name);
        if whole_object && let Some(node) = implicit(name, declared) {
            return Part::Named(node);
        }
        match (declared, &schema.shape) {
            (Some(field), _) => Part::Named(Self::of(&field.schema, open)),
            (None, Shape::Map(map)) => Part::Other(Self::of(&map.values, open)),
            (None, Shape::Object(object)) => match &object.additional {
                Some(values) => Part::Other(Self::of(values, open)),
                None if open || (object.fields.is_empty() && !whole_object) => Part::Other(Self::Deduced),
                None => Part::Unknown,
            },
            _ => Part::Other(Self::Deduced),
        }
    }

    /// The place of what a path element leads to, and whether the schema names it.
    pub(super) fn step(self, element: &str) -> (Self, bool) {
        if let Some(name) = element.strip_prefix("f:") {
            let part = self.field(name);
            return (part.node(), matches!(part, Part::Named(_)));
        }
        match self {
            Self::Typed { schema, open, .. } => match &schema.shape {
                Shape::List(list) => (Self::of(&list.items, open), false),
                _ => (Self::Deduced, false),
            },
            other => (other, false),
        }
    }

    /// Whether the schema says that a list or an object here is a leaf.
    pub(super) fn is_atomic_container(self) -> bool {
        match self {
            Self::Typed { schema, .. } => match &schema.shape {
                Shape::Object(object) => object.atomic,
                Shape::Map(map) => map.atomic,
                Shape::List(list) => list.list_type == ListType::Atomic,
                _ => false,
            },
            Self::Atomic => true,
            Self::Deduced => false,
        }
    }

    /// Default of a field of the elements of a list. A built-in field that is always written has its zero value.
    pub(super) fn default_of(self, name: &str) -> Option<&'s Value> {
        static EMPTY: Value = Value::String(String::new());
        static ZERO: LazyLock<Value> = LazyLock::new(|| Value::from(0));
        let Self::Typed { schema, .. } = self else { return None };
        let field = named(schema, name)?;
        let type_of = field.schema.get();
        let zero = || match type_of.shape {
            Shape::String if field.omit == Omit::Never => Some(&EMPTY),
            Shape::Integer { .. } if field.omit == Omit::Never => Some(&*ZERO),
            _ => None,
        };
        field.default.as_ref().or(type_of.default.as_ref()).or_else(zero)
    }
}

impl ListNode<'_> {
    /// The path element of a list element; none when it cannot be told apart.
    pub(super) fn element(self, item: &Value) -> Option<String> {
        if self.keys.is_empty() {
            return element::set_item(item);
        }
        element::keyed_item(self.keys, self.items, item.as_object()?)
    }
}

fn named<'s>(schema: &'s Schema, name: &str) -> Option<&'s Field> {
    match &schema.shape {
        Shape::Object(object) => object.fields.get(name),
        _ => None,
    }
}

/// What every whole object has. Custom kinds' schemas leave it out or describe it in part, which changes nothing here.
fn implicit<'s>(name: &str, declared: Option<&Field>) -> Option<Node<'s>> {
    let known = |schema| Some(Node::Typed { schema, open: false, whole_object: false });
    match name {
        "metadata" if declared.is_none_or(|field| field.schema.type_name().is_none()) => known(&OBJECT_META),
        "apiVersion" | "kind" if declared.is_none() => known(&TEXT),
        _ => None,
    }
}

static TEXT: LazyLock<Schema> = LazyLock::new(|| Schema::of(Shape::String));

/// Object metadata of custom kinds.
static OBJECT_META: LazyLock<Schema> = LazyLock::new(|| {
    let text = || Schema::of(Shape::String);
    let text_map = || Schema::of(Shape::Map(MapShape { values: SchemaRef::inline(text()), atomic: false }));
    let list =
        |items, list_type| Schema::of(Shape::List(ListShape { items: SchemaRef::inline(items), list_type }));
    let owner = object(vec![
        ("apiVersion", text()),
        ("kind", text()),
        ("name", text()),
        ("uid", text()),
        ("controller", Schema::of(Shape::Boolean)),
        ("blockOwnerDeletion", Schema::of(Shape::Boolean)),
    ]);
    object(vec![
        ("name", text()),
        ("generateName", text()),
        ("namespace", text()),
        ("selfLink", text()),
        ("uid", text()),
        ("resourceVersion", text()),
        ("generation", Schema::of(Shape::Integer { bits: 64 })),
        ("creationTimestamp", Schema::of(Shape::Time)),
        ("deletionTimestamp", Schema::of(Shape::Time)),
        ("deletionGracePeriodSeconds", Schema::of(Shape::Integer { bits: 64 })),
        ("labels", text_map()),
        ("annotations", text_map()),
        ("ownerReferences", list(owner, ListType::Map(["uid".into()].into()))),
        ("finalizers", list(text(), ListType::Set)),
        ("managedFields", list(Schema::default(), ListType::Atomic)),
    ])
});

fn object(fields: Vec<(&str, Schema)>) -> Schema {
    let field = |schema| Field {
        schema: SchemaRef::inline(schema),
        required: false,
        omit: Omit::Absent,
        default: None,
        immutable: false,
        tag: 0,
        patch_merge: false,
        patch_merge_key: None,
    };
    let fields = fields.into_iter().map(|(name, schema)| (name.into(), field(schema))).collect();
    Schema::of(Shape::Object(ObjectShape { fields, ..ObjectShape::default() }))
}

/// What a new object of a built-in kind holds before anything is set: structs that are always written, and zero values
/// of fields that are. Managers do not own these by creating an object.
pub(super) fn blank(schema: &Schema) -> Value {
    let Shape::Object(object) = &schema.shape else { return Value::Object(serde_json::Map::new()) };
    let mut out = serde_json::Map::new();
    for (name, field) in &object.fields {
        let part = field.schema.get();
        let is_struct = matches!(&part.shape, Shape::Object(object) if !object.fields.is_empty());
        match field.omit {
            Omit::Nil => drop(out.insert(name.to_string(), Value::Null)),
            Omit::Empty | Omit::Never if is_struct => drop(out.insert(name.to_string(), blank(part))),
            Omit::Never => drop(out.insert(name.to_string(), zero(part))),
            Omit::Absent | Omit::Null | Omit::Empty | Omit::Zero => {}
        }
    }
    Value::Object(out)
}

fn zero(schema: &Schema) -> Value {
    match &schema.shape {
        Shape::Boolean => Value::Bool(false),
        Shape::Integer { .. } | Shape::Number | Shape::IntOrString => Value::from(0),
        Shape::String => Value::from(""),
        Shape::Duration => Value::from("0s"),
        Shape::Quantity => Value::from("0"),
        _ => Value::Null,
    }
}
