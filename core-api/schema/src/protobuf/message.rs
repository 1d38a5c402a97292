//! What a schema says about protobuf.

use crate::schema::SchemaRef;

/// Parts of a message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// By field number, ascending.
    parts: Box<[(u32, Part)]>,
    /// By JSON name, those of inlined messages too.
    names: Box<[(&'static str, Place)]>,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub enum Part {
    /// The object's field of this JSON name.
    Field(&'static str),
    /// A message whose fields are the object's own in JSON (Go's embedded struct), such as the source of a volume.
    Inlined(Message),
}

/// Where a message has a field.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Numbers of the inlined messages around it, the outermost first.
    pub(super) within: Box<[u32]>,
    pub(super) number: u32,
}

impl Message {
    /// Sorts the parts.
    pub fn new(mut parts: Vec<(u32, Part)>) -> Self {
        parts.sort_by_key(|(number, _)| *number);
        let mut names = Vec::with_capacity(parts.len());
        for (number, part) in &parts {
            match part {
                Part::Field(name) => names.push((*name, Place { within: Box::default(), number: *number })),
                Part::Inlined(inner) => names.extend(inner.names.iter().map(|(name, place)| {
                    let within = std::iter::once(number).chain(&place.within).copied().collect();
                    (*name, Place { within, number: place.number })
                })),
            }
        }
        names.sort_by_key(|(name, _)| *name);
        Self { parts: parts.into_boxed_slice(), names: names.into_boxed_slice() }
    }

    /// Whether it has no fields.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// JSON names of its fields and of those inlined, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().map(|(name, _)| *name)
    }

    pub(super) fn part(&self, number: u32) -> Option<&Part> {
        let at = self.parts.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.parts[at].1)
    }

    pub(super) fn place(&self, name: &str) -> Option<&Place> {
        let at = self.names.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        Some(&self.names[at].1)
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
