//! A policy under one of its bindings with one object of parameters: conditions and validations, evaluated. Pure.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/validating/validator.go`,
//! `pkg/admission/plugin/webhook/matchconditions/matcher.go`.

use proa_meta::Reason;
use proa_schema::policy::{Expression, Scope};

/// An expression, or why there is none: it was compiled by another version of the server.
pub(in crate::admission) type Compiled = Result<Expression, String>;

/// The longest text that an expression may make for a message.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// Whether all conditions are true. One that is false decides, whatever others could not be evaluated.
///
/// # Errors
/// What could not be evaluated.
pub(in crate::admission) fn all_hold<'a>(
    conditions: &'a [Compiled],
    scope: &Scope<'a>,
) -> Result<bool, String> {
    let mut problems = Vec::new();
    for condition in conditions {
        match evaluate(condition, |condition| condition.is_true(scope)) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => problems.push(why),
        }
    }
    match problems.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

/// One validation.
pub(super) struct Validation {
    pub(super) expression: Compiled,
    /// The expression as it is written, for the message of last resort.
    pub(super) text: String,
    pub(super) message: String,
    pub(super) message_expression: Option<Compiled>,
    pub(super) reason: Option<Reason>,
}

/// One annotation for the audit log.
pub(super) struct Annotation {
    pub(super) text: String,
    pub(super) expression: Compiled,
}

/// Why a validation does not let a request pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) reason: Reason,
    /// It could not be evaluated: the policy's failure policy counts.
    pub(super) is_error: bool,
}

impl Failure {
    /// Of something that could not be evaluated.
    pub(super) const fn error(message: String) -> Self {
        Self { message, reason: Reason::Invalid, is_error: true }
    }
}

impl Validation {
    /// Why it does not hold; none when it does.
    pub(super) fn failure<'a>(&'a self, scope: &Scope<'a>) -> Option<Failure> {
        match evaluate(&self.expression, |expression| expression.is_true(scope)) {
            Ok(true) => None,
            Ok(false) => Some(Failure {
                message: self.explanation(scope),
                reason: self.reason.unwrap_or(Reason::Invalid),
                is_error: false,
            }),
            Err(why) => Some(Failure::error(why)),
        }
    }

    /// The text of its message expression if that makes one, else its message, else its expression.
    fn explanation<'a>(&'a self, scope: &Scope<'a>) -> String {
        let made = self.message_expression.as_ref().and_then(|made| made.as_ref().ok());
        let made = made.and_then(|made| made.text(scope).ok().flatten());
        let made = made.map(|text| text.trim().to_owned());
        let fits = |text: &String| !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n');
        match (made.filter(fits), self.message.trim()) {
            (Some(made), _) => made,
            (None, "") => format!("failed expression: {}", self.text.trim()),
            (None, message) => message.to_owned(),
        }
    }
}

impl Annotation {
    /// Why there is no annotation; there is no audit log that would take one.
    pub(super) fn failure<'a>(&'a self, scope: &Scope<'a>) -> Option<Failure> {
        let made = evaluate(&self.expression, |expression| expression.annotation(scope));
        match made {
            Ok(Ok(_)) => None,
            Ok(Err(found)) => Some(Failure {
                message: format!(
                    "valueExpression '{}' resulted in unsupported return type: {found}. Return type must be either \
                     string or null.",
                    self.text
                ),
                reason: Reason::Invalid,
                is_error: false,
            }),
            Err(why) => Some(Failure::error(why)),
        }
    }
}

/// Evaluates what was compiled.
pub(super) fn evaluate<'a, T>(
    compiled: &'a Compiled,
    value: impl FnOnce(&'a Expression) -> Result<T, String>,
) -> Result<T, String> {
    match compiled {
        Ok(expression) => value(expression),
        Err(why) => Err(format!("compilation error: {why}")),
    }
}
