//! Messages to values, driven by the types' fields.

use super::{
    WireField, WireShape, WireTypes, scalars,
    wire::{self, Piece, Reader},
};
use serde_json::{Map, Value, json};

/// Nesting beyond this is refused: no type but a schema nests without bound.
const DEEPEST: usize = 100;

/// `runtime.Unknown`: type, then the object's bytes.
pub(super) fn envelope(
    types: &dyn WireTypes,
    type_name: &str,
    kind: &str,
    bytes: &[u8],
) -> Result<Value, String> {
    let meta = wire::bytes(bytes, 1)?.unwrap_or_default();
    let text = |field| scalars::text(wire::bytes(meta, field)?.unwrap_or_default());
    let (found_version, found_kind) = (text(1)?, text(2)?);
    let mut object = Map::new();
    // An object of another kind is not read with this kind's fields; its names alone tell the handler.
    if found_kind == kind || found_kind == "" {
        let raw = wire::bytes(bytes, 2)?.unwrap_or_default();
        Decoder { types }.message(type_name, raw, &mut object, 0)?;
    }
    for (field, value) in [("apiVersion", found_version), ("kind", found_kind)] {
        if value != "" {
            object.insert(field.to_owned(), value);
        }
    }
    Ok(Value::Object(object))
}

struct Decoder<'a> {
    types: &'a dyn WireTypes,
}

impl Decoder<'_> {
    fn message(
        &self,
        type_name: &str,
        bytes: &[u8],
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("proto: nested too deeply".to_owned());
        }
        let fields = self.types.fields(type_name).ok_or_else(|| format!("no message {type_name}"))?;
        let mut reader = Reader(bytes);
        while let Some((tag, piece)) = reader.next()? {
            if let Some(field) = fields.iter().find(|f| f.tag == tag) {
                self.field(field, piece, out, depth)?;
            }
        }
        Ok(())
    }

    fn field(
        &self,
        field: &WireField,
        piece: Piece<'_>,
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        match (field.name, &field.shape, piece) {
            (None, WireShape::Type(inlined), Piece::Bytes(bytes)) => {
                self.message(inlined, bytes, out, depth + 1)
            }
            (None, ..) => Ok(()),
            (Some(name), WireShape::List(item), piece) => {
                let Value::Array(list) = out.entry(name).or_insert_with(|| json!([])) else { return Ok(()) };
                self.item(item, piece, list, depth)
            }
            (Some(name), WireShape::Map(value), Piece::Bytes(bytes)) => {
                let Value::Object(map) = out.entry(name).or_insert_with(|| json!({})) else { return Ok(()) };
                self.entry(value, bytes, map, depth)
            }
            (Some(name), shape, piece) => {
                let value = self.value(shape, piece, depth)?;
                if field.pointer || !is_zero(&value) {
                    out.insert(name.to_owned(), value);
                }
                Ok(())
            }
        }
    }

    /// A list element, or several numbers packed into one piece.
    fn item(
        &self,
        shape: &WireShape,
        piece: Piece<'_>,
        list: &mut Vec<Value>,
        depth: usize,
    ) -> Result<(), String> {
        match (shape, piece) {
            (WireShape::Integer | WireShape::Boolean, Piece::Bytes(packed)) => {
                let mut reader = Reader(packed);
                while !reader.0.is_empty() {
                    let number = Piece::Varint(reader.varint()?);
                    list.push(self.value(shape, number, depth)?);
                }
            }
            _ => list.push(self.value(shape, piece, depth)?),
        }
        Ok(())
    }

    fn entry(
        &self,
        shape: &WireShape,
        bytes: &[u8],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        let key = scalars::text(wire::bytes(bytes, 1)?.unwrap_or_default())?;
        let (mut reader, mut value) = (Reader(bytes), None);
        while let Some((tag, piece)) = reader.next()? {
            if tag == 2 {
                value = Some(self.value(shape, piece, depth)?);
            }
        }
        let value = value.map_or_else(|| self.value(shape, zero_piece(shape), depth), Ok)?;
        map.insert(key.as_str().unwrap_or_default().to_owned(), value);
        Ok(())
    }

    fn value(&self, shape: &WireShape, piece: Piece<'_>, depth: usize) -> Result<Value, String> {
        match (shape, piece) {
            (WireShape::Text, Piece::Bytes(bytes)) => scalars::text(bytes),
            (WireShape::Boolean, Piece::Varint(bits)) => Ok(json!(bits != 0)),
            (WireShape::Integer, Piece::Varint(bits)) => Ok(scalars::integer(bits)),
            (WireShape::Double, Piece::Fixed64(bits)) => Ok(scalars::double(bits)),
            (WireShape::Bytes, Piece::Bytes(bytes)) => Ok(scalars::base64(bytes)),
            (WireShape::Time, Piece::Bytes(bytes)) => scalars::time(bytes, false),
            (WireShape::MicroTime, Piece::Bytes(bytes)) => scalars::time(bytes, true),
            (WireShape::Duration, Piece::Bytes(bytes)) => scalars::duration(bytes),
            (WireShape::Quantity, Piece::Bytes(bytes)) => {
                scalars::text(wire::bytes(bytes, 1)?.unwrap_or_default())
            }
            (WireShape::IntOrString, Piece::Bytes(bytes)) => scalars::int_or_string(bytes),
            (WireShape::Json, Piece::Bytes(bytes)) => scalars::json(bytes),
            (WireShape::Type(name), Piece::Bytes(bytes)) => self.object(name, bytes, depth),
            (WireShape::TypeOrFlag(name), Piece::Bytes(bytes)) => match wire::bytes(bytes, 2)? {
                Some(schema) => self.object(name, schema, depth),
                None => Ok(json!(wire::number(bytes, 1)?.unwrap_or(0) != 0)),
            },
            (WireShape::TypeOrList(name), Piece::Bytes(bytes)) => match wire::bytes(bytes, 1)? {
                Some(schema) => self.object(name, schema, depth),
                None => self.wrapped(&WireShape::Type(name), 2, bytes, depth),
            },
            (WireShape::TypeOrTexts(name), Piece::Bytes(bytes)) => match wire::bytes(bytes, 1)? {
                Some(schema) => self.object(name, schema, depth),
                None => self.wrapped(&WireShape::Text, 2, bytes, depth),
            },
            (WireShape::Wrapped(inner), Piece::Bytes(bytes)) => match &**inner {
                WireShape::List(item) => self.wrapped(item, 1, bytes, depth),
                other => self.wrapped(other, 1, bytes, depth),
            },
            (shape, piece) => Err(format!("proto: {piece:?} where {shape:?} is expected")),
        }
    }

    fn object(&self, name: &str, bytes: &[u8], depth: usize) -> Result<Value, String> {
        let mut out = Map::new();
        self.message(name, bytes, &mut out, depth + 1)?;
        Ok(Value::Object(out))
    }

    /// A list in field `tag` of a message of its own.
    fn wrapped(&self, item: &WireShape, tag: u32, bytes: &[u8], depth: usize) -> Result<Value, String> {
        let (mut reader, mut list) = (Reader(bytes), Vec::new());
        while let Some((found, piece)) = reader.next()? {
            if found == tag {
                self.item(item, piece, &mut list, depth + 1)?;
            }
        }
        Ok(Value::Array(list))
    }
}

/// What stands for a map value that is left out because it is zero.
fn zero_piece(shape: &WireShape) -> Piece<'static> {
    match shape {
        WireShape::Boolean | WireShape::Integer => Piece::Varint(0),
        WireShape::Double => Piece::Fixed64(0),
        _ => Piece::Bytes(&[]),
    }
}

/// What Go leaves out of JSON: protobuf writes it all the same.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}
