//! Who is asked again in the second round of mutation. Pure.
//!
//! Upstream: apiserver `pkg/admission/plugin/webhook/mutating/reinvocationcontext.go`.

use serde_json::Value;
use std::collections::HashSet;

/// What is remembered from the first round to the second.
#[derive(Debug, Default)]
pub(in crate::admission) struct Memory {
    /// The object after the last webhook of the first round.
    output: Option<Value>,
    /// Asked, and to be asked again if anything changes from now on.
    asked: HashSet<String>,
    /// To be asked again.
    again: HashSet<String>,
}

impl Memory {
    /// The second round begins with this object: when other plugins have changed it, whoever may be asked again is.
    pub(in crate::admission) fn start_second(&mut self, object: &Value) {
        if self.output.as_ref() != Some(object) {
            self.has_changed();
        }
    }
    /// A webhook that may be asked again was asked.
    pub(in crate::admission) fn was_asked(&mut self, uid: &str) {
        self.asked.insert(uid.to_owned());
    }
    /// The object changed: those asked before this have not seen it as it is.
    pub(in crate::admission) fn has_changed(&mut self) {
        self.again.extend(self.asked.drain());
    }
    /// Whether a webhook is asked in the second round.
    pub(in crate::admission) fn asks_again(&self, uid: &str) -> bool {
        self.again.contains(uid)
    }
    /// A round ends with this object.
    pub(in crate::admission) fn end_round(&mut self, object: &Value) {
        self.output = Some(object.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn those_who_came_before_a_change_are_asked_again() {
        let mut memory = Memory::default();
        memory.was_asked("first");
        memory.has_changed();
        memory.was_asked("second");
        memory.end_round(&json!({"a": 1}));
        memory.start_second(&json!({"a": 1}));
        assert!(memory.asks_again("first") && !memory.asks_again("second") && !memory.asks_again("never"));
    }

    #[test]
    fn a_change_by_other_plugins_asks_everyone_again() {
        let mut memory = Memory::default();
        memory.was_asked("first");
        memory.end_round(&json!({"a": 1}));
        memory.start_second(&json!({"a": 2}));
        assert!(memory.asks_again("first"));
    }
}
