//! What a definition's status should say. Pure.
//!
//! Upstream: apiextensions `pkg/controller/status/naming_controller.go`, `pkg/controller/establish`.

use serde_json::{Value, json};

/// The names a definition asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) short_names: Vec<String>,
}

impl Names {
    pub(super) fn of(definition: &Value) -> Self {
        let names = &definition["spec"]["names"];
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let list = |v: &Value| v.as_array().into_iter().flatten().map(text).collect();
        Self {
            group: text(&definition["spec"]["group"]),
            plural: text(&names["plural"]),
            singular: text(&names["singular"]),
            kind: text(&names["kind"]),
            list_kind: text(&names["listKind"]),
            short_names: list(&names["shortNames"]),
        }
    }
}

/// Whether a condition is `True`.
pub(super) fn is_true(definition: &Value, condition: &str) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions.is_some_and(|c| c.iter().any(|c| c["type"] == condition && c["status"] == "True"))
}

/// The definition with its status brought up to date; none when it already is.
pub(super) fn settle(
    definition: &Value,
    conflict: &dyn Fn(&Names) -> Option<(&'static str, String)>,
    now: &str,
) -> Option<Value> {
    let mut settled = definition.clone();
    match conflict(&Names::of(definition)) {
        None => {
            settled["status"]["acceptedNames"] = definition["spec"]["names"].clone();
            set(&mut settled, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
            set(
                &mut settled,
                "Established",
                true,
                "InitialNamesAccepted",
                "the initial names have been accepted",
                now,
            );
        }
        Some((reason, message)) => {
            set(&mut settled, "NamesAccepted", false, reason, &message, now);
            if !is_true(definition, "Established") {
                set(&mut settled, "Established", false, "NotAccepted", "not all names are accepted", now);
            }
        }
    }
    store_versions(&mut settled);
    (settled != *definition).then_some(settled)
}

/// The storage version is remembered for as long as objects may be stored in it.
fn store_versions(definition: &mut Value) {
    let versions = definition["spec"]["versions"].as_array();
    let storage = versions.into_iter().flatten().find(|v| v["storage"] == true).map(|v| v["name"].clone());
    let Some(storage) = storage else { return };
    match definition["status"]["storedVersions"].as_array_mut() {
        Some(stored) if stored.contains(&storage) => {}
        Some(stored) => stored.push(storage),
        None => definition["status"]["storedVersions"] = json!([storage]),
    }
}

fn set(definition: &mut Value, kind: &str, holds: bool, reason: &str, message: &str, now: &str) {
    let status = if holds { "True" } else { "False" };
    if !definition["status"]["conditions"].is_array() {
        definition["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = definition["status"]["conditions"].as_array_mut() else { return };
    let present = conditions.iter_mut().find(|c| c["type"] == kind);
    let changed = present.as_ref().is_none_or(|c| c["status"] != status);
    let since = match &present {
        Some(c) if !changed => c["lastTransitionTime"].clone(),
        _ => json!(now),
    };
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    });
    match present {
        // The reason of an established definition stays what it was.
        Some(c) if !changed && kind == "Established" => {
            let _ = c;
        }
        Some(c) => *c = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({"spec": {"group": "stable.example.com",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"},
            "versions": [{"name": "v1", "served": true, "storage": true}]}, "status": {}})
    }

    #[test]
    fn free_names_are_accepted_once() {
        let settled = settle(&definition(), &|_| None, "t1").expect("changed");
        assert!(is_true(&settled, "Established") && is_true(&settled, "NamesAccepted"));
        assert_eq!(settled["status"]["storedVersions"], json!(["v1"]));
        assert_eq!(settle(&settled, &|_| None, "t2"), None, "settled is stable");
    }

    #[test]
    fn taken_names_are_refused() {
        let taken = |_: &Names| Some(("PluralConflict", "\"crontabs\" is already in use".to_owned()));
        let settled = settle(&definition(), &taken, "t1").expect("changed");
        assert!(!is_true(&settled, "Established"));
        assert_eq!(settled["status"]["conditions"][0]["reason"], "PluralConflict");
    }
}
