//! Request bodies as values: JSON as Go reads it, and the JSON part of YAML.
//!
//! One pass over the bytes. Invariants: nesting is at most [`MAX_DEPTH`] (so every later walk may recurse), whole
//! numbers stay whole while they fit 64 bits, field names are case-sensitive, the last of equal fields wins and each
//! repetition is reported once. Errors carry Go's texts. Deliberately absent: knowledge of kinds.
//! Upstream: sigs.k8s.io/json, apimachinery `pkg/runtime/serializer/json`.

use proa_meta::{ApiError, FieldPath};
use serde_json::{Map, Number, Value, map::Entry};
use std::fmt::{self, Write as _};

mod yaml;

pub use yaml::parse_yaml;

/// Deepest nesting of objects and lists. Upstream allows 10000; a bound that real objects never meet (the deepest
/// published CustomResourceDefinitions nest about 60 levels) keeps recursion and the readers of stored bytes safe.
pub const MAX_DEPTH: usize = 100;

/// Most strictness problems that are collected, as upstream.
pub(crate) const MAX_ISSUES: usize = 100;

/// A field that strict decoding refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrictIssue {
    /// The schema does not know it.
    Unknown(String),
    /// It is there more than once.
    Duplicate(String),
    /// The same in YAML: the text of the YAML reader.
    Yaml(String),
}

/// `unknown field "spec.foo"`: also the text of the warning.
impl fmt::Display for StrictIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field {path:?}"),
            Self::Duplicate(path) => write!(f, "duplicate field {path:?}"),
            Self::Yaml(text) => f.write_str(text),
        }
    }
}

/// `strict decoding error: unknown field "a", duplicate field "b"`.
pub fn strict_text(issues: &[StrictIssue]) -> String {
    let mut text = "strict decoding error: ".to_owned();
    for (i, issue) in issues.iter().enumerate() {
        let _ = write!(text, "{}{issue}", if i == 0 { "" } else { ", " });
    }
    text
}

/// A parsed body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The value.
    pub value: Value,
    /// Repeated fields.
    pub issues: Vec<StrictIssue>,
}

/// Why a body is no JSON or YAML. Prints as Go's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    /// 400 as upstream answers a body whose kind cannot be read when `kind` is expected.
    pub fn unrecognized(&self, kind: &str, body: &[u8]) -> ApiError {
        let why = format!("couldn't get version/kind; json parse error: {self}");
        unrecognized(kind, &why, body)
    }
}

/// 400: `the object provided is unrecognized (must be of type KIND): WHY (START OF THE BODY)`.
pub fn unrecognized(kind: &str, why: &str, body: &[u8]) -> ApiError {
    let summary = summary(body);
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
    ))
}

/// Checks what tells the kind of a body: an object whose `apiVersion` and `kind` are texts where they are there. A body
/// of `null` is an empty object.
///
/// # Errors
/// 400 in upstream's words. Upstream: apimachinery `pkg/runtime/serializer/json/meta.go`.
pub fn check_head(value: &mut Value, kind: &str, body: &[u8]) -> Result<(), ApiError> {
    const INTO: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    let unreadable =
        |why: String| ParseError(format!("json: cannot unmarshal {why}")).unrecognized(kind, body);
    let Some(members) = value.as_object() else {
        return Err(unreadable(format!("{} into Go value of type {INTO}", crate::decode::json_type(value))));
    };
    for field in ["apiVersion", "kind"] {
        match members.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                let found = crate::decode::json_type(other);
                return Err(unreadable(format!("{found} into Go struct field .{field} of type string")));
            }
        }
    }
    let version = members.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version.matches('/').count() > 1 {
        return Err(unrecognized(kind, &format!("unexpected GroupVersion string: {version}"), body));
    }
    Ok(())
}

fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let shown = &body[..body.len().min(SHOWN)];
    let mut text = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => shown.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    };
    if body.len() > SHOWN {
        text.push_str(" ...");
    }
    text
}

/// Parses a JSON body.
pub fn parse(body: &[u8]) -> Result<Parsed, ParseError> {
    let mut parser = Parser { bytes: body, at: 0, issues: Vec::new() };
    let value = parser.value(0, &FieldPath::root(""))?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(Parsed { value, issues: parser.issues }),
        Some(_) => Err(parser.unexpected("after top-level value")),
    }
}

/// Keeps a repetition, once and not too many.
fn record(issues: &mut Vec<StrictIssue>, issue: StrictIssue) {
    if issues.len() < MAX_ISSUES && !issues.contains(&issue) {
        issues.push(issue);
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    issues: Vec<StrictIssue>,
}

type Parse<T> = Result<T, ParseError>;

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The error for the byte at the current place.
    #[cold]
    fn unexpected(&self, context: &str) -> ParseError {
        match self.peek() {
            None => ParseError("unexpected end of JSON input".to_owned()),
            Some(byte) => ParseError(format!("invalid character {} {context}", quoted(byte))),
        }
    }

    fn value(&mut self, depth: usize, path: &FieldPath<'_>) -> Parse<Value> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Err(self.unexpected("exceeded max depth")),
            Some(b'{') => self.object(depth + 1, path),
            Some(b'[') => self.list(depth + 1, path),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Parse<Value> {
        for &wanted in word.as_bytes() {
            if self.peek() != Some(wanted) {
                let context = format!("in literal {word} (expecting '{}')", char::from(wanted));
                return Err(self.unexpected(&context));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize, path: &FieldPath<'_>) -> Parse<Value> {
        let mut map = Map::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(map));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            let value = self.value(depth, &path.child(&key))?;
            match map.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(mut place) => {
                    let twice = path.child(place.key()).to_string();
                    record(&mut self.issues, StrictIssue::Duplicate(twice));
                    place.insert(value);
                }
            }
            if self.ends(b'}', "after object key:value pair")? {
                return Ok(Value::Object(map));
            }
        }
    }

    fn list(&mut self, depth: usize, path: &FieldPath<'_>) -> Parse<Value> {
        let mut list = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(list));
        }
        loop {
            let value = self.value(depth, &path.index(list.len()))?;
            list.push(value);
            if self.ends(b']', "after array element")? {
                return Ok(Value::Array(list));
            }
        }
    }

    /// Passes a comma (false) or the closing bracket (true).
    fn ends(&mut self, close: u8, context: &str) -> Parse<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == close => {
                self.at += 1;
                return Ok(true);
            }
            _ => return Err(self.unexpected(context)),
        }
        Ok(false)
    }

    fn string(&mut self) -> Parse<String> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = text_of(&self.bytes[start..self.at]);
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => return self.escaped_string(start),
                Some(byte) if byte >= b' ' => self.at += 1,
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// The rest of a string that has escapes; `plain` is where its unescaped run starts.
    fn escaped_string(&mut self, mut plain: usize) -> Parse<String> {
        let mut text = String::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    text.push_str(&text_of(&self.bytes[plain..self.at]));
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    text.push_str(&text_of(&self.bytes[plain..self.at]));
                    self.at += 1;
                    text.push(self.escape()?);
                    plain = self.at;
                }
                Some(byte) if byte >= b' ' => self.at += 1,
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Parse<char> {
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// Behind `\u`. A half surrogate becomes U+FFFD, as in Go.
    fn unicode(&mut self) -> Parse<char> {
        let first = self.four_digits()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let rest = self.at;
        if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = rest;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Parse<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Parse<Value> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = text_of(&self.bytes[start..self.at]);
        number_of(&text)
    }

    fn digits(&mut self, context: &str) -> Parse<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected(context)) } else { Ok(()) }
    }
}

/// Text of string bytes; invalid UTF-8 is replaced, as in Go.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number_of(text: &str) -> Parse<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(Value::from(whole));
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Ok(Value::from(whole));
    }
    let float = text.parse::<f64>().ok().and_then(Number::from_f64);
    float.map(Value::Number).ok_or_else(|| {
        ParseError(format!("json: cannot unmarshal number {text} into Go value of type float64"))
    })
}

/// A byte as Go quotes it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        7 => "'\\a'".to_owned(),
        8 => "'\\b'".to_owned(),
        9 => "'\\t'".to_owned(),
        10 => "'\\n'".to_owned(),
        11 => "'\\v'".to_owned(),
        12 => "'\\f'".to_owned(),
        13 => "'\\r'".to_owned(),
        0..32 | 127 => format!("'\\x{byte:02x}'"),
        128..=160 | 173 => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests;
