//! The API object `metav1.LabelSelector`: validation and compilation.

use super::{
    label::{Operator, Requirement, Selector},
    parse::SelectorError,
};
use crate::{
    field::{FieldErrors, FieldPath},
    names,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Labels that must match, and expressions that must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Exact values.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LabelSelectorRequirement {
    /// Label key.
    #[serde(default)]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    #[serde(default)]
    pub operator: String,
    /// Values of `In` and `NotIn`.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Option::deserialize(d).map(Option::unwrap_or_default)
}

/// What a validation lets pass for the sake of stored objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency {
    /// Values that are no label values.
    pub invalid_label_value: bool,
    /// Operators that nobody knows.
    pub unknown_operator: bool,
}

impl LabelSelector {
    /// Whether it has no conditions and so matches everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Adds what is wrong to `errors`.
    pub fn validate(&self, leniency: Leniency, path: &FieldPath<'_>, errors: &mut FieldErrors) {
        let labels = self.match_labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        names::validate_labels(labels, &path.child("matchLabels"), errors);
        let expressions = path.child("matchExpressions");
        for (i, expression) in self.match_expressions.iter().enumerate() {
            expression.validate(leniency, &expressions.index(i), errors);
        }
    }

    /// Compiles it.
    pub fn compile(&self) -> Result<Selector, SelectorError> {
        let root = FieldPath::root("");
        let refused = |e: FieldErrors| SelectorError(e.summary());
        let mut requirements = Vec::with_capacity(self.match_labels.len() + self.match_expressions.len());
        for (key, value) in &self.match_labels {
            let one = Requirement::new(key, Operator::Equals, vec![value.clone()], &root);
            requirements.push(one.map_err(refused)?);
        }
        for e in &self.match_expressions {
            let operator = e.operator().ok_or_else(|| {
                SelectorError(format!("{:?} is not a valid label selector operator", e.operator))
            })?;
            requirements.push(Requirement::new(&e.key, operator, e.values.clone(), &root).map_err(refused)?);
        }
        Ok(Selector::of(requirements))
    }

    /// Compiles an optional selector: an absent one matches nothing, an empty one everything.
    pub fn compile_option(selector: Option<&Self>) -> Result<Selector, SelectorError> {
        selector.map_or_else(|| Ok(Selector::nothing()), Self::compile)
    }

    /// Reads and compiles an object's field; absent and `null` match nothing.
    pub fn compile_json(selector: Option<&Value>) -> Result<Selector, SelectorError> {
        match selector {
            None | Some(Value::Null) => Ok(Selector::nothing()),
            Some(value) => Self::deserialize(value).map_err(|e| SelectorError(e.to_string()))?.compile(),
        }
    }
}

impl LabelSelectorRequirement {
    fn operator(&self) -> Option<Operator> {
        match self.operator.as_str() {
            "In" => Some(Operator::In),
            "NotIn" => Some(Operator::NotIn),
            "Exists" => Some(Operator::Exists),
            "DoesNotExist" => Some(Operator::DoesNotExist),
            _ => None,
        }
    }

    /// Adds what is wrong to `errors`.
    pub fn validate(&self, leniency: Leniency, path: &FieldPath<'_>, errors: &mut FieldErrors) {
        let values = path.child("values");
        match self.operator() {
            Some(Operator::In | Operator::NotIn) if self.values.is_empty() => {
                errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            Some(Operator::Exists | Operator::DoesNotExist) if !self.values.is_empty() => {
                errors
                    .forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            None if !leniency.unknown_operator => {
                let operator = Value::from(self.operator.as_str());
                errors.invalid(&path.child("operator"), &operator, "not a valid selector operator");
            }
            _ => {}
        }
        names::validate_label_name(&self.key, &path.child("key"), errors);
        if leniency.invalid_label_value {
            return;
        }
        for (i, value) in self.values.iter().enumerate() {
            for message in names::is_label_value(value) {
                errors.invalid(&values.index(i), &Value::from(value.as_str()), &message);
            }
        }
    }
}
