//! RFC 6902 JSON patch, as upstream's library reads it.
//!
//! Owns: decoding of the operations, their effect, upstream's limits and errors. Upstream differs from the RFC, and
//! clients rely on it: `replace` sets an absent field, a missing `value` is null, a `test` for null passes on an
//! absent field, `copy` of an absent field gives null, negative array indices count from the end, and the whole
//! document can be replaced or tested but not added to, copied or moved.
//! Upstream: apiserver `pkg/endpoints/handlers/patch.go` (`applyJSPatch`), `evanphx/json-patch.v4/patch.go`.

use super::unprocessable;
use crate::json::{self, MAX_DEPTH, MAX_ISSUES, StrictIssue};
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
    strict: Vec<String>,
}

impl JsonPatch {
    /// Decodes a patch body.
    ///
    /// Errors: 400 when it is not a list of objects, 413 when it has too many operations.
    pub fn parse(bytes: &[u8]) -> ApiResult<Self> {
        let parsed = json::parse(bytes).map_err(|_| ApiError::bad_request("invalid JSON patch"))?;
        let operations = decode_operations(parsed.value)?;
        if operations.len() > MAX_OPERATIONS {
            return Err(ApiError::too_large(format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            )));
        }
        let issues = unknown_fields(&operations).chain(parsed.issues).take(MAX_ISSUES);
        let strict = issues.map(|issue| format!("json patch {issue}")).collect();
        Ok(Self { operations, strict })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// What strict decoding finds, as upstream words it: `json patch unknown field "[0].foo"`.
    pub fn strict_errors(&self) -> &[String] {
        &self.strict
    }

    /// The patched document.
    ///
    /// Errors: 422 when an operation does not fit the document.
    pub fn apply(&self, doc: Value) -> ApiResult<Value> {
        self.try_apply(doc).map_err(|_| unprocessable())
    }

    /// The patched document.
    ///
    /// Errors: the first operation that does not fit the document.
    pub fn try_apply(&self, mut doc: Value) -> Result<Value, Misfit> {
        let mut copied = 0;
        for operation in &self.operations {
            run(&mut doc, operation, &mut copied).ok_or_else(|| Misfit::of(operation))?;
        }
        Ok(doc)
    }
}

/// An operation that does not fit a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What it does: `add`, `test`.
    pub operation: String,
    /// Where.
    pub path: String,
}

impl Misfit {
    fn of(operation: &Map<String, Value>) -> Self {
        let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { operation: text("op"), path: text("path") }
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} operation does not apply: doc is missing path: {}", self.operation, self.path)
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
pub fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn unknown_fields(operations: &[Map<String, Value>]) -> impl Iterator<Item = StrictIssue> {
    operations.iter().enumerate().flat_map(|(i, operation)| {
        let unknown = operation.keys().filter(|key| !KNOWN.contains(&key.as_str()));
        unknown.map(move |key| StrictIssue::Unknown(format!("[{i}].{key}")))
    })
}

/// Runs one operation; `None` when it does not fit.
fn run(doc: &mut Value, operation: &Map<String, Value>, copied: &mut usize) -> Option<()> {
    let text = |key: &str| operation.get(key)?.as_str();
    let value = || operation.get("value").cloned().unwrap_or_default();
    let path = text("path")?;
    match text("op")? {
        "add" => Place::find(doc, path)?.add(fitting(path, value())?),
        "remove" => Place::find(doc, path)?.remove().map(drop),
        "replace" => replace(doc, path, fitting(path, value())?),
        "test" => test(doc, path, &value()).then_some(()),
        "move" => {
            let value = Place::find(doc, text("from")?)?.remove()?;
            Place::find(doc, path)?.add(fitting(path, value)?)
        }
        "copy" => {
            let value = fitting(path, Place::find(doc, text("from")?)?.get()?.clone())?;
            let place = Place::find(doc, path)?;
            *copied += value.to_string().len();
            if *copied > MAX_COPY_BYTES {
                return None;
            }
            place.add(value)
        }
        _ => None,
    }
}

/// The value, unless the document would nest deeper at this path than any body may.
fn fitting(path: &str, value: Value) -> Option<Value> {
    let above = path.bytes().filter(|&byte| byte == b'/').count();
    (above + nesting(&value) <= MAX_DEPTH).then_some(value)
}

fn nesting(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(nesting).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

fn replace(doc: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *doc = Some(value).filter(|value| value.is_object() || value.is_array())?;
        return Some(());
    }
    match Place::find(doc, path)? {
        Place::Field(map, name) => drop(map.insert(name, value)),
        Place::Element(items, key) => *element(items, &key)? = value,
    }
    Some(())
}

fn test(doc: &mut Value, path: &str, expected: &Value) -> bool {
    if path.is_empty() {
        return doc == expected;
    }
    Place::find(doc, path).is_some_and(|place| place.get() == Some(expected))
}

/// What a path names: a field or an element that may or may not exist, in a container that does.
enum Place<'d> {
    Field(&'d mut Map<String, Value>, String),
    Element(&'d mut Vec<Value>, String),
}

impl<'d> Place<'d> {
    fn find(doc: &'d mut Value, path: &str) -> Option<Self> {
        let (parents, last) = path.rsplit_once('/')?;
        let mut container = doc;
        for token in parents.split('/').skip(1) {
            container = match container {
                Value::Object(map) => map.get_mut(&decoded(token))?,
                Value::Array(items) => element(items, token)?,
                _ => return None,
            };
        }
        match container {
            Value::Object(map) => Some(Self::Field(map, decoded(last))),
            Value::Array(items) => Some(Self::Element(items, decoded(last))),
            _ => None,
        }
    }

    /// The value; null for an absent field, nothing for an absent element.
    fn get(&self) -> Option<&Value> {
        match self {
            Self::Field(map, name) => Some(map.get(name).unwrap_or(&Value::Null)),
            Self::Element(items, key) => items.get(index(key, items.len())?),
        }
    }

    fn add(self, value: Value) -> Option<()> {
        match self {
            Self::Field(map, name) => drop(map.insert(name, value)),
            Self::Element(items, key) if key == "-" => items.push(value),
            Self::Element(items, key) => items.insert(index(&key, items.len() + 1)?, value),
        }
        Some(())
    }

    fn remove(self) -> Option<Value> {
        match self {
            Self::Field(map, name) => map.remove(&name),
            Self::Element(items, key) => index(&key, items.len()).map(|at| items.remove(at)),
        }
    }
}

fn decoded(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

fn element<'d>(items: &'d mut [Value], key: &str) -> Option<&'d mut Value> {
    let at = index(key, items.len())?;
    items.get_mut(at)
}

/// A position below `len`; negative ones count from the end.
fn index(text: &str, len: usize) -> Option<usize> {
    let at: i64 = text.parse().ok()?;
    let at = if at < 0 { at.checked_add(i64::try_from(len).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < len)
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
            {"op": "replace", "path": "/new", "value": "n"},
            {"op": "copy", "from": "/absent", "path": "/null"},
            {"op": "copy", "from": "/b", "path": "/d"},
            {"op": "move", "from": "/a", "path": "/e~1f"},
        ]);
        assert_eq!(
            run(doc, ops),
            Ok(json!({"b": {"c": "y"}, "d": {"c": "y"}, "e/f": [1, 2], "new": "n", "null": null}))
        );
    }

    #[test]
    fn misfits_are_422_with_upstreams_text() {
        let misfits = [
            json!([{"op": "test", "path": "/a", "value": 2}]),
            json!([{"op": "remove", "path": "/b"}]),
            json!([{"op": "replace", "path": "", "value": 1}]),
            json!([{"op": "add", "path": "", "value": {}}]),
            json!([{"op": "move", "from": "/a", "path": "/a/b"}]),
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
    fn copies_cannot_nest_without_end() {
        let into_itself =
            |n: usize| json!([{"op": "copy", "from": "/a", "path": format!("/a{}", "/a".repeat(n))}]);
        let mut doc = json!({"a": {"a": {}}});
        for n in [2, 4, 8, 16, 32] {
            doc = run(doc, into_itself(n)).unwrap();
        }
        assert_eq!(run(doc, into_itself(64)), Err(422));
    }

    #[test]
    fn strict_decoding_names_unknown_and_repeated_fields_and_not_too_many() {
        let body = br#"[{"op":"add","path":"/a","value":1,"foo":2},{"op":"add","path":"/b","path":"/c"}]"#;
        let told = ["json patch unknown field \"[0].foo\"", "json patch duplicate field \"[1].path\""];
        assert_eq!(JsonPatch::parse(body).unwrap().strict_errors(), told);
        let many: Map<String, Value> = (0..1000).map(|i| (format!("f{i}"), Value::Null)).collect();
        let patch = JsonPatch::parse(json!([many]).to_string().as_bytes()).unwrap();
        assert_eq!(patch.strict_errors().len(), MAX_ISSUES);
    }
}
