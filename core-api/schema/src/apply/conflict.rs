//! Conflicts of an apply: fields that others own and that the configuration would change.
//!
//! Upstream: apimachinery `managedfields/internal/conflict.go`.

use super::{
    managed::{Entry, Operation},
    path_set::PathSet,
};
use crate::patch::go_text;
use proa_meta::{
    ApiError, Reason,
    status::{Cause, Details},
};

/// What one manager owns of the fields in conflict.
pub(super) struct Conflict {
    /// As messages name the manager.
    manager: String,
    /// Managers are listed in the order of this text.
    identifier: String,
    /// Fields in conflict.
    pub(super) fields: PathSet,
}

impl Conflict {
    /// Fields of `entry` that are also in `changed`.
    pub(super) fn of(entry: &Entry, changed: &PathSet) -> Option<Self> {
        let fields = entry.fields.intersection(changed);
        (!fields.is_empty()).then(|| Self {
            manager: describe(entry),
            identifier: entry.identifier(),
            fields,
        })
    }
}

fn describe(entry: &Entry) -> String {
    let mut text = go_text::quoted(&entry.manager);
    if !entry.subresource.is_empty() {
        text = format!("{text} with subresource {}", go_text::quoted(&entry.subresource));
    }
    match entry.operation {
        Operation::Update => format!("{text} using {}", entry.api_version),
        Operation::Apply => text,
    }
}

/// 409 with one cause per field.
pub(super) fn error(mut conflicts: Vec<Conflict>) -> ApiError {
    conflicts.sort_by(|a, b| a.identifier.cmp(&b.identifier));
    let causes: Vec<Cause> = conflicts.iter().flat_map(causes).collect();
    let message = match causes.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        _ => {
            let lines: Vec<String> = conflicts.iter().flat_map(lines).collect();
            format!("Apply failed with {} conflicts: {}", causes.len(), lines.join("\n"))
        }
    };
    ApiError::new(Reason::Conflict, message).with_details(Details { causes, ..Details::default() })
}

fn causes(conflict: &Conflict) -> Vec<Cause> {
    let cause = |field| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", conflict.manager),
        field,
    };
    conflict.fields.paths().into_iter().map(cause).collect()
}

fn lines(conflict: &Conflict) -> Vec<String> {
    let head = format!("conflicts with {}:", conflict.manager);
    std::iter::once(head).chain(conflict.fields.paths().iter().map(|path| format!("- {path}"))).collect()
}
