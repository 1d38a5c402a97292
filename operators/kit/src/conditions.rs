//! Conditions: a list with one entry per type, whose transition time moves only when the status changes.
//!
//! Upstream: apimachinery `pkg/api/meta/conditions.go`, pkg/controller/deployment/util/deployment_util.go.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

/// A condition of any kind of object; absent fields are not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, `False` or `Unknown`.
    pub status: Box<str>,
    /// Generation it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Last heartbeat of a node condition.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub last_heartbeat_time: Option<Timestamp>,
    /// Last probe of a pod or job condition.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub last_probe_time: Option<Timestamp>,
    /// Last change of anything, in deployments.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub last_update_time: Option<Timestamp>,
    /// Last change of the status.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub last_transition_time: Option<Timestamp>,
    /// Reason in one word.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
    /// Text for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn seconds<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(crate::clock::rfc3339).serialize(serializer)
}

impl Condition {
    /// A condition that changed `now`.
    pub fn new(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Self {
        Self {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            last_transition_time: Some(now),
            ..Self::default()
        }
    }
    /// Whether its status is `True`.
    pub fn is_true(&self) -> bool {
        &*self.status == "True"
    }
}

/// The schema of a condition as `metav1.Condition` has it, but that a message may be absent: an empty one is not written.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "required": ["type", "status", "reason", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 316},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                "message": {"type": "string", "maxLength": 32768},
            },
        })
    }
}

/// The schema of a list of conditions, one of each type: `#[schemars(schema_with = "conditions::schema")]`.
#[cfg(feature = "schema")]
pub fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let condition = <Condition as schemars::JsonSchema>::json_schema(generator);
    schemars::json_schema!({
        "type": "array", "items": condition,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
    })
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| &*condition.kind == kind)
}

/// Whether the condition of a type is `True`.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(Condition::is_true)
}

/// Sets a condition in place, or appends it. The transition time of an equal status is kept. Whether anything but
/// times changed.
pub fn set(conditions: &mut Vec<Condition>, mut new: Condition) -> bool {
    let Some(old) = conditions.iter_mut().find(|old| old.kind == new.kind) else {
        conditions.push(new);
        return true;
    };
    if old.status == new.status {
        new.last_transition_time = old.last_transition_time;
    }
    let changed = old.status != new.status
        || old.reason != new.reason
        || old.message != new.message
        || old.observed_generation != new.observed_generation;
    *old = new;
    changed
}

/// Sets a condition as apps/v1 controllers do: nothing happens while status and reason are the same, and a changed
/// condition moves to the end.
pub fn set_by_reason(conditions: &mut Vec<Condition>, mut new: Condition) {
    if let Some(old) = find(conditions, &new.kind) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time = old.last_transition_time;
        }
    }
    remove(conditions, &new.kind);
    conditions.push(new);
}

/// Removes the condition of a type.
pub fn remove(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| &*condition.kind != kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let mut conditions = vec![];
        assert!(set(&mut conditions, Condition::new("Ready", "True", "A", "", at(1))));
        assert!(!set(&mut conditions, Condition::new("Ready", "True", "A", "", at(2))));
        assert!(set(&mut conditions, Condition::new("Ready", "True", "B", "", at(3))));
        assert_eq!(conditions[0].last_transition_time, Some(at(1)));
        assert!(set(&mut conditions, Condition::new("Ready", "False", "B", "", at(4))));
        assert_eq!((conditions.len(), conditions[0].last_transition_time), (1, Some(at(4))));
    }

    #[test]
    fn an_equal_reason_keeps_the_old_message() {
        let mut conditions = vec![Condition::new("A", "True", "R", "old", at(1))];
        set_by_reason(&mut conditions, Condition::new("A", "True", "R", "new", at(2)));
        assert_eq!(&*conditions[0].message, "old");
        set_by_reason(&mut conditions, Condition::new("A", "True", "S", "new", at(2)));
        assert_eq!((&*conditions[0].message, conditions[0].last_transition_time), ("new", Some(at(1))));
    }
}
