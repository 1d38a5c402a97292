//! `fieldPath` of a rule: a field below the rule's node, such as `.spec.replicas` or `['a.b'].c`.
//!
//! Upstream: `ValidFieldPath` in apiextensions `pkg/apiserver/schema/cel/validation.go`.

use crate::schema::{Schema, Shape};
use serde_json::Value;

/// Which steps a path may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Steps {
    /// `.a` only.
    Dotted,
    /// `['a']` too.
    Any,
}

/// The path in the form of error messages.
///
/// # Errors
/// It is malformed, or the schema has no such field.
pub(crate) fn field_path(text: &str, schema: &Schema) -> Result<Box<str>, String> {
    walk(text, schema, Steps::Any, child).map(|(path, _)| path)
}

/// The path, of steps with dots only, and what is there in a schema as it is written.
///
/// # Errors
/// It is malformed, or the schema has no such field.
pub(crate) fn field_at<'j>(text: &str, schema: &'j Value) -> Result<(Box<str>, &'j Value), String> {
    walk(text, schema, Steps::Dotted, |at, name| {
        match at["properties"].as_object().filter(|properties| !properties.is_empty()) {
            Some(properties) => properties.get(name).map(|property| (property, true)),
            None => Some((&at["additionalProperties"], false)).filter(|(values, _)| !values.is_null()),
        }
    })
}

/// Follows a path. `child` is what is below a name, and whether it is that of a named field.
fn walk<T>(
    text: &str,
    root: T,
    steps: Steps,
    child: impl Fn(T, &str) -> Option<(T, bool)>,
) -> Result<(Box<str>, T), String> {
    let mut at = root;
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if steps == Steps::Dotted && rest.starts_with('[') {
            return Err("array notation is not allowed".to_owned());
        }
        let (name, tail) = step(rest)?;
        let (child, is_named) = child(at, &name).ok_or("does not refer to a valid field")?;
        match (is_named, out.is_empty()) {
            (true, true) => out.push_str(&name),
            (true, false) => out.extend([".", &name]),
            (false, _) => out.extend(["[", &name, "]"]),
        }
        at = child;
        rest = tail;
    }
    Ok((out.into(), at))
}

/// The length of the first token: a delimiter, a text in single quotes, or what is before a delimiter.
fn token(text: &str) -> usize {
    if text.starts_with('\'') {
        let mut escaped = false;
        let is_end = |(i, c): &(usize, char)| {
            let ends = *i > 0 && *c == '\'' && !escaped;
            escaped = *c == '\\';
            ends
        };
        return text.char_indices().find(is_end).map_or(text.len(), |(i, _)| i + 1);
    }
    text.find(['.', '[', ']']).map_or(text.len(), |end| end.max(1))
}

/// The first step, and what is behind it.
fn step(text: &str) -> Result<(String, &str), String> {
    const END: &str = "unexpected end of JSON path";
    let (first, rest) = text.split_at(token(text));
    let (name, tail) = rest.split_at(token(rest));
    match first {
        "." | "[" if name.is_empty() => Err(END.to_owned()),
        "." => Ok((name.to_owned(), tail)),
        "[" => {
            let quoted = name.strip_prefix('\'').and_then(|name| name.strip_suffix('\''));
            let quoted = quoted.ok_or_else(|| format!("expected single quoted string but got {name}"))?;
            let name = unescaped(quoted)?;
            match tail.split_at(token(tail)) {
                ("]", tail) => Ok((name, tail)),
                ("", _) => Err(END.to_owned()),
                (other, _) => Err(format!("expected ] but got {other}")),
            }
        }
        other => Err(format!("expected [ or . but got: {other}")),
    }
}

fn unescaped(quoted: &str) -> Result<String, String> {
    let mut name = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        name.push(match c {
            '\\' => match chars.next() {
                Some('a') => '\x07',
                Some('b') => '\x08',
                Some('f') => '\x0c',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\x0b',
                Some(same @ ('\'' | '\\')) => same,
                _ => return Err("invalid string literal: invalid escape char".to_owned()),
            },
            other => other,
        });
    }
    Ok(name)
}

/// The schema below, and whether it is that of a named field.
fn child<'s>(schema: &'s Schema, name: &str) -> Option<(&'s Schema, bool)> {
    match &schema.shape {
        Shape::Object(object) if !object.fields.is_empty() => {
            object.fields.get(name).map(|field| (field.schema.get(), true))
        }
        Shape::Object(object) => object.additional.as_ref().map(|values| (values.get(), false)),
        Shape::Map(map) => Some((map.values.get(), false)),
        _ => None,
    }
}
