//! Why an expression does not compile, or cannot be evaluated.

use std::fmt;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No entry under the key.
    NoSuchKey(Box<str>),
    /// No function takes values of these types.
    NoSuchOverload,
    /// This function takes no values of these types.
    Overload(Box<str>),
    /// It costs more than it may.
    Exceeded,
    /// Anything else.
    Other(Box<str>),
}

impl Error {
    /// With a text of its own.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self::Other(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchKey(key) => write!(f, "no such key: {key}"),
            Self::NoSuchOverload => f.write_str("no such overload"),
            Self::Overload(call) => write!(f, "no such overload: {call}"),
            Self::Exceeded => f.write_str("operation cancelled: actual cost limit exceeded"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Characters before it.
    pub offset: usize,
    /// What is wrong.
    pub text: String,
}

/// Everything that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    source: String,
    /// In the order of their places.
    pub issues: Vec<Issue>,
}

impl CompileError {
    pub(super) fn new(source: &str, mut issues: Vec<Issue>) -> Self {
        issues.sort_by_key(|issue| issue.offset);
        issues.dedup();
        Self { source: source.to_owned(), issues }
    }
}

/// Each with its line and a mark below the place, as CEL's compilers do.
impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, issue) in self.issues.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            let before: String = self.source.chars().take(issue.offset).collect();
            let line = before.matches('\n').count();
            let column = before.chars().rev().take_while(|c| *c != '\n').count();
            let shown = self.source.split('\n').nth(line).unwrap_or_default();
            let mark = ".".repeat(column);
            let (line, text) = (line + 1, &issue.text);
            write!(f, "ERROR: <input>:{line}:{}: {text}\n | {shown}\n | {mark}^", column + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}
