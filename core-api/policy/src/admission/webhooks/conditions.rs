//! Match conditions: expressions that all have to be true of a request. Pure.
//!
//! Upstream: apiserver `pkg/admission/plugin/webhook/matchconditions/matcher.go`.

use proa_schema::cel::{Expression, MATCH_CONDITION};
use serde_json::Value;

/// One condition.
#[derive(Debug)]
pub(super) struct Condition {
    name: String,
    expression: Expression,
}

impl Condition {
    /// Compiles it.
    pub(super) fn new(name: String, expression: &str) -> Result<Self, String> {
        Expression::compile(expression.trim(), &MATCH_CONDITION).map(|expression| Self { name, expression })
    }
}

/// Whether all conditions are true. One that is false decides, whatever others could not be evaluated.
pub(super) fn all_hold(
    conditions: &[Condition],
    object: &Value,
    old: &Value,
    request: &Value,
) -> Result<bool, String> {
    let mut problems = Vec::new();
    for Condition { name, expression } in conditions {
        match expression.is_true(&[("object", object), ("oldObject", old), ("request", request)]) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => problems.push(format!("condition {name:?}: {why}")),
        }
    }
    match problems.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_false_condition_outweighs_a_broken_one() {
        let held = |expressions: &[&str]| {
            let conditions: Vec<_> =
                expressions.iter().map(|text| Condition::new("c".to_owned(), text).unwrap()).collect();
            all_hold(&conditions, &json!({"a": 1}), &Value::Null, &json!({}))
        };
        assert_eq!(held(&[]), Ok(true));
        assert_eq!(held(&["object.a == 1", "oldObject == null"]), Ok(true));
        assert_eq!(held(&["object.missing == 1", "object.a == 2"]), Ok(false));
        assert!(
            held(&["object.missing == 1", "object.a == 1"]).unwrap_err().starts_with("condition \"c\": ")
        );
    }
}
