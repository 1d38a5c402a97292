//! Request bodies in Kubernetes' protobuf form, as values.
//!
//! Go clients send built-in types this way (kubectl does since 1.32); they all accept JSON answers, so answers are not
//! written this way. Which field has which number comes through [`WireTypes`], because this crate knows no concrete
//! kind. Invariant: the value is what the same object would be in JSON: zero values that Go leaves out are left out.
//! Malformed bytes are an error, never a panic; unknown fields are skipped, as protobuf does.
//! Upstream: apimachinery `pkg/runtime/serializer/protobuf`, `pkg/runtime/generated.proto` (`Unknown`).

mod decode;
mod scalars;
mod wire;

use proa_meta::{ApiError, ApiResult};
use serde_json::Value;

/// Knows the messages of built-in types.
pub trait WireTypes: Send + Sync {
    /// Fields of a type such as `io.k8s.api.core.v1.Pod`; none when there is no such type.
    fn fields(&self, type_name: &str) -> Option<Vec<WireField>>;
}

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireField {
    /// JSON name; none when the fields of its message belong to the owner in JSON.
    pub name: Option<&'static str>,
    /// Field number.
    pub tag: u32,
    /// What it holds.
    pub shape: WireShape,
    /// Go holds a pointer: its zero value is a value.
    pub pointer: bool,
}

/// What a field, list element or map value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireShape {
    /// Text.
    Text,
    /// Truth value.
    Boolean,
    /// Whole number.
    Integer,
    /// 64-bit float.
    Double,
    /// Bytes, base64 in JSON.
    Bytes,
    /// Seconds and nanoseconds, RFC 3339 to the second in JSON.
    Time,
    /// The same to the microsecond.
    MicroTime,
    /// Nanoseconds, Go's text form in JSON.
    Duration,
    /// Text in a message.
    Quantity,
    /// Number or text.
    IntOrString,
    /// JSON in a message.
    Json,
    /// `JSONSchemaPropsOrBool`: a flag, or a schema of this type.
    TypeOrFlag(&'static str),
    /// `JSONSchemaPropsOrArray`: a schema of this type, or several.
    TypeOrList(&'static str),
    /// `JSONSchemaPropsOrStringArray`: a schema of this type, or texts.
    TypeOrTexts(&'static str),
    /// A message.
    Type(&'static str),
    /// A list.
    List(Box<WireShape>),
    /// A map from text.
    Map(Box<WireShape>),
    /// A list in a message of its own.
    Wrapped(Box<WireShape>),
}

/// Knows none.
pub(crate) struct NoTypes;

impl WireTypes for NoTypes {
    fn fields(&self, _: &str) -> Option<Vec<WireField>> {
        None
    }
}

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// The object in a body, of the given type, with the `apiVersion` and `kind` that the body names.
pub(crate) fn decode(types: &dyn WireTypes, type_name: &str, kind: &str, body: &[u8]) -> ApiResult<Value> {
    let refused = |why: &str| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; {why}"
        ))
    };
    let envelope = body.strip_prefix(MAGIC).ok_or_else(|| {
        refused("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    })?;
    decode::envelope(types, type_name, kind, envelope).map_err(|why| refused(&why))
}

#[cfg(test)]
mod tests;
