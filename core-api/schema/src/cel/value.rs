//! Values of expressions. Those of objects are views of their JSON: nothing is copied until it is changed.

use super::{error::Error, json, kube::Kube, machine::Machine};
use crate::schema::Schema;
use serde_json::{Map as JsonMap, Value as Json};
use std::{collections::BTreeMap, fmt, ops::Deref, sync::Arc};

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `uint`.
    Uint(u64),
    /// `double`.
    Double(f64),
    /// `string`.
    String(Text<'a>),
    /// `bytes`.
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    /// A moment.
    Timestamp(jiff::Timestamp),
    /// A type, by its name.
    Type(Arc<str>),
    /// A list.
    List(List<'a>),
    /// A map, or an object.
    Map(Map<'a>),
    /// A value that may be absent.
    Optional(Option<Arc<Value<'a>>>),
    /// A value of Kubernetes' libraries.
    Kube(Arc<Kube>),
    /// What the caller of the expression provides; its fields are made when they are asked for.
    Record(&'a (dyn Record + 'a)),
    /// What the caller of the expression provides, with functions of its own.
    Foreign(Arc<dyn Foreign + 'a>),
}

/// An object whose fields are made when they are asked for (`variables` of an admission policy).
pub trait Record: fmt::Debug + Sync {
    /// The field, `None` when there is no such one. Costs are charged to `machine`.
    fn field<'s>(&'s self, name: &str, machine: &mut Machine<'_>) -> Option<Result<Value<'s>, Error>>;
}

/// A value with functions of its own (`authorizer`).
pub trait Foreign: fmt::Debug + Send + Sync {
    /// Name of its type.
    fn type_name(&self) -> &str;
    /// Calls a function that the environment declares for the type.
    ///
    /// # Errors
    /// As the function says.
    fn call<'s>(&self, function: &str, arguments: &[Value<'s>]) -> Result<Value<'s>, Error>;
}

/// Text, borrowed where possible.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// Of an object or of the expression.
    Borrowed(&'a str),
    /// Made by the expression.
    Owned(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// The key under which an object that an expression made has the name of its type. No text of an expression is it.
pub const MADE_TYPE: &str = "\u{0}type";

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// Of an object, with its schema if it has one.
    Json(&'a [Json], Option<&'a Schema>),
    /// Made by the expression.
    Owned(Arc<Vec<Value<'a>>>),
    /// One after the other, with the length of the first.
    Joined(Arc<(List<'a>, List<'a>)>, usize),
}

impl<'a> List<'a> {
    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(list, _) => list.len(),
            Self::Owned(list) => list.len(),
            Self::Joined(parts, first) => first + parts.1.len(),
        }
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// One element.
    pub fn get(&self, i: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(list, schema) => list.get(i).map(|item| json::lift(item, items(*schema))),
            Self::Owned(list) => list.get(i).cloned(),
            Self::Joined(parts, first) if i < *first => parts.0.get(i),
            Self::Joined(parts, first) => parts.1.get(i - first),
        }
    }
    /// All elements.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }
    /// The list with `other` behind it.
    pub(super) fn joined(self, other: Self) -> Self {
        let first = self.len();
        if first == 0 {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Self::Joined(Arc::new((self, other)), first)
    }
}

fn items(schema: Option<&Schema>) -> Option<&Schema> {
    match &schema?.shape {
        crate::schema::Shape::List(list) => Some(list.items.get()),
        _ => None,
    }
}

/// A key of a map that an expression makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `true` or `false`.
    Bool(bool),
    /// `int` and `uint`.
    Int(i128),
    /// Text.
    String(Arc<str>),
}

impl Key {
    /// The key that a value is.
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Int(number) => Self::Int((*number).into()),
            Value::Uint(number) => Self::Int((*number).into()),
            Value::Double(number) => Self::Int(whole(*number)?),
            Value::String(Text::Owned(text)) => Self::String(text.clone()),
            Value::String(text) => Self::String((**text).into()),
            _ => return None,
        })
    }
    /// The value that stands for it.
    pub(super) fn value<'a>(&self) -> Value<'a> {
        match self {
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => Value::Int(number),
                (_, Ok(number)) => Value::Uint(number),
                _ => Value::Null,
            },
            Self::String(text) => Value::String(Text::Owned(text.clone())),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e19).then_some(number as i128)
}

/// A map, or an object.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// Of an object, with its schema if it has one.
    Json(&'a JsonMap<String, Json>, Option<&'a Schema>),
    /// Made by the expression.
    Owned(Arc<BTreeMap<Key, Value<'a>>>),
}

impl<'a> Map<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(map, _) => map.len(),
            Self::Owned(map) => map.len(),
        }
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The entry under a key of text.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(map, schema) => json::member(map, *schema, name),
            Self::Owned(map) => map.get(&Key::String(name.into())).cloned(),
        }
    }
    /// The entry under any key.
    pub(crate) fn find(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Json(map, schema), Value::String(name)) => json::member(map, *schema, name),
            (Self::Owned(map), _) => map.get(&Key::of(key)?).cloned(),
            _ => None,
        }
    }
    /// All keys, sorted.
    pub fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Self::Json(map, _) => map.keys().map(|key| Value::String(Text::Borrowed(key))).collect(),
            Self::Owned(map) => map.keys().map(Key::value).collect(),
        }
    }
}

impl<'a> Value<'a> {
    /// An object of these fields.
    pub fn object<'n>(fields: impl IntoIterator<Item = (&'n str, Self)>) -> Self {
        let entry = |(name, value): (&str, Self)| (Key::String(name.into()), value);
        Self::Map(Map::Owned(Arc::new(fields.into_iter().map(entry).collect())))
    }
    /// A view of an object that has no schema.
    pub fn of_json(value: &'a Json) -> Self {
        json::lift(value, None)
    }
    /// A view of an object of this schema.
    pub fn of_object(value: &'a Json, schema: &'a Schema) -> Self {
        json::lift(value, Some(schema))
    }
    /// A view, or `null`.
    pub fn of_option(value: Option<&'a Json>) -> Self {
        value.map_or(Self::Null, Self::of_json)
    }
    /// Text that the expression made.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Owned(text.into()))
    }
    /// A list that the expression made.
    pub fn list(values: Vec<Self>) -> Self {
        Self::List(List::Owned(Arc::new(values)))
    }
    /// A present optional value.
    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
    /// As JSON, for audit annotations and mutations.
    pub fn to_json(&self) -> Option<Json> {
        json::lower(self)
    }

    /// The name of its type.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Kube(kube) => kube.type_name(),
            Self::Record(_) => "object",
            Self::Foreign(foreign) => foreign.type_name(),
        }
    }

    /// What costs count: characters, bytes, elements, entries.
    pub(super) fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Optional(Some(value)) => return value.size(),
            Self::Kube(kube) => kube.size(),
            _ => 1,
        };
        u64::try_from(size).unwrap_or(u64::MAX)
    }
}
