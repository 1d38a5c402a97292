//! The question to a conversion webhook, and what its answer is worth. Pure.
//!
//! Upstream: apiextensions `pkg/apiserver/conversion/webhook_converter.go`.

use proa_meta::{FieldErrors, FieldPath, names};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A ConversionReview that asks for `wanted`.
pub(super) fn question(version: &str, uid: &str, wanted: &str, objects: &[Value]) -> Value {
    json!({
        "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{version}"),
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Review {
    kind: String,
    api_version: String,
    response: Option<Response>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    uid: String,
    converted_objects: Vec<Value>,
    result: Outcome,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome {
    status: String,
    message: String,
}

/// The converted objects, one for each that was sent: of the wanted version, otherwise the same object.
///
/// # Errors
/// The webhook failed or its answer is none, in the form `failed: WHY` or `returned WHAT`.
pub(super) fn answer(
    body: &[u8],
    version: &str,
    uid: &str,
    wanted: &str,
    sent: &[Value],
) -> Result<Vec<Value>, String> {
    let failed = |why: String| format!("failed: {why}");
    let review: Review = serde_json::from_slice(body).map_err(|why| failed(why.to_string()))?;
    if version == "v1"
        && (review.kind != "ConversionReview" || review.api_version != "apiextensions.k8s.io/v1")
    {
        let found = format!("{}, Kind={}", review.api_version, review.kind);
        let expected = "apiextensions.k8s.io/v1, Kind=ConversionReview";
        return Err(failed(format!("expected webhook response of {expected}, got {found}")));
    }
    let Some(response) = review.response else { return Err(failed("no response provided".to_owned())) };
    if version == "v1" && response.uid != uid {
        return Err(failed(format!("expected response.uid={uid:?}, got {:?}", response.uid)));
    }
    if response.result.status != "Success" {
        let why = match response.result.message {
            text if text.is_empty() => {
                format!("response.result.status was '{}', not 'Success'", response.result.status)
            }
            text => text,
        };
        return Err(failed(why));
    }
    let converted = response.converted_objects;
    if converted.len() != sent.len() {
        return Err(format!("returned {} objects, expected {}", converted.len(), sent.len()));
    }
    let pairs = converted.into_iter().zip(sent).enumerate();
    let checked = pairs.map(|(i, (converted, sent))| {
        let invalid = |why| format!("returned invalid converted object at index {i}: {why}");
        check(&converted, sent, wanted).and_then(|()| restore(converted, sent)).map_err(invalid)
    });
    checked.collect()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

fn check(converted: &Value, sent: &Value, wanted: &str) -> Result<(), String> {
    let found = text(converted, "apiVersion");
    if found != wanted {
        return Err(format!("invalid groupVersion (expected {wanted}, received {found})"));
    }
    let (expected, found) = (text(sent, "kind"), text(converted, "kind"));
    if expected != found {
        return Err(format!("invalid kind (expected {expected}, received {found})"));
    }
    for (what, field) in [("name", "name"), ("namespace", "namespace"), ("UID", "uid")] {
        let (expected, found) = (text(&sent["metadata"], field), text(&converted["metadata"], field));
        if expected != found {
            return Err(format!("must have the same {what}: {expected} != {found}"));
        }
    }
    Ok(())
}

/// Of the metadata a webhook may change labels and annotations.
fn restore(mut converted: Value, sent: &Value) -> Result<Value, String> {
    let mut metadata = sent["metadata"].as_object().cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        let given = match &converted["metadata"][field] {
            Value::Null => {
                metadata.remove(field);
                continue;
            }
            Value::Object(given) => given,
            _ => return Err(format!("invalid metadata.{field} in converted object")),
        };
        if let Some((key, _)) = given.iter().find(|(_, value)| !value.is_string()) {
            return Err(format!("metadata.{field}[{key}] must be a string"));
        }
        if metadata.get(field).and_then(Value::as_object) != Some(given) {
            well_formed(field, given)?;
        }
        metadata.insert(field.to_owned(), Value::Object(given.clone()));
    }
    converted["metadata"] = Value::Object(metadata);
    Ok(converted)
}

fn well_formed(field: &str, given: &Map<String, Value>) -> Result<(), String> {
    let mut errors = FieldErrors::default();
    let root = FieldPath::root("metadata");
    let path = root.child(field);
    if field == "labels" {
        let pairs = given.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
        names::validate_labels(pairs, &path, &mut errors);
    } else {
        for key in given.keys() {
            names::validate_label_name(&key.to_lowercase(), &path, &mut errors);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.summary()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Vec<Value> {
        vec![json!({"apiVersion": "a.b/v1", "kind": "K", "hostPort": "h:1",
            "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "labels": {"a": "1"}}})]
    }

    fn read(response: &Value) -> Result<Vec<Value>, String> {
        let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
        answer(review.to_string().as_bytes(), "v1", "q", "a.b/v2", &sent())
    }

    fn done(object: &Value) -> Value {
        json!({"uid": "q", "result": {"status": "Success"}, "convertedObjects": [object]})
    }

    #[test]
    fn metadata_stays_but_for_labels_and_annotations() {
        let object = json!({"apiVersion": "a.b/v2", "kind": "K", "host": "h",
            "metadata": {"name": "n", "uid": "u", "generation": 9, "labels": {"b": "2"}}});
        let converted = read(&done(&object)).unwrap();
        assert_eq!(
            converted[0],
            json!({"apiVersion": "a.b/v2", "kind": "K", "host": "h",
                "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "labels": {"b": "2"}}})
        );
    }

    #[test]
    fn wrong_answers_are_told_in_upstreams_words() {
        let object = |change: (&str, Value)| {
            let mut object =
                json!({"apiVersion": "a.b/v2", "kind": "K", "metadata": {"name": "n", "uid": "u"}});
            *object.pointer_mut(change.0).unwrap() = change.1;
            done(&object)
        };
        let at = "returned invalid converted object at index 0";
        for (response, why) in [
            (Value::Null, "failed: no response provided".to_owned()),
            (json!({"uid": "x"}), "failed: expected response.uid=\"q\", got \"x\"".to_owned()),
            (json!({"uid": "q"}), "failed: response.result.status was '', not 'Success'".to_owned()),
            (json!({"uid": "q", "result": {"status": "Failure", "message": "no"}}), "failed: no".to_owned()),
            (
                json!({"uid": "q", "result": {"status": "Success"}}),
                "returned 0 objects, expected 1".to_owned(),
            ),
            (
                object(("/apiVersion", json!("a.b/v3"))),
                format!("{at}: invalid groupVersion (expected a.b/v2, received a.b/v3)"),
            ),
            (object(("/metadata/name", json!("m"))), format!("{at}: must have the same name: n != m")),
            (object(("/metadata/uid", json!("v"))), format!("{at}: must have the same UID: u != v")),
        ] {
            assert_eq!(read(&response), Err(why));
        }
        let labels = json!({"apiVersion": "a.b/v2", "kind": "K", "metadata": {"name": "n", "uid": "u",
            "labels": {"a b": "1"}}});
        assert!(
            read(&done(&labels)).unwrap_err().starts_with(&format!("{at}: metadata.labels: Invalid value"))
        );
    }
}
