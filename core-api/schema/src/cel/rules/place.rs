//! `fieldPath` of a rule: a field below the rule's node, such as `.spec.replicas` or `['a.b'].c`.
//!
//! Upstream: `ValidFieldPath` in apiextensions `pkg/apiserver/schema/cel/validation.go`.

use crate::schema::{Schema, Shape};

/// The path in the form of error messages.
///
/// # Errors
/// It is malformed, or the schema has no such field.
pub(crate) fn field_path(text: &str, schema: &Schema) -> Result<Box<str>, String> {
    let mut at = schema;
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
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
    Ok(out.into())
}

/// The first step, and what is behind it.
fn step(text: &str) -> Result<(String, &str), String> {
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
        return match end {
            0 => Err("unexpected end of JSON path".to_owned()),
            _ => Ok((rest[..end].to_owned(), &rest[end..])),
        };
    }
    let Some(rest) = text.strip_prefix("['") else {
        return Err(format!("expected [ or . but got: {text}"));
    };
    let mut name = String::new();
    let mut chars = rest.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\'' => {
                let tail = rest[i + 1..].strip_prefix(']').ok_or("expected ]")?;
                return Ok((name, tail));
            }
            '\\' => name.push(match chars.next().map(|(_, escaped)| escaped) {
                Some('a') => '\x07',
                Some('b') => '\x08',
                Some('f') => '\x0c',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\x0b',
                Some(same @ ('\'' | '\\')) => same,
                _ => return Err("invalid string literal: invalid escape char".to_owned()),
            }),
            _ => name.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
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
