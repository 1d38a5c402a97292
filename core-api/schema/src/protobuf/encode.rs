//! JSON becomes a message, in one pass and without a tree of values.
//!
//! What is read is canonical; a part that is not of its schema's shape is left out. Fields are written in the order in
//! which they come, which readers of protobuf take as any other. Absent fields stay absent, where Go writes zero
//! values of fields that are no pointers: readers cannot tell the difference.

mod text;

use super::{
    Message, Wire,
    message::Place,
    writer::{Open, bytes_field, double_field, nested, varint_field},
};
use crate::schema::{Field, ListShape, ObjectShape, Schema, Shape};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Value, value::RawValue};
use std::fmt;

/// Appends the message of a canonical value.
pub fn encode(schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    let written = Node::whole(schema, out).deserialize(value);
    debug_assert!(written.is_ok(), "whatever a value holds is written or left out");
}

/// Appends the message of canonical JSON.
///
/// # Errors
/// The bytes are not JSON.
pub fn encode_json(schema: &Schema, json: &[u8], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Node::whole(schema, out).deserialize(&mut reader)?;
    reader.end()
}

/// A value that is about to be read, and where it goes.
struct Node<'a> {
    /// Number of its field; zero: its parts are those of the message that is being written.
    number: u32,
    schema: &'a Schema,
    /// It is one of a list or map: null is an empty message, and a list is a message of its own.
    is_element: bool,
    out: &'a mut Vec<u8>,
}

impl<'a> Node<'a> {
    const fn whole(schema: &'a Schema, out: &'a mut Vec<u8>) -> Self {
        Self { number: 0, schema, is_element: false, out }
    }
    const fn field(number: u32, schema: &'a Schema, out: &'a mut Vec<u8>) -> Self {
        Self { number, schema, is_element: false, out }
    }
    const fn element(number: u32, schema: &'a Schema, out: &'a mut Vec<u8>) -> Self {
        Self { number, schema, is_element: true, out }
    }

    /// JSON text as it is.
    fn raw<E: Error>(self, text: &str) -> Result<(), E> {
        if text == "null" {
            return self.visit_unit();
        }
        nested(self.number, self.out, |out| bytes_field(1, text.as_bytes(), out));
        Ok(())
    }

    fn integer(self, value: i64) {
        match self.schema.shape {
            Shape::Integer { .. } => varint_field(self.number, value.cast_unsigned(), self.out),
            Shape::Number => double_field(self.number, double(value), self.out),
            Shape::IntOrString => nested(self.number, self.out, |out| {
                varint_field(1, 0, out);
                varint_field(2, value.cast_unsigned(), out);
            }),
            _ => {}
        }
    }
}

fn double(value: impl Into<serde_json::Number>) -> f64 {
    value.into().as_f64().unwrap_or_default()
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        match (&self.schema.shape, &self.schema.wire) {
            (Shape::Any, Wire::Raw) => self.raw(Box::<RawValue>::deserialize(source)?.get()),
            _ => source.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        let is_scalar = matches!(self.schema.shape, Shape::Boolean | Shape::Integer { .. } | Shape::Number);
        if self.is_element && !is_scalar {
            bytes_field(self.number, b"", self.out);
        }
        Ok(())
    }

    fn visit_bool<E>(self, on: bool) -> Result<(), E> {
        match (&self.schema.shape, &self.schema.wire) {
            (Shape::Boolean, _) => varint_field(self.number, u64::from(on), self.out),
            (Shape::Any, Wire::SchemaOrBool(_)) => {
                nested(self.number, self.out, |out| varint_field(1, u64::from(on), out));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.integer(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(double(value)),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        if matches!(self.schema.shape, Shape::Number) {
            double_field(self.number, value, self.out);
        }
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        text::write(self.number, &self.schema.shape, value, self.out);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let texts = Schema::of(Shape::String);
        match (&self.schema.shape, &self.schema.wire) {
            (Shape::List(ListShape { items, .. }), Wire::Plain) if !self.is_element => {
                elements(self.number, items, seq, self.out)
            }
            (Shape::List(ListShape { items, .. }), _) => {
                nested(self.number, self.out, |out| elements(1, items, seq, out))
            }
            (Shape::Any, Wire::SchemaOrArray(schema)) => {
                nested(self.number, self.out, |out| elements(2, schema, seq, out))
            }
            (Shape::Any, Wire::SchemaOrStrings(_)) => {
                nested(self.number, self.out, |out| elements(2, &texts, seq, out))
            }
            _ => IgnoredAny.visit_seq(seq).map(|_| ()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { number, schema, is_element, out } = self;
        match (&schema.shape, &schema.wire) {
            (Shape::Object(shape), _) if number == 0 => fields(shape, map, out),
            (Shape::Object(shape), _) => nested(number, out, |out| fields(shape, map, out)),
            (Shape::Map(shape), _) if !is_element => entries(number, &shape.values, map, out),
            (Shape::Any, Wire::SchemaOrBool(schema)) => nested(number, out, |out| {
                varint_field(1, 1, out);
                Node::field(2, schema, out).visit_map(map)
            }),
            (Shape::Any, Wire::SchemaOrArray(schema) | Wire::SchemaOrStrings(schema)) => {
                nested(number, out, |out| Node::field(1, schema, out).visit_map(map))
            }
            _ => IgnoredAny.visit_map(map).map(|_| ()),
        }
    }
}

fn elements<'de, A: SeqAccess<'de>>(
    number: u32,
    items: &Schema,
    mut seq: A,
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    while seq.next_element_seed(Node::element(number, items, out))?.is_some() {}
    Ok(())
}

/// Each entry of a map is a message: key 1, value 2.
fn entries<'de, A: MapAccess<'de>>(
    number: u32,
    values: &Schema,
    mut map: A,
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    while let Some(open) = map.next_key_seed(Key { number, out })? {
        map.next_value_seed(Node::element(2, values, out))?;
        open.end(out);
    }
    Ok(())
}

fn fields<'de, A: MapAccess<'de>>(
    shape: &ObjectShape,
    mut map: A,
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    let Some(message) = &shape.message else { return IgnoredAny.visit_map(map).map(|_| ()) };
    let mut inlined = Inlined::default();
    while let Some(found) = map.next_key_seed(Name { shape, message })? {
        match found {
            Some((field, place)) => {
                inlined.enter(&place.within, out);
                map.next_value_seed(Node::field(place.number, &field.schema, out))?;
            }
            None => _ = map.next_value::<IgnoredAny>()?,
        }
    }
    inlined.leave(out);
    Ok(())
}

/// The inlined messages that the last field was in. One whose fields do not come one after the other is written in
/// several parts, which readers merge.
#[derive(Default)]
struct Inlined<'a> {
    within: &'a [u32],
    open: Vec<Open>,
}

impl<'a> Inlined<'a> {
    fn enter(&mut self, within: &'a [u32], out: &mut Vec<u8>) {
        if self.within != within {
            self.leave(out);
            self.open.extend(within.iter().map(|number| Open::begin(*number, out)));
            self.within = within;
        }
    }
    fn leave(&mut self, out: &mut Vec<u8>) {
        while let Some(open) = self.open.pop() {
            open.end_unless_empty(out);
        }
        self.within = &[];
    }
}

/// A name, looked up.
struct Name<'a> {
    shape: &'a ObjectShape,
    message: &'a Message,
}

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<(&'a Field, &'a Place)>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<(&'a Field, &'a Place)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.message.place(name).and_then(|place| Some((self.shape.fields.get(name)?, place))))
    }
}

/// The key of an entry, written; the entry stays open.
struct Key<'a> {
    number: u32,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Open;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Open, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Open;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<Open, E> {
        let open = Open::begin(self.number, self.out);
        bytes_field(1, key.as_bytes(), self.out);
        Ok(open)
    }
}
