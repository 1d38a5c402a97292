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
    pub(super) key: String,
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
    /// Its text, if it has one.
    ///
    /// # Errors
    /// Why it cannot have one.
    pub(super) fn made<'a>(&'a self, scope: &Scope<'a>) -> Result<Option<String>, Failure> {
        let made = evaluate(&self.expression, |expression| expression.annotation(scope));
        match made {
            Ok(Ok(text)) => Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())),
            Ok(Err(found)) => Err(Failure {
                message: format!(
                    "valueExpression '{}' resulted in unsupported return type: {found}. Return type must be either \
                     string or null.",
                    self.text
                ),
                reason: Reason::Invalid,
                is_error: false,
            }),
            Err(why) => Err(Failure::error(why)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proa_schema::policy::{Answer, Authorize, Checks, Compiler, Question, Role, Subject, Variables};
    use serde_json::{Value, json};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Nobody;

    impl Authorize for Nobody {
        fn authorize(&self, _: &Question<'_>) -> Answer {
            Answer { allowed: false, reason: String::new(), error: String::new() }
        }
    }

    #[test]
    fn a_false_condition_outweighs_a_broken_one() {
        let held = |expressions: &[&str]| {
            let compiler = Compiler::new(false);
            let conditions: Vec<_> =
                expressions.iter().map(|text| compiler.compile(text, Role::Condition)).collect();
            let (object, none) = (json!({"a": 1}), Value::Null);
            let subject = Subject { object: &object, old: &none, request: &none, namespace: &none };
            let variables = Variables::default();
            let scope = Scope::new(subject, &none, &variables, Arc::new(Nobody), &Checks::default());
            all_hold(&conditions, &scope)
        };
        assert_eq!(held(&[]), Ok(true));
        assert_eq!(held(&["object.a == 1", "oldObject == null"]), Ok(true));
        assert_eq!(held(&["object.missing == 1", "object.a == 2"]), Ok(false));
        assert_eq!(
            held(&["object.missing == 1", "object.a == 1"]),
            Err("expression 'object.missing == 1' resulted in error: no such key: missing".to_owned())
        );
        assert!(held(&["1 +", "object.a == 1"]).unwrap_err().starts_with("compilation error: "));
    }

    #[test]
    fn the_best_explanation_is_told() {
        let compiler = Compiler::new(false);
        let explained = |message: &str, made: Option<&str>| {
            let validation = Validation {
                expression: compiler.compile("object.a > 1", Role::Validation),
                text: " object.a > 1".to_owned(),
                message: message.to_owned(),
                message_expression: made.map(|made| compiler.compile(made, Role::Message)),
                reason: None,
            };
            let (object, none) = (json!({"a": 1}), Value::Null);
            let subject = Subject { object: &object, old: &none, request: &none, namespace: &none };
            let variables = Variables::default();
            let scope = Scope::new(subject, &none, &variables, Arc::new(Nobody), &Checks::default());
            validation.failure(&scope).unwrap().message
        };
        assert_eq!(explained("", None), "failed expression: object.a > 1");
        assert_eq!(explained(" told ", None), "told");
        assert_eq!(explained("told", Some("' made of ' + string(object.a)")), "made of 1");
        assert_eq!(explained("told", Some("object.missing + ''")), "told", "it cannot be evaluated");
        assert_eq!(explained("told", Some("' '")), "told");
        assert_eq!(explained("told", Some("'two\\nlines'")), "told");
    }
}
