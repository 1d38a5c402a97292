//! Functions on texts. Places count characters. Upstream: cel-go `ext/strings.go`, apiserver `pkg/cel/library/regex.go`.

use super::{
    error::Error,
    machine::Machine,
    value::{List, Value},
};
use std::fmt::Write;

type Outcome<'a> = Result<Value<'a>, Error>;
type Args<'s, 'a> = &'s [Value<'a>];

/// Widest number that `format` writes.
const WIDEST: usize = 1000;

fn text<'s>(args: &'s [Value<'_>], i: usize) -> Result<&'s str, Error> {
    args.get(i).and_then(Value::as_str).ok_or(Error::NoSuchOverload)
}
fn number(args: &[Value<'_>], i: usize) -> Result<i64, Error> {
    match args.get(i) {
        Some(Value::Int(number)) => Ok(*number),
        _ => Err(Error::NoSuchOverload),
    }
}
fn int<'a>(number: usize) -> Value<'a> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn contains<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    m.work(text(args, 0)?.len() / 16)?;
    Ok(Value::Bool(text(args, 0)?.contains(text(args, 1)?)))
}
pub(super) fn starts_with<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(text(args, 0)?.starts_with(text(args, 1)?)))
}
pub(super) fn ends_with<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Bool(text(args, 0)?.ends_with(text(args, 1)?)))
}
pub(super) fn matches<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, pattern) = (text(args, 0)?, text(args, 1)?);
    m.work(value.len())?;
    Ok(Value::Bool(m.pattern(pattern)?.is_match(value)))
}
pub(super) fn find<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, pattern) = (text(args, 0)?, text(args, 1)?);
    m.work(value.len())?;
    m.allocate(value.len())?;
    Ok(Value::text(m.pattern(pattern)?.find(value).map_or("", |found| found.as_str())))
}
pub(super) fn find_all<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, pattern) = (text(args, 0)?, text(args, 1)?);
    let most = if args.len() > 2 { number(args, 2)? } else { -1 };
    m.work(value.len())?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let found: Vec<_> =
        m.pattern(pattern)?.find_iter(value).take(most).map(|found| Value::text(found.as_str())).collect();
    m.allocate(value.len() + found.len() * 48)?;
    Ok(Value::list(found))
}

pub(super) fn char_at<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, at) = (text(args, 0)?, number(args, 1)?);
    m.work(value.len() / 64)?;
    let out = || Error::new(format!("index out of range: {at}"));
    let place = usize::try_from(at).map_err(|_| out())?;
    match value.chars().nth(place) {
        Some(c) => Ok(Value::text(c.to_string())),
        None if place == value.chars().count() => Ok(Value::text("")),
        None => Err(out()),
    }
}
pub(super) fn lower<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    m.allocate(text(args, 0)?.len())?;
    Ok(Value::text(text(args, 0)?.to_ascii_lowercase()))
}
pub(super) fn upper<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    m.allocate(text(args, 0)?.len())?;
    Ok(Value::text(text(args, 0)?.to_ascii_uppercase()))
}
pub(super) fn trim<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    m.allocate(text(args, 0)?.len())?;
    Ok(Value::text(text(args, 0)?.trim()))
}

/// The place in bytes of a character; `None` behind the end.
fn byte_place(value: &str, at: usize) -> Option<usize> {
    value.char_indices().map(|(i, _)| i).chain([value.len()]).nth(at)
}

pub(super) fn substring<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, from) = (text(args, 0)?, number(args, 1)?);
    m.allocate(value.len())?;
    let out = |at: i64| Error::new(format!("index out of range: {at}"));
    let start = usize::try_from(from).ok().and_then(|at| byte_place(value, at)).ok_or_else(|| out(from))?;
    let end = if args.len() > 2 {
        let to = number(args, 2)?;
        if from > to {
            return Err(Error::new(format!("invalid substring range. start: {from}, end: {to}")));
        }
        usize::try_from(to).ok().and_then(|at| byte_place(value, at)).ok_or_else(|| out(to))?
    } else {
        value.len()
    };
    Ok(Value::text(value.get(start..end).unwrap_or_default()))
}

/// Where `sought` is in a text, from a character on.
pub(super) fn index_of<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, sought) = (text(args, 0)?, text(args, 1)?);
    let from = if args.len() > 2 { number(args, 2)? } else { 0 };
    m.work(value.len() / 16)?;
    let place = usize::try_from(from).map_err(|_| Error::new(format!("index out of range: {from}")))?;
    let Some(start) = byte_place(value, place) else {
        return Ok(if sought.is_empty() { int(value.chars().count()) } else { Value::Int(-1) });
    };
    let found = value.get(start..).and_then(|rest| rest.find(sought)).map(|at| at + start);
    Ok(found.map_or(Value::Int(-1), |at| int(value.get(..at).unwrap_or_default().chars().count())))
}
pub(super) fn last_index_of<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, sought) = (text(args, 0)?, text(args, 1)?);
    m.work(value.len() / 16)?;
    let end = match args.len() {
        0..=2 => value.len(),
        _ => {
            let last = number(args, 2)?;
            let place =
                usize::try_from(last).map_err(|_| Error::new(format!("index out of range: {last}")))?;
            let place = byte_place(value, place).unwrap_or(value.len());
            if place == value.len() && !sought.is_empty() {
                return Ok(Value::Int(-1));
            }
            let mut end = (place + sought.len()).min(value.len());
            while !value.is_char_boundary(end) {
                end -= 1;
            }
            end
        }
    };
    let found = value.get(..end).and_then(|head| head.rfind(sought));
    Ok(found.map_or(Value::Int(-1), |at| int(value.get(..at).unwrap_or_default().chars().count())))
}

pub(super) fn replace<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let most = if args.len() > 3 { number(args, 3)? } else { -1 };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    m.work(value.len() / 16)?;
    let count = value.matches(old).take(most).count();
    m.allocate(value.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::text(value.replacen(old, new, count)))
}
pub(super) fn split<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (value, separator) = (text(args, 0)?, text(args, 1)?);
    let most = if args.len() > 2 { number(args, 2)? } else { -1 };
    m.work(value.len() / 16)?;
    m.allocate(value.len() + value.matches(separator).count().saturating_mul(48))?;
    let most = match most {
        0 => return Ok(Value::list(Vec::new())),
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    let parts = if separator.is_empty() {
        // Each character by itself, the rest in the last one.
        let mut parts = Vec::new();
        let mut rest = value;
        while let Some(c) = rest.chars().next() {
            if parts.len() + 1 >= most {
                parts.push(Value::text(rest));
                break;
            }
            let (head, tail) = rest.split_at(c.len_utf8());
            parts.push(Value::text(head));
            rest = tail;
        }
        parts
    } else {
        value.splitn(most, separator).map(Value::text).collect()
    };
    Ok(Value::list(parts))
}
pub(super) fn join<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let Some(Value::List(list)) = args.first() else { return Err(Error::NoSuchOverload) };
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    let mut made = String::new();
    for (i, element) in list.iter().enumerate() {
        let element = element.as_str().ok_or(Error::NoSuchOverload)?;
        m.allocate(element.len() + separator.len())?;
        if i > 0 {
            made.push_str(separator);
        }
        made.push_str(element);
    }
    Ok(Value::text(made))
}
pub(super) fn quote<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let value = text(args, 0)?;
    m.allocate(value.len() * 2 + 2)?;
    let mut made = String::with_capacity(value.len() + 2);
    made.push('"');
    for c in value.chars() {
        match c {
            '\x07' => made.push_str("\\a"),
            '\x08' => made.push_str("\\b"),
            '\x0c' => made.push_str("\\f"),
            '\n' => made.push_str("\\n"),
            '\r' => made.push_str("\\r"),
            '\t' => made.push_str("\\t"),
            '\x0b' => made.push_str("\\v"),
            '\\' => made.push_str("\\\\"),
            '"' => made.push_str("\\\""),
            other => made.push(other),
        }
    }
    made.push('"');
    Ok(Value::text(made))
}
pub(super) fn escape_key<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    m.allocate(text(args, 0)?.len() * 2)?;
    Ok(Value::text(text(args, 0)?.replace('~', "~0").replace('/', "~1")))
}

/// A floating-point number as Go's `%g` with all digits that matter.
pub(super) fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{number}")
}

/// `"%s is %d".format([a, b])`.
pub(super) fn format<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (pattern, Some(Value::List(list))) = (text(args, 0)?, args.get(1)) else {
        return Err(Error::NoSuchOverload);
    };
    let mut made = String::new();
    let mut chars = pattern.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            made.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            made.push('%');
            continue;
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let wide = digits.parse::<usize>().ok().filter(|wide| *wide <= WIDEST);
            precision =
                Some(wide.ok_or_else(|| Error::new("error during formatting: precision is too large"))?);
        }
        let Some(verb) = chars.next() else {
            return Err(Error::new("error during formatting: unexpected end of string"));
        };
        let value = list
            .get(next)
            .ok_or_else(|| Error::new(format!("error during formatting: index {next} out of range")))?;
        next += 1;
        clause(m, &mut made, verb, precision, &value)?;
    }
    m.allocate(made.len())?;
    Ok(Value::text(made))
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn clause(
    m: &mut Machine<'_>,
    out: &mut String,
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
) -> Result<(), Error> {
    let wrong = |kinds: &str| {
        let name = value.type_name();
        Err(Error::new(format!("error during formatting: {kinds}, was given {name}")))
    };
    let digits = precision.unwrap_or(6);
    let float = match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        _ => None,
    };
    let written = match (verb, value) {
        ('s', _) => return string(m, out, value, 0),
        ('d', Value::Int(number)) => write!(out, "{number}"),
        ('d', Value::Uint(number)) => write!(out, "{number}"),
        ('d', _) => return wrong("decimal clause can only be used on integers"),
        ('f', _) => match float {
            Some(number) => write!(out, "{number:.digits$}"),
            None => return wrong("fixed-point clause can only be used on doubles"),
        },
        ('e', _) => match float {
            Some(number) => {
                let text = format!("{number:.digits$e}");
                let (head, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
                write!(out, "{head}e{sign}{exponent:0>2}")
            }
            None => return wrong("scientific clause can only be used on doubles"),
        },
        ('b', Value::Int(number)) => {
            let sign = if *number < 0 { "-" } else { "" };
            write!(out, "{sign}{:b}", number.unsigned_abs())
        }
        ('b', Value::Uint(number)) => write!(out, "{number:b}"),
        ('b', Value::Bool(flag)) => write!(out, "{}", u8::from(*flag)),
        ('b', _) => return wrong("only integers and bools can be formatted as binary"),
        ('o', Value::Int(number)) => {
            let sign = if *number < 0 { "-" } else { "" };
            write!(out, "{sign}{:o}", number.unsigned_abs())
        }
        ('o', Value::Uint(number)) => write!(out, "{number:o}"),
        ('o', _) => return wrong("octal clause can only be used on integers"),
        ('x' | 'X', _) => {
            let text = match value {
                Value::Int(number) if *number < 0 => format!("-{:x}", number.unsigned_abs()),
                Value::Int(number) => format!("{number:x}"),
                Value::Uint(number) => format!("{number:x}"),
                Value::String(text) => hex(m, text.as_bytes())?,
                Value::Bytes(bytes) => hex(m, bytes)?,
                _ => return wrong("only integers, byte buffers, and strings can be formatted as hex"),
            };
            let text = if verb == 'X' { text.to_ascii_uppercase() } else { text };
            out.push_str(&text);
            Ok(())
        }
        _ => {
            let text = format!("error during formatting: unrecognized formatting clause \"{verb}\"");
            return Err(Error::new(text));
        }
    };
    written.map_err(|_| Error::new("error during formatting"))
}

fn hex(m: &mut Machine<'_>, bytes: &[u8]) -> Result<String, Error> {
    m.allocate(bytes.len() * 2)?;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
    }
    Ok(out)
}

/// `%s`: any value as text, lists and maps with their parts.
fn string(m: &mut Machine<'_>, out: &mut String, value: &Value<'_>, depth: usize) -> Result<(), Error> {
    m.work(1)?;
    match value {
        Value::String(text) => {
            m.allocate(text.len())?;
            out.push_str(text);
        }
        Value::Null => out.push_str("null"),
        Value::Bytes(bytes) => {
            m.allocate(bytes.len())?;
            out.push_str(&String::from_utf8_lossy(bytes));
        }
        Value::Duration(nanos) => out.push_str(&super::time::duration_text(*nanos)),
        Value::Timestamp(at) => out.push_str(&at.to_string()),
        Value::Type(name) => out.push_str(name),
        Value::List(list) if depth < 100 => return list_text(m, out, list, depth),
        Value::Map(map) if depth < 100 => {
            out.push('{');
            for (i, key) in map.keys().iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                string(m, out, key, depth + 1)?;
                out.push_str(": ");
                string(m, out, &map.find(key).unwrap_or(Value::Null), depth + 1)?;
            }
            out.push('}');
        }
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) => {
            m.allocate(8)?;
            out.push_str(&super::ops::shown(value));
        }
        other => {
            let name = other.type_name();
            return Err(Error::new(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, \
                 maps, lists, types, durations, and timestamps, was given {name}"
            )));
        }
    }
    Ok(())
}

fn list_text(m: &mut Machine<'_>, out: &mut String, list: &List<'_>, depth: usize) -> Result<(), Error> {
    out.push('[');
    for (i, element) in list.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        string(m, out, &element, depth + 1)?;
    }
    out.push(']');
    Ok(())
}
