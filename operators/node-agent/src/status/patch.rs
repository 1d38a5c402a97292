//! From the status that the API has to the one it shall have: a strategic merge patch of what differs.
//!
//! Only differences are sent, so conditions of others that changed meanwhile stay. Upstream: pkg/util/pod/pod.go.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// Lists that the API merges by a key.
const KEYED: [(&str, &str); 3] = [("conditions", "type"), ("hostIPs", "ip"), ("podIPs", "ip")];

/// The patch of a status; `None` when nothing differs.
pub(crate) fn between(old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (old, new) = (fields(old), fields(new));
    let mut patch = Map::new();
    for (name, value) in &new {
        if old.get(name) != Some(value) {
            patch.insert(name.clone(), changed(name, old.get(name), value));
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn fields(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        // A status is a struct of plain fields.
        _ => Map::new(),
    }
}

fn changed(name: &str, old: Option<&Value>, new: &Value) -> Value {
    let Some((_, key)) = KEYED.iter().find(|(list, _)| *list == name) else { return new.clone() };
    let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let new = new.as_array().map_or(&[][..], Vec::as_slice);
    let same = |a: &Value, b: &Value| a[*key] == b[*key];
    let gone = old.iter().filter(|old| !new.iter().any(|new| same(old, new)));
    let gone = gone.map(|old| json!({"$patch": "delete", *key: old[*key]}));
    let kept = new.iter().filter(|new| !old.contains(new)).map(|new| {
        let mut new = new.clone();
        let before = old.iter().find(|old| same(old, &new)).and_then(Value::as_object);
        // A merge keeps what the patch does not name.
        for field in before.into_iter().flat_map(Map::keys) {
            if new.get(field).is_none() {
                new[field] = Value::Null;
            }
        }
        new
    });
    kept.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_differs_is_sent() {
        let old = status(json!({"phase": "Pending", "reason": "X", "podIPs": [{"ip": "10.0.0.1"}],
            "hostIPs": [{"ip": "192.0.2.1"}], "conditions": [{"type": "Ready", "status": "False", "reason": "A"}, {"type": "Other", "status": "True"}]}));
        assert_eq!(between(&old, &old), None);
        let new = status(json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.2"}],
            "hostIPs": [{"ip": "192.0.2.2"}], "conditions": [{"type": "Other", "status": "True"}, {"type": "Ready", "status": "True"}]}));
        let want = json!({"phase": "Running", "reason": null,
            "podIPs": [{"ip": "10.0.0.2"}, {"$patch": "delete", "ip": "10.0.0.1"}],
            "hostIPs": [{"ip": "192.0.2.2"}, {"$patch": "delete", "ip": "192.0.2.1"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": null}]});
        assert_eq!(between(&old, &new), Some(want));
    }
}
