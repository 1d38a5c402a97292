//! Text to nodes. Follows upstream's scanner step by step, for its habits are visible to users.

use super::{Comparison, Filter, JsonPathError, Node, Slice};
use serde_json::Value;

/// Deepest nesting of filters and unions.
const MAX_DEPTH: usize = 8;

pub(super) fn parse(text: &str) -> Result<Vec<Node>, JsonPathError> {
    Parser { rest: text, depth: 0 }.nodes()
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

fn error(text: impl Into<String>) -> JsonPathError {
    JsonPathError(text.into())
}

fn is_terminator(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

impl<'a> Parser<'a> {
    /// Nodes of an expression inside this one.
    fn inner(&self, text: &str) -> Result<Vec<Node>, JsonPathError> {
        if self.depth >= MAX_DEPTH {
            return Err(error("too many nested expressions"));
        }
        Parser { rest: text, depth: self.depth + 1 }.nodes()
    }

    fn nodes(mut self) -> Result<Vec<Node>, JsonPathError> {
        let mut nodes = Vec::new();
        while let Some(c) = self.rest.chars().next() {
            if let Some(rest) = self.rest.strip_prefix("[?(") {
                nodes.push(self.filter(rest)?);
                continue;
            }
            if let Some(rest) = self.rest.strip_prefix("..") {
                self.recursive(rest, &mut nodes)?;
                continue;
            }
            match c {
                '\r' | '\n' => return Err(error("unclosed action")),
                ' ' | '@' | '$' => self.rest = &self.rest[1..],
                '[' => self.brackets(&mut nodes)?,
                '"' | '\'' => nodes.push(self.quoted(c)?),
                '.' => {
                    self.rest = &self.rest[1..];
                    nodes.push(self.field());
                }
                '+' | '-' | '0'..='9' => nodes.push(self.number()?),
                c if c == '_' || c.is_alphanumeric() => nodes.push(self.word()?),
                c => {
                    return Err(error(format!(
                        "unrecognized character in action: U+{:04X} '{c}'",
                        u32::from(c)
                    )));
                }
            }
        }
        Ok(nodes)
    }

    /// Takes the text up to `end`.
    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn recursive(&mut self, rest: &'a str, nodes: &mut Vec<Node>) -> Result<(), JsonPathError> {
        if nodes.last() == Some(&Node::Recursive) {
            return Err(error("invalid multiple recursive descent"));
        }
        nodes.push(Node::Recursive);
        self.rest = rest;
        if rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()) {
            nodes.push(self.field());
        }
        Ok(())
    }

    fn field(&mut self) -> Node {
        let mut end = self.rest.len();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if is_terminator(c) {
                end = at;
                break;
            }
        }
        match self.take(end) {
            "*" => Node::Wildcard,
            name => Node::Field(name.replace('\\', "").into()),
        }
    }

    fn number(&mut self) -> Result<Node, JsonPathError> {
        let signed = usize::from(self.rest.starts_with(['+', '-']));
        let digits = self.rest[signed..].find(|c: char| c != '.' && !c.is_ascii_digit());
        let end = digits.map_or(self.rest.len(), |at| at + signed);
        let text = self.take(end);
        let value = match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => Value::from(whole),
            (_, Ok(float)) => Value::from(float),
            _ => return Err(error(format!("cannot parse number {text}"))),
        };
        Ok(Node::Literal(value))
    }

    fn word(&mut self) -> Result<Node, JsonPathError> {
        let end = self.rest.find(is_terminator).unwrap_or(self.rest.len());
        match self.take(end) {
            "true" => Ok(Node::Literal(Value::Bool(true))),
            "false" => Ok(Node::Literal(Value::Bool(false))),
            other => Err(error(format!("unrecognized identifier {other}"))),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Node, JsonPathError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    _ => {
                        let all = self.rest;
                        return Err(error(format!("unquote string {all} error invalid syntax")));
                    }
                },
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Node::Literal(Value::String(text)));
                }
                c => text.push(c),
            }
        }
        Err(error("unterminated quoted string"))
    }

    fn brackets(&mut self, nodes: &mut Vec<Node>) -> Result<(), JsonPathError> {
        let end = self.rest.find([']', '\n']).filter(|&at| self.rest[at..].starts_with(']'));
        let end = end.ok_or_else(|| error("unterminated array"))?;
        let text = &self.rest[1..end];
        self.rest = &self.rest[end + 1..];
        if text.contains(',') {
            let parts = text.split(',').map(|part| format!("[{}]", part.trim_matches(' ')));
            let alternatives: Result<_, _> = parts.map(|part| self.inner(&part)).collect();
            nodes.push(Node::Union(alternatives?));
            return Ok(());
        }
        let key = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        match key.filter(|key| !key.contains('\'')) {
            Some(key) => {
                nodes.extend(self.inner(&format!(".{key}"))?);
            }
            None => nodes.push(Node::Slice(slice(if text == "*" { ":" } else { text })?)),
        }
        Ok(())
    }

    /// Behind `[?(`.
    fn filter(&mut self, rest: &'a str) -> Result<Node, JsonPathError> {
        let end = filter_end(rest)?;
        let text = &rest[..end];
        self.rest = rest[end + 1..].strip_prefix(']').ok_or_else(|| error("unclosed array expect ]"))?;
        let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
        let Some(start) = text.find(is_operator).filter(|&at| at > 0) else {
            return Ok(Node::Filter(Box::new(Filter { left: self.inner(text)?, comparison: None })));
        };
        let (left, behind) = text.split_at(start);
        let width = behind.find(|c| !is_operator(c)).unwrap_or(behind.len());
        let (operator, right) = behind.split_at(width);
        let (left, right) = (self.inner(left)?, self.inner(right)?);
        let comparison = match operator {
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterEqual,
            other => return Err(error(format!("unrecognized filter operator {other}"))),
        };
        Ok(Node::Filter(Box::new(Filter { left, comparison: Some((comparison, right)) })))
    }
}

/// The closing parenthesis that is not inside the filter's quoted text.
fn filter_end(text: &str) -> Result<usize, JsonPathError> {
    let mut quote = None;
    let mut is_closed = false;
    let mut before = '(';
    for (at, c) in text.char_indices() {
        match c {
            '\n' => break,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            '"' | '\'' => is_closed = is_closed || (before != '\\' && quote == Some(c)),
            ')' if quote.is_some() == is_closed => return Ok(at),
            _ => {}
        }
        before = c;
    }
    Err(error("unterminated filter"))
}

fn slice(text: &str) -> Result<Slice, JsonPathError> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_part = |part: &&str| part.strip_prefix('-').unwrap_or(part).bytes().all(|b| b.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(is_part) || text.is_empty() {
        return Err(error(format!("invalid array index {text}")));
    }
    let number = |at: usize| match parts.get(at) {
        None | Some(&"") => Ok(None),
        Some(digits) => digits
            .parse::<i64>()
            .map(Some)
            .map_err(|_| error(format!("array index {digits} is not a number"))),
    };
    Ok(Slice { start: number(0)?, end: number(1)?, step: number(2)?, is_index: parts.len() == 1 })
}
