//! Bounds of numbers. Whole numbers are compared as such, against bounds cut to whole numbers.
//!
//! Upstream: kube-openapi `pkg/validation/validate/{validator,values}.go`.

use super::outcome::{Failure, Outcome};
use crate::schema::{Rules, Schema, Shape};
use proa_meta::FieldPath;
use serde_json::{Number, Value};

/// A number as upstream holds it.
#[derive(Clone, Copy)]
enum Amount {
    Whole(i64),
    Float(f64),
}

impl Amount {
    fn of(number: &Number) -> Self {
        number.as_i64().map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::NAN)), Self::Whole)
    }
    fn as_f64(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }
}

/// What the declared type can hold.
#[derive(Clone, Copy, PartialEq)]
enum Range {
    Any,
    Float32,
    Int32,
    Int64,
}

impl Range {
    fn of(schema: &Schema, format: Option<&str>) -> Self {
        match (&schema.shape, format) {
            _ if schema.untyped => Self::Any,
            (Shape::Integer { .. }, Some("int32")) => Self::Int32,
            (Shape::Integer { .. }, _) => Self::Int64,
            (Shape::Number, Some("float")) => Self::Float32,
            _ => Self::Any,
        }
    }
    fn holds(self, amount: Amount) -> bool {
        let whole = match amount {
            Amount::Whole(whole) => Some(whole),
            Amount::Float(float) => whole_of(float),
        };
        match self {
            Self::Any => true,
            Self::Float32 => amount.as_f64().abs() <= f64::from(f32::MAX),
            Self::Int32 => whole.is_some_and(|whole| i32::try_from(whole).is_ok()),
            Self::Int64 => whole.is_some(),
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Any => "number (default format)",
            Self::Float32 => "number with format float",
            Self::Int32 => "integer with format int32",
            Self::Int64 => "integer (default format)",
        }
    }
}

/// The whole number that a float is, if it is one.
pub(crate) fn whole_of(float: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (float.fract() == 0.0 && (-LIMIT..LIMIT).contains(&float)).then_some(float as i64)
}

/// Checks type range, `multipleOf`, `maximum` and `minimum`.
pub(super) fn check(schema: &Schema, number: &Number, path: &FieldPath<'_>, out: &mut Outcome) {
    let rules = schema.rules.as_deref();
    let format = rules.and_then(|rules| rules.format.as_deref());
    let range = match (Range::of(schema, format), format) {
        (Range::Int64, Some("int64")) if !Range::Int64.holds(Amount::of(number)) => {
            out.fail(out_of_range("Checked", "integer with format int64", path));
            Range::Any
        }
        (range, _) => range,
    };
    let check = Check { range, amount: Amount::of(number), number, path };
    if !range.holds(check.amount) {
        out.fail(out_of_range("Checked", range.name(), path));
    }
    if let Some(rules) = rules {
        check.rules(rules, out);
    }
    out.matches += 1;
}

fn out_of_range(what: &str, wanted: &str, path: &FieldPath<'_>) -> Failure {
    Failure::Whole { text: format!("{what} value must be of type {wanted} in {path}") }
}

struct Check<'a> {
    range: Range,
    amount: Amount,
    number: &'a Number,
    path: &'a FieldPath<'a>,
}

impl Check<'_> {
    fn rules(&self, rules: &Rules, out: &mut Outcome) {
        if let Some(factor) = rules.multiple_of {
            let comparable = self.comparable("MultipleOf", factor, out);
            self.multiple(comparable, factor, out);
        }
        if let Some(min) = rules.minimum {
            let amount = self.comparable("Minimum boundary", min, out);
            let fails = match amount {
                Amount::Whole(n) if rules.exclusive_minimum => n <= min as i64,
                Amount::Whole(n) => n < min as i64,
                Amount::Float(n) if rules.exclusive_minimum => n <= min,
                Amount::Float(n) => n < min,
            };
            let word = if rules.exclusive_minimum { "greater than" } else { "greater than or equal to" };
            self.bound(fails, word, amount, min, out);
        }
        if let Some(max) = rules.maximum {
            let amount = self.comparable("Maximum boundary", max, out);
            let fails = match amount {
                Amount::Whole(n) if rules.exclusive_maximum => n >= max as i64,
                Amount::Whole(n) => n > max as i64,
                Amount::Float(n) if rules.exclusive_maximum => n >= max,
                Amount::Float(n) => n > max,
            };
            let word = if rules.exclusive_maximum { "less than" } else { "less than or equal to" };
            self.bound(fails, word, amount, max, out);
        }
    }

    /// The number, as a float when the bound itself does not fit the type.
    fn comparable(&self, what: &str, bound: f64, out: &mut Outcome) -> Amount {
        if self.range.holds(Amount::Float(bound)) {
            return self.amount;
        }
        out.fail(out_of_range(what, self.range.name(), self.path));
        Amount::Float(self.amount.as_f64())
    }

    fn bound(&self, fails: bool, word: &str, amount: Amount, bound: f64, out: &mut Outcome) {
        if fails {
            let bound = match amount {
                Amount::Whole(_) => (bound as i64).to_string(),
                Amount::Float(_) => go_float(bound),
            };
            self.fail(format!("{} in body should be {word} {bound}", self.path), out);
        }
    }

    fn multiple(&self, amount: Amount, factor: f64, out: &mut Outcome) {
        let (is_multiple, factor_text) = match amount {
            Amount::Whole(n) => {
                let whole = factor as i64;
                (if whole > 0 { Some(n % whole == 0) } else { None }, whole.to_string())
            }
            Amount::Float(_) if factor <= 0.0 => (None, go_float(factor)),
            Amount::Float(n) => {
                let ratio = if factor < 1.0 { 1.0 / factor * n } else { n / factor };
                (Some(is_almost_whole(ratio)), go_float(factor))
            }
        };
        match is_multiple {
            Some(true) => {}
            Some(false) => {
                self.fail(format!("{} in body should be a multiple of {factor_text}", self.path), out);
            }
            None => out.fail(Failure::Invalid {
                path: self.path.to_string(),
                value: match amount {
                    Amount::Whole(_) => Value::from(factor as i64),
                    Amount::Float(_) => Value::from(factor),
                },
                text: format!("factor MultipleOf declared for {} must be positive: {factor_text}", self.path),
            }),
        }
    }

    fn fail(&self, text: String, out: &mut Outcome) {
        let value = Value::Number(self.number.clone());
        out.fail(Failure::Invalid { path: self.path.to_string(), value, text });
    }
}

/// Near enough to a whole number that a JSON reader elsewhere would take it for one.
fn is_almost_whole(float: f64) -> bool {
    const EPSILON: f64 = 1e-9;
    if !float.is_finite() || float.abs() > 9_007_199_254_740_991.0 {
        return false;
    }
    let distance = (float - float.round()).abs();
    distance == 0.0 || distance / float.abs().max(f64::MIN_POSITIVE) < EPSILON
}

/// A float as Go's `%v` prints it.
pub(crate) fn go_float(float: f64) -> String {
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{float:e}");
        if let Some((digits, exponent)) = text.split_once('e') {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            return format!("{digits}e{sign}{exponent:0>2}");
        }
    }
    float.to_string()
}
