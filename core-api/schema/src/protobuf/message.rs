//! What a schema says about protobuf.

use crate::schema::SchemaRef;

/// Parts of a message by field number, ascending.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Box<[(u32, Part)]>);

/// One field of a message.
#[derive(Clone, Debug)]
pub enum Part {
    /// The object's field of this JSON name.
    Field(&'static str),
    /// A message whose fields are the object's own in JSON (Go's embedded struct), such as the source of a volume.
    Inlined(Message),
}

impl Message {
    /// Sorts the parts.
    pub fn new(mut parts: Vec<(u32, Part)>) -> Self {
        parts.sort_by_key(|(number, _)| *number);
        Self(parts.into_boxed_slice())
    }

    pub(super) fn part(&self, number: u32) -> Option<&Part> {
        let at = self.0.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.0[at].1)
    }
}

/// How a node is framed where its shape alone does not tell.
#[derive(Clone, Debug, Default)]
pub enum Wire {
    /// As its shape says.
    #[default]
    Plain,
    /// A list in a message of its own, with the elements in field 1 (`ExtraValue`, `Verbs`).
    Wrapped,
    /// JSON text in field 1 of a message (`RawExtension`, `JSON`, `FieldsV1`).
    Raw,
    /// `JSONSchemaPropsOrBool`, with the schema of `JSONSchemaProps`.
    SchemaOrBool(SchemaRef),
    /// `JSONSchemaPropsOrArray`.
    SchemaOrArray(SchemaRef),
    /// `JSONSchemaPropsOrStringArray`.
    SchemaOrStrings(SchemaRef),
}
