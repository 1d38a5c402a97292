//! Field selectors: `metadata.name=a,status.phase!=Failed`.

use std::{borrow::Cow, fmt};

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// Path of the field.
    pub field: String,
    /// Whether the field must differ from the value.
    pub negated: bool,
    /// The value.
    pub value: String,
}

/// All of some conditions; without any, every object matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector(Vec<FieldRequirement>);

/// Why a text is no field selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    /// A term has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole text.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash before a character that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A comma or equals sign without a backslash, as a number.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(u32),
}

impl FieldSelector {
    /// Parses the query string form.
    pub fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let terms = terms.into_iter().filter(|term| !term.is_empty());
        let mut requirements = terms.map(|term| parse_term(text, term)).collect::<Result<Vec<_>, _>>()?;
        // As upstream: no field and no value is no condition.
        requirements.retain(|r| !(r.field.is_empty() && r.value.is_empty()));
        Ok(Self(requirements))
    }
    /// Conditions that are already taken apart.
    pub fn of(requirements: Vec<FieldRequirement>) -> Self {
        Self(requirements)
    }
    /// The conditions.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.0
    }
    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }
    /// The value that `field` must have, when the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|r| !r.negated && r.field == field).map(|r| r.value.as_str())
    }
    /// Whether fields match whose values `lookup` finds; an absent field is the empty text.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> &'a str) -> bool {
        self.0.iter().all(|r| (lookup(&r.field) == r.value) != r.negated)
    }
}

/// At commas without a backslash before them.
fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    let at_comma = |c: char| {
        let splits = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    };
    text.split(at_comma).collect()
}

fn parse_term(selector: &str, term: &str) -> Result<FieldRequirement, FieldSelectorError> {
    let unknown = || FieldSelectorError::Term { selector: selector.to_owned(), term: term.to_owned() };
    // A `!` that no `=` follows belongs to the field.
    let equals = term.find('=').ok_or_else(unknown)?;
    let at = if term[..equals].ends_with('!') { equals - 1 } else { equals };
    let (field, rest) = term.split_at(at);
    let negated = rest.starts_with("!=");
    let value = ["!=", "==", "="].iter().find_map(|op| rest.strip_prefix(op)).unwrap_or_default();
    Ok(FieldRequirement { field: field.to_owned(), negated, value: unescape(value)?.into_owned() })
}

fn unescape(text: &str) -> Result<Cow<'_, str>, FieldSelectorError> {
    if !text.contains(['\\', ',', '=']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(FieldSelectorError::Escape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(u32::from(c))),
            _ => out.push(c),
        }
    }
    Ok(Cow::Owned(out))
}

/// A text as it must stand behind the operator of a field selector.
pub fn escape_value(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', ',', '=']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    Cow::Owned(out)
}

/// The query string form.
impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if r.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{operator}{}", r.field, escape_value(&r.value))?;
        }
        Ok(())
    }
}
