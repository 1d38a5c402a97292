//! The envelope that names the type of an object: `k8s` and a zero byte, then a `runtime.Unknown`.

use super::{
    DecodeError, decode,
    reader::{Decoded, Reader},
    writer::{bytes_field, length_field, nested, varint_length},
};
use crate::schema::Schema;
use serde_json::{Map, Value};

const MAGIC: &[u8; 4] = b"k8s\0";

/// An object in its envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `apiVersion`; may be empty.
    pub api_version: &'a str,
    /// `kind`; may be empty.
    pub kind: &'a str,
    /// The message.
    pub raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens an envelope.
    ///
    /// # Errors
    /// No bytes, another beginning, or a broken message.
    pub fn open(body: &'a [u8]) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Err(DecodeError::of("empty data"));
        }
        let Some(message) = body.strip_prefix(MAGIC) else {
            return Err(DecodeError::of(
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
            ));
        };
        if message.is_empty() {
            return Err(DecodeError::of("empty body"));
        }
        Self::read(message)
    }

    fn read(message: &'a [u8]) -> Decoded<Self> {
        let mut found = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, payload)) = reader.field()? {
            match number {
                1 => found.read_type(payload.bytes()?)?,
                2 => found.raw = payload.bytes()?,
                // Encoding and type of the content are texts that upstream reads and does not look at either.
                3 | 4 => _ = payload.text()?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn read_type(&mut self, message: &'a [u8]) -> Decoded<()> {
        let mut reader = Reader::new(message);
        while let Some((number, payload)) = reader.field()? {
            match number {
                1 => self.api_version = payload.text()?,
                2 => self.kind = payload.text()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The object as JSON, with `apiVersion` and `kind` when the envelope names them.
    ///
    /// # Errors
    /// As [`decode`](super::decode()).
    pub fn object(&self, schema: &Schema) -> Result<Value, DecodeError> {
        let mut value = decode(schema, self.raw)?;
        self.name(&mut value);
        Ok(value)
    }

    /// Only `apiVersion` and `kind`, for bodies that are refused because of them.
    pub fn head(&self) -> Value {
        let mut value = Value::Object(Map::new());
        self.name(&mut value);
        value
    }

    fn name(&self, value: &mut Value) {
        let Some(map) = value.as_object_mut() else { return };
        for (name, text) in [("apiVersion", self.api_version), ("kind", self.kind)] {
            if !text.is_empty() {
                map.insert(name.to_owned(), Value::from(text));
            }
        }
    }
}

/// Appends an envelope around the message that `write` appends.
pub fn write_envelope<R>(
    api_version: &str,
    kind: &str,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> R,
) -> R {
    write_type(api_version, kind, out);
    let result = nested(2, out, write);
    end_envelope(out);
    result
}

/// Appends an envelope up to the message, which has `length` bytes; [`end_envelope`] belongs behind it.
pub fn begin_envelope(api_version: &str, kind: &str, length: usize, out: &mut Vec<u8>) {
    write_type(api_version, kind, out);
    length_field(2, length, out);
}

/// Appends what follows the message of an envelope: neither encoding nor content type.
pub fn end_envelope(out: &mut Vec<u8>) {
    bytes_field(3, b"", out);
    bytes_field(4, b"", out);
}

fn write_type(api_version: &str, kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    nested(1, out, |out| {
        bytes_field(1, api_version.as_bytes(), out);
        bytes_field(2, kind.as_bytes(), out);
    });
}

/// Numbers of the two fields that every list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListField {
    /// `metadata`.
    Metadata = 1,
    /// `items`.
    Items = 2,
}

/// Appends the beginning of a part of a list whose message has `length` bytes.
pub fn begin_list_field(field: ListField, length: usize, out: &mut Vec<u8>) {
    length_field(field as u32, length, out);
}

/// Appends a part of a list with the message that `write` appends.
pub fn write_list_field<R>(field: ListField, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    nested(field as u32, out, write)
}

/// How many bytes a part of a list takes whose message has `length` bytes.
pub const fn list_field_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

/// Appends a frame of a watch: four bytes of length, then a `WatchEvent` with the object that `write` appends.
pub fn write_frame<R>(event: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    bytes_field(1, event.as_bytes(), out);
    let result = nested(2, out, |out| nested(1, out, write));
    // No object is near four gigabytes.
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    result
}
