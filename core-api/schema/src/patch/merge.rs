//! RFC 7386 JSON merge patch.
//!
//! As upstream: what is new to the document loses its nulls, also inside lists of objects; a list that is replaced by
//! another value loses them too. Upstream: `evanphx/json-patch.v4/merge.go`, apiserver
//! `pkg/endpoints/handlers/patch.go`.

use super::json_patch::json_kind;
use proa_meta::{ApiError, ApiResult};
use serde_json::{Map, Value};

/// Decodes and applies a merge patch body.
///
/// Errors: 400 when it is not a JSON object.
pub fn merge_patch(mut doc: Value, bytes: &[u8]) -> ApiResult<Value> {
    let patch: Value =
        serde_json::from_slice(bytes).map_err(|_| ApiError::bad_request("invalid JSON patch"))?;
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_kind(&patch)
        )));
    };
    merge(&mut doc, Value::Object(patch));
    Ok(doc)
}

/// Applies a decoded merge patch.
pub fn merge(doc: &mut Value, patch: Value) {
    match (doc, patch) {
        (Value::Object(doc), Value::Object(patch)) => merge_objects(doc, patch),
        (doc @ Value::Object(_), patch) => *doc = patch,
        (doc, mut patch) => {
            drop_nulls(&mut patch);
            *doc = patch;
        }
    }
}

fn merge_objects(doc: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, mut value) in patch {
        if value.is_null() {
            doc.remove(&key);
            continue;
        }
        match doc.get_mut(&key) {
            Some(current) if !current.is_null() => merge(current, value),
            _ => {
                drop_nulls(&mut value);
                doc.insert(key, value);
            }
        }
    }
}

/// Removes null fields everywhere; null list elements stay.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(mut doc: Value, patch: Value) -> Value {
        merge(&mut doc, patch);
        doc
    }

    #[test]
    fn merges_deeply_and_removes_by_null() {
        let doc = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"});
        let patch = json!({"a": {"b": null, "n": {"x": null, "y": [{"z": null}]}}, "d": [3], "e": null});
        assert_eq!(merged(doc, patch), json!({"a": {"c": 2, "n": {"y": [{}]}}, "d": [3]}));
    }

    #[test]
    fn a_scalar_gives_way_to_an_object_and_back() {
        assert_eq!(merged(json!({"a": 1}), json!({"a": {"b": null, "c": 1}})), json!({"a": {"c": 1}}));
        assert_eq!(merged(json!({"a": {"b": 1}}), json!({"a": 1})), json!({"a": 1}));
    }

    #[test]
    fn a_body_that_is_no_object_is_400() {
        for body in [&b"[]"[..], b"null", b"1", b"{"] {
            assert_eq!(merge_patch(json!({}), body).unwrap_err().code(), 400);
        }
    }
}
