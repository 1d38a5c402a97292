//! Values that are text in JSON.

use crate::{
    decode::duration,
    protobuf::writer::{Open, bytes_field, nested, varint_field},
    schema::Shape,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proa_meta::time::{MicroTime, Time};

/// Appends a field whose JSON is this text; text that the shape does not know is left out.
pub(super) fn write(number: u32, shape: &Shape, text: &str, out: &mut Vec<u8>) {
    match shape {
        Shape::String => bytes_field(number, text.as_bytes(), out),
        Shape::Bytes => base64(number, text, out),
        Shape::Time => {
            let Ok(time) = Time::parse(text) else { return };
            nested(number, out, |out| time_parts(time.timestamp().as_second(), 0, out));
        }
        Shape::MicroTime => {
            let Ok(time) = MicroTime::parse(text) else { return };
            // Parts before 1970 point in one direction; protobuf wants the fraction to count forward.
            let nanoseconds = time.timestamp().as_nanosecond();
            let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or_default();
            let rest = u64::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or_default();
            nested(number, out, |out| time_parts(seconds, rest, out));
        }
        Shape::Duration => {
            let Some(nanoseconds) = duration::parse(text) else { return };
            nested(number, out, |out| varint_field(1, nanoseconds.cast_unsigned(), out));
        }
        Shape::Quantity => nested(number, out, |out| bytes_field(1, text.as_bytes(), out)),
        Shape::IntOrString => nested(number, out, |out| {
            varint_field(1, 1, out);
            bytes_field(3, text.as_bytes(), out);
        }),
        Shape::Any
        | Shape::Boolean
        | Shape::Integer { .. }
        | Shape::Number
        | Shape::Object(_)
        | Shape::Map(_)
        | Shape::List(_) => {}
    }
}

/// What is not base64 is empty.
fn base64(number: u32, text: &str, out: &mut Vec<u8>) {
    let open = Open::begin(number, out);
    let start = out.len();
    if STANDARD.decode_vec(text, out).is_err() {
        out.truncate(start);
    }
    open.end(out);
}

/// Both always, for an empty message is Go's zero time and not 1970.
fn time_parts(seconds: i64, nanoseconds: u64, out: &mut Vec<u8>) {
    varint_field(1, seconds.cast_unsigned(), out);
    varint_field(2, nanoseconds, out);
}
