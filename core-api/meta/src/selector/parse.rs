//! The query string form of label selectors. A NUL character, where upstream stops reading, is an ordinary (and so
//! invalid) character here.

use super::label::{Operator, Requirement, check_key};
use crate::field::{FieldErrors, FieldPath};
use std::collections::BTreeSet;

/// Why a text is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(super) String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    End,
    ClosedPar,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    OpenPar,
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    position: usize,
    path: &'a FieldPath<'a>,
}

type Parsed<T> = Result<T, String>;

pub(super) fn parse(text: &str, path: &FieldPath<'_>) -> Result<Vec<Requirement>, SelectorError> {
    Parser { tokens: scan(text), position: 0, path }.requirements().map_err(SelectorError)
}

fn scan(text: &str) -> Vec<(Token, &str)> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let (token, length) = next(rest);
        tokens.push((token, &rest[..length]));
        rest = rest[length..].trim_start_matches(is_space);
    }
    tokens
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The longest token at the start of a text that is not empty, with its length.
fn next(text: &str) -> (Token, usize) {
    for (symbol, token) in [("==", Token::DoubleEquals), ("!=", Token::NotEquals)] {
        if text.starts_with(symbol) {
            return (token, 2);
        }
    }
    let token = match text.as_bytes()[0] {
        b')' => Token::ClosedPar,
        b',' => Token::Comma,
        b'!' => Token::Not,
        b'=' => Token::Equals,
        b'>' => Token::Greater,
        b'<' => Token::Less,
        b'(' => Token::OpenPar,
        _ => return word(text),
    };
    (token, 1)
}

fn word(text: &str) -> (Token, usize) {
    let ends = |c: char| is_space(c) || matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let length = text.find(ends).unwrap_or(text.len());
    let token = match &text[..length] {
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => Token::Identifier,
    };
    (token, length)
}

impl<'a> Parser<'a> {
    fn peek_operator(&self) -> (Token, &'a str) {
        self.tokens.get(self.position).copied().unwrap_or((Token::End, ""))
    }
    /// `in` and `notin` are words where no operator can be.
    fn peek(&self) -> (Token, &'a str) {
        match self.peek_operator() {
            (Token::In | Token::NotIn, text) => (Token::Identifier, text),
            other => other,
        }
    }
    fn take(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn requirements(mut self) -> Parsed<Vec<Requirement>> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Token::End, _) => return Ok(requirements),
                (Token::Identifier | Token::Not, _) => {
                    let one = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                    requirements.push(one);
                }
                (_, found) => {
                    return Err(format!("found '{found}', expected: !, identifier, or 'end of string'"));
                }
            }
            match self.take() {
                (Token::End, _) => return Ok(requirements),
                (Token::Comma, _) => {}
                (_, found) => return Err(format!("found '{found}', expected: ',' or 'end of string'")),
            }
            let (token, found) = self.peek();
            if !matches!(token, Token::Identifier | Token::Not) {
                return Err(format!("found '{found}', expected: identifier after ','"));
            }
        }
    }

    fn requirement(&mut self) -> Parsed<Requirement> {
        let (mut token, mut key) = self.take();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take();
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let mut errors = FieldErrors::default();
        check_key(key, self.path, &mut errors);
        if !errors.is_empty() {
            return Err(errors.summary());
        }
        let is_unary = negated || matches!(self.peek().0, Token::End | Token::Comma);
        let (operator, values) = match (is_unary, negated) {
            (true, true) => (Operator::DoesNotExist, BTreeSet::new()),
            (true, false) => (Operator::Exists, BTreeSet::new()),
            _ => self.operator_and_values()?,
        };
        let values = values.into_iter().map(str::to_owned).collect();
        Requirement::new(key, operator, values, self.path).map_err(|e| e.summary())
    }

    fn operator_and_values(&mut self) -> Parsed<(Operator, BTreeSet<&'a str>)> {
        let (token, found) = self.peek_operator();
        self.position += 1;
        let operator = match token {
            Token::In => return Ok((Operator::In, self.values()?)),
            Token::NotIn => return Ok((Operator::NotIn, self.values()?)),
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            Token::NotEquals => Operator::NotEquals,
            _ => return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        Ok((operator, BTreeSet::from([self.value()?])))
    }

    fn value(&mut self) -> Parsed<&'a str> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok("");
        }
        match self.take() {
            (Token::Identifier, value) => Ok(value),
            (_, found) => Err(format!("found '{found}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Parsed<BTreeSet<&'a str>> {
        let (token, found) = self.take();
        if token != Token::OpenPar {
            return Err(format!("found '{found}' expected: '('"));
        }
        match self.peek() {
            (Token::ClosedPar, _) => {
                self.position += 1;
                Ok(BTreeSet::from([""]))
            }
            (Token::Identifier | Token::Comma, _) => self.value_list(),
            (_, found) => Err(format!("found '{found}', expected: ',', ')' or identifier")),
        }
    }

    /// Values up to and with the closing parenthesis; nothing between two commas is the empty value.
    fn value_list(&mut self) -> Parsed<BTreeSet<&'a str>> {
        let mut values = BTreeSet::new();
        loop {
            match self.take() {
                (Token::Identifier, value) => {
                    values.insert(value);
                    match self.peek() {
                        (Token::Comma, _) => continue,
                        (Token::ClosedPar, _) => {}
                        (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    let after = self.peek().0;
                    if values.is_empty() || matches!(after, Token::ClosedPar | Token::Comma) {
                        values.insert("");
                    }
                }
                (_, found) => return Err(format!("found '{found}', expected: ',', or identifier")),
            }
            if self.peek().0 == Token::ClosedPar {
                self.position += 1;
                return Ok(values);
            }
        }
    }
}
