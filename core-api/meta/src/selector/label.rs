//! Compiled label selectors: a conjunction of requirements, sorted by key.

use super::parse::{self, SelectorError};
use crate::{
    field::{FieldErrors, FieldPath},
    names,
};
use serde_json::Value;
use std::fmt;

/// How a requirement relates a key to its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `key in (a,b)`.
    In,
    /// `key notin (a,b)`.
    NotIn,
    /// `key=a`.
    Equals,
    /// `key==a`.
    DoubleEquals,
    /// `key!=a`.
    NotEquals,
    /// `key`.
    Exists,
    /// `!key`.
    DoesNotExist,
    /// `key>1`.
    GreaterThan,
    /// `key<1`.
    LessThan,
}

/// One condition on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: Box<str>,
    operator: Operator,
    values: Box<[Box<str>]>,
}

/// A compiled label selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector(Option<Box<[Requirement]>>);

impl Requirement {
    /// Checks key and values; errors are named below `path` as upstream names them.
    pub fn new(
        key: &str,
        operator: Operator,
        values: Vec<String>,
        path: &FieldPath<'_>,
    ) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        check_key(key, &path.child("key"), &mut errors);
        let values_path = path.child("values");
        check_count(operator, &values, &values_path, &mut errors);
        for (i, value) in values.iter().enumerate() {
            let messages = names::is_label_value(value);
            if !messages.is_empty() {
                let at = values_path.index(i);
                errors.invalid(&at.key(key), &Value::from(value.as_str()), &messages.join("; "));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { key: key.into(), operator, values: values.into_iter().map(Into::into).collect() })
    }
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }
    /// The operator.
    pub fn operator(&self) -> Operator {
        self.operator
    }
    /// The values, in the order given.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|v| &**v)
    }

    /// Whether the label's value (`None`: no such label) fulfils the requirement.
    fn accepts(&self, value: Option<&str>) -> bool {
        let has = |value: &str| self.values.iter().any(|v| &**v == value);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(has),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(has),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compares(value, |label, bound| label > bound),
            Operator::LessThan => self.compares(value, |label, bound| label < bound),
        }
    }

    fn compares(&self, value: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let bound = self.values.first().and_then(|v| v.parse().ok());
        let label = value.and_then(|v| v.parse().ok());
        matches!((label, bound), (Some(label), Some(bound)) if holds(label, bound))
    }
}

pub(super) fn check_key(key: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let messages = names::is_qualified_name(key);
    if !messages.is_empty() {
        errors.invalid(path, &Value::from(key), &messages.join("; "));
    }
}

fn check_count(operator: Operator, values: &[String], path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let (fits, text) = match operator {
        Operator::In | Operator::NotIn => {
            (!values.is_empty(), "for 'in', 'notin' operators, values set can't be empty")
        }
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
            (values.len() == 1, "exact-match compatibility requires one single value")
        }
        Operator::Exists | Operator::DoesNotExist => {
            (values.is_empty(), "values set must be empty for exists and does not exist")
        }
        Operator::GreaterThan | Operator::LessThan => {
            (values.len() == 1, "for 'Gt', 'Lt' operators, exactly one value is required")
        }
    };
    if !fits {
        errors.invalid(path, &Value::from(values), text);
    }
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        for (i, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
            let text = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.invalid(&path.index(i), &Value::from(value.as_str()), text);
        }
    }
}

impl Selector {
    /// Matches every object.
    pub fn everything() -> Self {
        Self(Some(Box::default()))
    }
    /// Matches no object.
    pub const fn nothing() -> Self {
        Self(None)
    }
    /// All of the requirements.
    pub fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self(Some(requirements.into()))
    }
    /// Labels that must be there with exactly these values; not checked for being valid.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirement = |(key, value): (&str, &str)| Requirement {
            key: key.into(),
            operator: Operator::Equals,
            values: Box::new([value.into()]),
        };
        Self::of(labels.into_iter().map(requirement).collect())
    }
    /// Parses the query string form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parse::parse(text, &FieldPath::root("")).map(Self::of)
    }
    /// Parses the query string form; errors are named below `path`.
    pub fn parse_at(text: &str, path: &FieldPath<'_>) -> Result<Self, SelectorError> {
        parse::parse(text, path).map(Self::of)
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        self.0.as_ref().is_some_and(|r| r.is_empty())
    }
    /// Whether no object can match because the selector is absent.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }
    /// The requirements, sorted by key; none for [`Selector::nothing`].
    pub fn requirements(&self) -> &[Requirement] {
        self.0.as_deref().unwrap_or_default()
    }
    /// The one value that `key` must have, when the selector says so.
    pub fn exact(&self, key: &str) -> Option<&str> {
        self.requirements().iter().find_map(|r| match (r.operator, &*r.values) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) if &*r.key == key => {
                Some(&**value)
            }
            _ => None,
        })
    }

    /// Whether labels match that `lookup` finds by key.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        match &self.0 {
            None => false,
            Some(requirements) => requirements.iter().all(|r| r.accepts(lookup(&r.key))),
        }
    }
    /// Whether labels match that are sorted by key.
    pub fn matches_sorted<K: AsRef<str>, V: AsRef<str>>(&self, labels: &[(K, V)]) -> bool {
        self.matches(|key| {
            let found = labels.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
            Some(labels[found].1.as_ref())
        })
    }
    /// Whether the labels of a JSON object's `metadata.labels` match; `None` when there are none.
    pub fn matches_json(&self, labels: Option<&serde_json::Map<String, Value>>) -> bool {
        self.matches(|key| labels?.get(key)?.as_str())
    }
}

/// The canonical query string.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements().iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match self.operator {
            Operator::Exists => return f.write_str(key),
            Operator::DoesNotExist => return write!(f, "!{key}"),
            Operator::In => write!(f, "{key} in (")?,
            Operator::NotIn => write!(f, "{key} notin (")?,
            Operator::Equals => write!(f, "{key}=")?,
            Operator::DoubleEquals => write!(f, "{key}==")?,
            Operator::NotEquals => write!(f, "{key}!=")?,
            Operator::GreaterThan => write!(f, "{key}>")?,
            Operator::LessThan => write!(f, "{key}<")?,
        }
        let mut values: Vec<&str> = self.values().collect();
        values.sort_unstable();
        f.write_str(&values.join(","))?;
        if matches!(self.operator, Operator::In | Operator::NotIn) { f.write_str(")") } else { Ok(()) }
    }
}
