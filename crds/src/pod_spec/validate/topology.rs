//! Topology spread constraints.

use super::scheduling;
use crate::{cursor::Cursor, selector};
use proa_meta::FieldErrors;

/// `topologySpreadConstraints`.
pub(super) fn constraints(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for (i, constraint) in list.items().enumerate() {
        constraint.get("maxSkew").positive(errors);
        let (key, action) = (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"));
        if key.is_empty() {
            key.required(errors, "can not be empty");
        }
        action.enumeration(errors, &["DoNotSchedule", "ScheduleAnyway"]);
        let again = |other: &serde_json::Value| {
            other["topologyKey"] == key.text() && other["whenUnsatisfiable"] == action.text()
        };
        if list.list()[i + 1..].iter().any(again) {
            let shown = format!("{{{}, {}}}", key.text(), action.text()).into();
            constraint.get("{topologyKey, whenUnsatisfiable}").with(&shown).duplicate(errors);
        }
        min_domains(&constraint, action.text(), errors);
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            constraint.get(policy).opt_one_of(errors, &["Honor", "Ignore"]);
        }
        scheduling::label_keys(&constraint, errors);
        selector::validate(&constraint.get("labelSelector"), errors);
    }
}

fn min_domains(constraint: &Cursor<'_, '_>, action: &str, errors: &mut FieldErrors) {
    let Some(min) = constraint.present("minDomains") else { return };
    min.positive(errors);
    if action != "DoNotSchedule" {
        let text = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        min.invalid(errors, &text);
    }
}
