//! One node of a structural schema, for built-in and custom kinds alike.
//!
//! A built-in kind's schema comes from the facts table and is decoded lazily, type by type, because types refer to
//! each other (and `JSONSchemaProps` to itself). A custom kind's comes from its CustomResourceDefinition and is a
//! tree. Upstream: apiextensions `pkg/apiserver/schema/structural.go`, kube-openapi `pkg/validation/spec`.

use crate::{
    cel::rules::Compiled,
    protobuf::{Message, Wire},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

/// A schema node.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Which JSON values are meant, and their parts.
    pub shape: Shape,
    /// `null` is a value of its own and is kept.
    pub nullable: bool,
    /// Value that takes the place of an absent one.
    pub default: Option<Value>,
    /// Text for `kubectl explain`; built-in kinds' texts live elsewhere.
    pub description: Option<Arc<str>>,
    /// Value validations.
    pub rules: Option<Box<Rules>>,
    /// `x-kubernetes-preserve-unknown-fields`: unknown fields of this node are kept, not pruned.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`: `apiVersion`, `kind` and `metadata` are known implicitly.
    pub embedded_resource: bool,
    /// No `type` is declared (nested validations of custom kinds): the shape's rules bind only values of that shape.
    pub untyped: bool,
    /// How protobuf frames the node.
    pub wire: Wire,
    /// `x-kubernetes-validations` of the node and those below, compiled when first needed; used of roots.
    pub expressions: Compiled,
}

/// What a node holds.
#[derive(Clone, Debug, Default)]
pub enum Shape {
    /// Anything (raw extension, JSON, a schema without a type).
    #[default]
    Any,
    /// `true` or `false`.
    Boolean,
    /// Whole number; bits are 32 or 64.
    Integer {
        /// Width: 32 or 64.
        bits: u8,
    },
    /// Any number.
    Number,
    /// Plain text.
    String,
    /// Base64 text of built-in `[]byte` fields.
    Bytes,
    /// `metav1.Time`: RFC 3339, stored in UTC to the second.
    Time,
    /// `metav1.MicroTime`: RFC 3339, stored in UTC to the microsecond.
    MicroTime,
    /// `metav1.Duration`: Go's text form, such as `1h0m0s`.
    Duration,
    /// `resource.Quantity`: number or text on input, canonical text when stored.
    Quantity,
    /// Whole number or text.
    IntOrString,
    /// Named fields.
    Object(ObjectShape),
    /// Any keys, equal values.
    Map(MapShape),
    /// A list.
    List(ListShape),
}

/// Named fields.
#[derive(Clone, Debug, Default)]
pub struct ObjectShape {
    /// By JSON name.
    pub fields: BTreeMap<Box<str>, Field>,
    /// `x-kubernetes-map-type: atomic`: apply replaces the node whole.
    pub atomic: bool,
    /// Strategic merge's `retainKeys` (deployment strategy, volumes).
    pub retain_keys: bool,
    /// Schema of further keys besides the named ones (custom kinds only).
    pub additional: Option<SchemaRef>,
    /// Field numbers of the protobuf form (built-in kinds only).
    pub message: Option<Message>,
}

/// One named field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its schema.
    pub schema: SchemaRef,
    /// Must be present.
    pub required: bool,
    /// When the canonical form leaves it out.
    pub omit: Omit,
    /// Overrides the default of `schema`, for the same type may have other defaults elsewhere.
    pub default: Option<Value>,
    /// May not change after creation.
    pub immutable: bool,
    /// Protobuf field number, zero when there is none.
    pub tag: u32,
    /// Strategic merge: `patchStrategy` contains `replace`-only behaviour unless `merge` is set.
    pub patch_merge: bool,
    /// Strategic merge: key of merged list elements; empty for lists of scalars and for maps.
    pub patch_merge_key: Option<Box<str>>,
}

impl Field {
    /// A field with a schema and nothing else.
    pub const fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            required: false,
            omit: Omit::Absent,
            default: None,
            immutable: false,
            tag: 0,
            patch_merge: false,
            patch_merge_key: None,
        }
    }
}

/// When a built-in field's canonical form leaves the field out: Go's `omitempty`, `omitzero` and pointers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Omit {
    /// Kept as it came (custom kinds); `null` is dropped unless nullable.
    #[default]
    Absent,
    /// Left out only when null or absent (Go pointer with `omitempty`).
    Null,
    /// `null` when absent (Go pointer without `omitempty`).
    Nil,
    /// Left out when empty: `""`, `0`, `false`, empty list or map; a struct is always written.
    Empty,
    /// Left out when every part is zero (`omitzero`).
    Zero,
    /// Always written, with its zero value when absent: `""`, `0`, `false`, `null` for lists and maps, `{}`.
    Never,
}

/// Equal values under any keys.
#[derive(Clone, Debug)]
pub struct MapShape {
    /// Schema of the values.
    pub values: SchemaRef,
    /// Apply replaces the node whole.
    pub atomic: bool,
}

/// A list.
#[derive(Clone, Debug)]
pub struct ListShape {
    /// Schema of the elements.
    pub items: SchemaRef,
    /// How elements are told apart.
    pub list_type: ListType,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Replaced whole.
    #[default]
    Atomic,
    /// Unique scalars.
    Set,
    /// Objects told apart by these keys.
    Map(Box<[Box<str>]>),
}

/// A schema, or the promise of one.
#[derive(Clone)]
pub enum SchemaRef {
    /// Written out here.
    Inline(Arc<Schema>),
    /// A named type, decoded when first used.
    Lazy(Arc<Lazy>),
}

/// A named type that is decoded when first used.
pub struct Lazy {
    name: &'static str,
    load: fn(&str) -> Schema,
    cell: OnceLock<Schema>,
}

impl Lazy {
    /// `load(name)` is called once, at the first use.
    pub const fn new(name: &'static str, load: fn(&str) -> Schema) -> Self {
        Self { name, load, cell: OnceLock::new() }
    }
    /// OpenAPI name of the type, such as `io.k8s.api.core.v1.Container`.
    pub const fn name(&self) -> &'static str {
        self.name
    }
    /// The decoded schema.
    pub fn get(&self) -> &Schema {
        self.cell.get_or_init(|| (self.load)(self.name))
    }
}

impl SchemaRef {
    /// Wraps a schema.
    pub fn inline(schema: Schema) -> Self {
        Self::Inline(Arc::new(schema))
    }
    /// The schema itself.
    pub fn get(&self) -> &Schema {
        match self {
            Self::Inline(schema) => schema,
            Self::Lazy(lazy) => lazy.get(),
        }
    }
    /// OpenAPI name, when it is a named type.
    pub fn type_name(&self) -> Option<&'static str> {
        match self {
            Self::Inline(_) => None,
            Self::Lazy(lazy) => Some(lazy.name()),
        }
    }
}

impl std::ops::Deref for SchemaRef {
    type Target = Schema;
    fn deref(&self) -> &Schema {
        self.get()
    }
}

/// Prints a named type by its name, so that recursive types can be printed.
impl fmt::Debug for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(schema) => schema.fmt(f),
            Self::Lazy(lazy) => f.write_str(lazy.name),
        }
    }
}

impl Default for SchemaRef {
    fn default() -> Self {
        Self::inline(Schema::default())
    }
}

impl Schema {
    /// A schema of a shape and nothing else.
    pub fn of(shape: Shape) -> Self {
        Self { shape, ..Self::default() }
    }
    /// The schema of a child field, list-independent: named field, further key or map value.
    pub fn child(&self, name: &str) -> Option<&SchemaRef> {
        match &self.shape {
            Shape::Object(object) => {
                object.fields.get(name).map(|f| &f.schema).or(object.additional.as_ref())
            }
            Shape::Map(map) => Some(&map.values),
            _ => None,
        }
    }
}

/// Value validations of OpenAPI, as CustomResourceDefinitions use them. Numbers are as in JSON.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Allowed values.
    pub enumeration: Option<Vec<Value>>,
    /// `format`, such as `date-time`.
    pub format: Option<Box<str>>,
    /// Regular expression (RE2 syntax).
    pub pattern: Option<Pattern>,
    /// Shortest text, in Unicode characters.
    pub min_length: Option<u64>,
    /// Longest text.
    pub max_length: Option<u64>,
    /// Smallest number.
    pub minimum: Option<f64>,
    /// Largest number.
    pub maximum: Option<f64>,
    /// `minimum` itself is not allowed.
    pub exclusive_minimum: bool,
    /// `maximum` itself is not allowed.
    pub exclusive_maximum: bool,
    /// The number is a multiple of this.
    pub multiple_of: Option<f64>,
    /// Fewest elements.
    pub min_items: Option<u64>,
    /// Most elements.
    pub max_items: Option<u64>,
    /// Elements differ from each other.
    pub unique_items: bool,
    /// Fewest entries.
    pub min_properties: Option<u64>,
    /// Most entries.
    pub max_properties: Option<u64>,
    /// All of these hold.
    pub all_of: Vec<Schema>,
    /// At least one of these holds.
    pub any_of: Vec<Schema>,
    /// Exactly one of these holds.
    pub one_of: Vec<Schema>,
    /// This does not hold.
    pub not: Option<Box<Schema>>,
    /// `x-kubernetes-validations`, as written; [`Schema::expressions`] holds them compiled.
    pub validations: Vec<Value>,
    /// Names that must be present, in the order in which they are reported (custom kinds).
    pub required: Vec<Box<str>>,
    /// What is only published: title, example, external documentation, extensions that change nothing.
    pub annotations: Option<Box<serde_json::Map<String, Value>>>,
}

/// A regular expression with its source text.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written.
    pub source: Box<str>,
    /// Compiled.
    pub regex: regex::Regex,
}
