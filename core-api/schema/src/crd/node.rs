//! One node of an `openAPIV3Schema` as it is written, with its keywords by name.

use serde_json::{Map, Value};

/// A borrowed schema node.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(&'a Map<String, Value>);

/// What `additionalProperties` says.
pub(super) enum Additional<'a> {
    Allows(bool),
    Schema(Node<'a>),
}

impl<'a> Node<'a> {
    pub(super) fn of(json: &'a Value) -> Option<Self> {
        json.as_object().map(Self)
    }
    pub(super) const fn map(self) -> &'a Map<String, Value> {
        self.0
    }
    /// A keyword's value; null counts as absent.
    pub(super) fn get(self, keyword: &str) -> Option<&'a Value> {
        self.0.get(keyword).filter(|value| !value.is_null())
    }
    /// A text keyword, empty when absent.
    pub(super) fn text(self, keyword: &str) -> &'a str {
        self.get(keyword).and_then(Value::as_str).unwrap_or_default()
    }
    pub(super) fn flag(self, keyword: &str) -> bool {
        self.get(keyword).and_then(Value::as_bool).unwrap_or_default()
    }
    pub(super) fn node(self, keyword: &str) -> Option<Self> {
        self.get(keyword).and_then(Self::of)
    }
    /// Elements of a list keyword.
    pub(super) fn list(self, keyword: &str) -> &'a [Value] {
        self.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
    /// Schemas of a list keyword (`allOf`).
    pub(super) fn nodes(self, keyword: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.list(keyword).iter().filter_map(Self::of)
    }
    /// Texts of a list keyword (`required`).
    pub(super) fn texts(self, keyword: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.list(keyword).iter().filter_map(Value::as_str)
    }
    /// Schemas of a map keyword (`properties`).
    pub(super) fn map_of(self, keyword: &str) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let map = self.get(keyword).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(name, json)| Some((name.as_str(), Self::of(json)?)))
    }
    pub(super) fn properties(self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        self.map_of("properties")
    }
    pub(super) fn property(self, name: &str) -> Option<Self> {
        self.get("properties")?.get(name).and_then(Self::of)
    }
    /// The schema of list elements; a list of schemas is reported elsewhere.
    pub(super) fn items(self) -> Option<Self> {
        self.node("items")
    }
    pub(super) fn additional(self) -> Option<Additional<'a>> {
        match self.get("additionalProperties")? {
            Value::Bool(allows) => Some(Additional::Allows(*allows)),
            json => Self::of(json).map(Additional::Schema),
        }
    }
    pub(super) fn additional_schema(self) -> Option<Self> {
        match self.additional()? {
            Additional::Schema(node) => Some(node),
            Additional::Allows(_) => None,
        }
    }
    /// Whether a map or list keyword is there and not empty.
    pub(super) fn has(self, keyword: &str) -> bool {
        match self.get(keyword) {
            None => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Bool(on)) => *on,
            Some(_) => true,
        }
    }
    pub(super) fn int_or_string(self) -> bool {
        self.flag("x-kubernetes-int-or-string")
    }
    pub(super) fn preserves_unknown(self) -> bool {
        self.flag("x-kubernetes-preserve-unknown-fields")
    }
    pub(super) fn is_embedded(self) -> bool {
        self.flag("x-kubernetes-embedded-resource")
    }
}
