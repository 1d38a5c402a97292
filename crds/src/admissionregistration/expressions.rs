//! Expressions of policies, checked by compiling them: each problem stands at its field.
//!
//! What an older version of the object already had is compiled like anything else. Upstream:
//! `validateVariable`, `validateMatchConditions` of `pkg/apis/admissionregistration/validation/validation.go`.

use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use proa_schema::{
    cel::is_identifier,
    policy::{Compiler, Role},
};
use std::collections::BTreeSet;

const MOST_CONDITIONS: usize = 64;
/// Compiles the text of a field, shown as it was given.
pub(super) fn compiles(at: &Cursor<'_, '_>, role: Role, compiler: &Compiler, errors: &mut FieldErrors) {
    if let Err(why) = compiler.compile(at.text(), role) {
        at.invalid(errors, &why);
    }
}

/// The same without the blanks around the text.
pub(super) fn trimmed_compiles(
    at: &Cursor<'_, '_>,
    role: Role,
    compiler: &Compiler,
    errors: &mut FieldErrors,
) {
    let text = at.text().trim();
    if text.is_empty() {
        at.required(errors, "");
    } else if let Err(why) = compiler.compile(text, role) {
        at.with(&text.into()).invalid(errors, &why);
    }
}

/// Validates variables and declares them for the expressions that follow.
pub(super) fn variables(list: &Cursor<'_, '_>, compiler: &mut Compiler, errors: &mut FieldErrors) {
    for variable in list.items() {
        let name = variable.get("name");
        if name.text().trim().is_empty() {
            name.required(errors, "name is not specified");
        } else if !is_identifier(name.text()) {
            name.invalid(errors, "must be a valid CEL identifier");
        }
        let expression = variable.get("expression");
        if expression.text().trim().is_empty() {
            expression.required(errors, "expression is not specified");
        } else if let Err(why) = compiler.declare(name.text(), expression.text()) {
            expression.invalid(errors, &why);
        }
    }
}

/// Validates match conditions; they know no variables.
pub(super) fn conditions(list: &Cursor<'_, '_>, has_params: bool, errors: &mut FieldErrors) {
    let compiler = Compiler::new(has_params);
    if list.list().len() > MOST_CONDITIONS {
        errors.too_many(list.path(), list.list().len(), MOST_CONDITIONS);
    }
    let mut seen = BTreeSet::new();
    for condition in list.items() {
        trimmed_compiles(&condition.get("expression"), Role::Condition, &compiler, errors);
        let name = condition.get("name");
        if name.must_be_set(errors) {
            name.named(errors, names::is_qualified_name);
            if !seen.insert(name.text()) {
                name.duplicate(errors);
            }
        }
    }
}
