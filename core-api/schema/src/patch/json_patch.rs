//! RFC 6902 JSON patch.
//!
//! Owns: decoding of the operations, upstream's limits, and errors in upstream's words. The operations themselves are
//! the `json-patch` crate's. Differences that are kept from upstream: `value` may be left out (null), a `test` for
//! null passes on an absent field, negative array indices count from the end.
//! Upstream: apiserver `pkg/endpoints/handlers/patch.go` (`applyJSPatch`), `evanphx/json-patch.v4/patch.go`.

use super::unprocessable;
use json_patch::PatchOperation;
use proa_meta::{ApiError, ApiResult};
use serde_json::{Map, Value};

/// Most operations in one patch.
const MAX_OPERATIONS: usize = 10_000;
/// Most bytes that all `copy` operations of one patch may add.
const MAX_COPY_BYTES: usize = 3 * 1024 * 1024;
const KNOWN: [&str; 4] = ["op", "path", "from", "value"];

/// Decoded operations: decode once, apply to every version of the object that a retry reads.
#[derive(Clone, Debug)]
pub struct JsonPatch {
    operations: Vec<Map<String, Value>>,
    unknown: Vec<String>,
}

impl JsonPatch {
    /// Decodes a patch body.
    ///
    /// Errors: 400 when it is not a list of objects, 413 when it has too many operations.
    pub fn parse(bytes: &[u8]) -> ApiResult<Self> {
        let value: Value =
            serde_json::from_slice(bytes).map_err(|_| ApiError::bad_request("invalid JSON patch"))?;
        let operations = decode_operations(value)?;
        if operations.len() > MAX_OPERATIONS {
            return Err(ApiError::too_large(format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            )));
        }
        let unknown = unknown_fields(&operations);
        Ok(Self { operations, unknown })
    }

    /// What strict decoding finds, as upstream words it: `json patch unknown field "[0].foo"`.
    pub fn strict_errors(&self) -> &[String] {
        &self.unknown
    }

    /// The patched document.
    ///
    /// Errors: 422 when an operation does not fit the document.
    pub fn apply(&self, mut doc: Value) -> ApiResult<Value> {
        let mut copied = 0;
        for operation in &self.operations {
            if !passes_as_null(&doc, operation) {
                let operation = typed(&doc, operation).ok_or_else(unprocessable)?;
                copied += copy_size(&doc, &operation);
                if copied > MAX_COPY_BYTES {
                    return Err(unprocessable());
                }
                json_patch::patch_unsafe(&mut doc, std::slice::from_ref(&operation))
                    .map_err(|_| unprocessable())?;
            }
        }
        Ok(doc)
    }
}

/// Decodes and applies a JSON patch body.
pub fn json_patch(doc: Value, bytes: &[u8]) -> ApiResult<Value> {
    JsonPatch::parse(bytes)?.apply(doc)
}

fn decode_operations(value: Value) -> ApiResult<Vec<Map<String, Value>>> {
    let wrong = |what: &str, into: &str| {
        ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {what} into Go value of type {into}"
        ))
    };
    let Value::Array(items) = value else {
        return Err(wrong(json_kind(&value), "[]handlers.jsonPatchOp"));
    };
    let decode = |item: Value| match item {
        Value::Object(map) => Ok(map),
        other => Err(wrong(json_kind(&other), "handlers.jsonPatchOp")),
    };
    items.into_iter().map(decode).collect()
}

/// Go's word for a JSON value in decoding errors.
pub(super) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn unknown_fields(operations: &[Map<String, Value>]) -> Vec<String> {
    let mut found = Vec::new();
    for (i, operation) in operations.iter().enumerate() {
        let unknown = operation.keys().filter(|key| !KNOWN.contains(&key.as_str()));
        found.extend(unknown.map(|key| format!("json patch unknown field \"[{i}].{key}\"")));
    }
    found
}

/// A `test` that expects null of a field that is absent.
fn passes_as_null(doc: &Value, operation: &Map<String, Value>) -> bool {
    let text = |key| operation.get(key).and_then(Value::as_str);
    let expects_null = operation.get("value").is_none_or(Value::is_null);
    let Some(path) = text("path") else { return false };
    let parent = path.rsplit_once('/').map(|(parent, _)| parent);
    text("op") == Some("test")
        && expects_null
        && doc.pointer(path).is_none()
        && parent.and_then(|parent| doc.pointer(parent)).is_some_and(Value::is_object)
}

fn typed(doc: &Value, operation: &Map<String, Value>) -> Option<PatchOperation> {
    let mut operation = operation.clone();
    operation.entry("value").or_insert(Value::Null);
    for key in ["path", "from"] {
        if let Some(Value::String(path)) = operation.get_mut(key) {
            *path = resolve_negative(doc, path);
        }
    }
    serde_json::from_value(Value::Object(operation)).ok()
}

/// Rewrites negative array indices to positive ones; a path that leads nowhere is left for the operation to refuse.
fn resolve_negative(doc: &Value, path: &str) -> String {
    if !path.starts_with('/') || !path.contains("/-") {
        return path.to_owned();
    }
    let mut out = String::with_capacity(path.len());
    for token in path.split('/').skip(1) {
        let len = doc.pointer(&out).and_then(Value::as_array).map(Vec::len);
        let back = token.strip_prefix('-').and_then(|digits| digits.parse::<usize>().ok());
        out.push('/');
        match (len, back) {
            (Some(len), Some(back)) if (1..=len).contains(&back) => out.push_str(&(len - back).to_string()),
            _ => out.push_str(token),
        }
    }
    out
}

fn copy_size(doc: &Value, operation: &PatchOperation) -> usize {
    match operation {
        PatchOperation::Copy(copy) => {
            doc.pointer(copy.from.as_str()).map_or(0, |value| value.to_string().len())
        }
        _ => 0,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tests make values in place")]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(doc: Value, ops: Value) -> Result<Value, u16> {
        json_patch(doc, ops.to_string().as_bytes()).map_err(|e| e.code())
    }

    #[test]
    fn operations_work() {
        let doc = json!({"a": [1, 2], "b": {"c": "x"}});
        let ops = json!([
            {"op": "test", "path": "/b/c", "value": "x"},
            {"op": "test", "path": "/b/absent"},
            {"op": "add", "path": "/a/-", "value": 3},
            {"op": "remove", "path": "/a/-1"},
            {"op": "replace", "path": "/b/c", "value": "y"},
            {"op": "copy", "from": "/b", "path": "/d"},
            {"op": "move", "from": "/a", "path": "/e~1f"},
        ]);
        assert_eq!(run(doc, ops), Ok(json!({"b": {"c": "y"}, "d": {"c": "y"}, "e/f": [1, 2]})));
    }

    #[test]
    fn misfits_are_422_with_upstreams_text() {
        let misfits = [
            json!([{"op": "test", "path": "/a", "value": 2}]),
            json!([{"op": "remove", "path": "/b"}]),
            json!([{"op": "replace", "path": "/b", "value": 1}]),
            json!([{"op": "add", "path": "/b/c", "value": 1}]),
            json!([{"op": "frob", "path": "/a"}]),
            json!([{"path": "/a"}]),
            json!([{"op": "remove", "path": "a"}]),
            json!([{"op": "remove", "path": ""}]),
        ];
        for ops in misfits {
            let error = json_patch(json!({"a": 1}), ops.to_string().as_bytes()).unwrap_err();
            assert_eq!(error.code(), 422, "{ops}");
            assert_eq!(error.message(), "the server rejected our request due to an error in our request");
        }
    }

    #[test]
    fn malformed_is_400() {
        assert_eq!(json_patch(json!({}), b"[").unwrap_err().message(), "invalid JSON patch");
        assert_eq!(run(json!({}), json!({"op": "add"})), Err(400));
        assert_eq!(run(json!({}), json!([1])), Err(400));
    }

    #[test]
    fn limits_hold() {
        let many = vec![json!({"op": "test", "path": "/a", "value": 1}); MAX_OPERATIONS + 1];
        assert_eq!(run(json!({"a": 1}), Value::Array(many)), Err(413));
        let doubling = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 40];
        assert_eq!(run(json!({"a": ["xxxxxxxxxxxxxxxx"]}), Value::Array(doubling)), Err(422));
    }

    #[test]
    fn strict_decoding_names_unknown_fields() {
        let patch = JsonPatch::parse(br#"[{"op":"add","path":"/a","value":1,"foo":2}]"#).unwrap();
        assert_eq!(patch.strict_errors(), ["json patch unknown field \"[0].foo\""]);
    }
}
