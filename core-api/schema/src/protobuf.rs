//! Kubernetes' protobuf: objects of built-in kinds as messages.
//!
//! A message holds the same value as the JSON form; which field has which number, and which structs Go takes into
//! their owner but protobuf nests, is in the [`Schema`](crate::Schema). Both directions are pure.
//! Invariants: no input panics, recursion is bounded by [`MAX_DEPTH`], memory by the size of the input. What was
//! encoded from canonical JSON decodes to it again, except that an empty list or map is an absent one.
//! Deliberately absent: custom kinds (they have no field numbers), defaults, groups (no type has one).
//! Upstream: apimachinery `pkg/runtime/serializer/protobuf`, `pkg/runtime/types_proto.go`, the generated.proto files.

mod decode;
mod encode;
mod envelope;
mod message;
mod reader;
mod writer;

pub use decode::decode;
pub use encode::{encode, encode_json};
pub use envelope::{
    Envelope, ListField, begin_envelope, begin_list_field, end_envelope, list_field_length, write_envelope,
    write_frame, write_list_field,
};
pub use message::{Message, Part, Wire};
pub use reader::DecodeError;

use crate::schema::{Schema, Shape};

/// Media type of objects in this form.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Deepest nesting of messages that is read.
pub const MAX_DEPTH: usize = 100;

/// Whether objects of this schema have a protobuf form.
pub fn is_message(schema: &Schema) -> bool {
    match &schema.shape {
        Shape::Object(object) => object.message.as_ref().is_some_and(|message| !message.is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
