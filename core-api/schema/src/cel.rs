//! Expressions of the Common Expression Language, with the functions of Kubernetes: compiled and type-checked once,
//! evaluated on each object.
//!
//! Flow: [`Environment`] (variables and their types) -> [`Program`] (checked, cost estimated) -> [`Evaluation`].
//! Invariants: a program names only what exists and its types fit, as far as they are declared; evaluation has no
//! effects, copies no objects, and ends: costs are counted as upstream counts them, and what they do not see (deep
//! comparisons, growing texts) has limits of its own. The crate `cel` parses; checking and evaluation are here,
//! because its evaluator has neither types nor costs. Deliberately absent: protobuf messages, containers.
//! Upstream: apiserver `pkg/cel`, cel-go `checker`, `interpreter`.

mod check;
mod cost;
mod declare;
mod device;
mod error;
mod escape;
mod estimate;
mod ir;
mod json;
mod kube;
mod library;
mod lists;
mod machine;
mod ops;
pub mod rules;
mod text;
mod time;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use declare::{declared, object_type};
pub use device::{Misfit, check_device_expression};
pub use error::{CompileError, Error, Issue};
pub use escape::is_identifier;
pub use machine::Machine;
pub use time::parse_duration;
pub use types::{Kind, ObjectType, Type};
pub use value::{Foreign, List, MADE_TYPE, Map, Record, Text, Value};

use check::{Checker, Scope};
use ir::Node;
use regex::Regex;
use std::collections::HashMap;

/// The most that one evaluation may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// The most that all rules of one object, or all expressions of one policy binding, may cost.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// The most that all match conditions of one webhook or policy may cost.
pub const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;

/// Longest expression, in characters.
const LONGEST: usize = 100_000;
/// Most operators and brackets: each may be one level of the parser's stack.
const MOST_OPERATORS: usize = 10_000;
/// Deepest brackets of the parser.
const DEEPEST: u16 = 96;
/// Stack for parsing and checking; only what is used is ever taken from memory.
const STACK: usize = 256 << 20;

/// What expressions may name.
#[derive(Debug, Default)]
pub struct Environment {
    variables: Vec<(Box<str>, Type)>,
    foreign: Vec<(Box<str>, library::Overload)>,
    has_bind: bool,
    has_objects: bool,
}

impl Environment {
    /// Variables and their types, in the order in which values are given later.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, Type)>) -> Self {
        let variables = variables.into_iter().map(|(name, ty)| (name.into(), ty)).collect();
        Self { variables, ..Self::default() }
    }

    /// With a function of a value that the caller provides ([`Foreign`]), such as
    /// `("group", "kubernetes.authorization.Authorizer.(string) kubernetes.authorization.GroupCheck")`.
    #[must_use]
    pub fn with_function(mut self, name: &str, signature: &str) -> Self {
        self.foreign.push((name.into(), library::Overload::parse(signature)));
        self
    }

    /// With `cel.bind`.
    #[must_use]
    pub const fn with_bind(mut self) -> Self {
        self.has_bind = true;
        self
    }

    /// With objects that mutations make: `Object{}`, `Object.spec{}`, `JSONPatch{}`.
    #[must_use]
    pub const fn with_objects(mut self) -> Self {
        self.has_objects = true;
        self
    }

    /// With one more variable, behind the others; a name with a dot goes before the field of another variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, ty: Type) -> Self {
        self.variables.push((name.into(), ty));
        self
    }

    /// Parses and checks `text`.
    ///
    /// # Errors
    /// What is wrong and where, in the words of CEL's compilers.
    pub fn compile(&self, text: &str) -> Result<Program, CompileError> {
        let issue = |text: String| vec![Issue { offset: 0, text }];
        let length = text.chars().count();
        if length > LONGEST {
            let why = format!("expression code point size exceeds limit: size: {length}, limit {LONGEST}");
            return Err(CompileError::new(text, issue(why)));
        }
        let is_operator = |b: &u8| b"+-*/%<>=!&|?:.,([{".contains(b);
        if text.bytes().filter(|b| is_operator(b)).count() > MOST_OPERATORS {
            let why = format!("expression has more than {MOST_OPERATORS} operators");
            return Err(CompileError::new(text, issue(why)));
        }
        // The parser recurses; a stack of its own keeps that of the caller out of danger.
        let compiled = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("cel".to_owned()).stack_size(STACK);
            builder
                .spawn_scoped(scope, || self.parse_and_check(text))
                .map(std::thread::ScopedJoinHandle::join)
        });
        match compiled {
            Ok(Ok(compiled)) => compiled.map_err(|issues| CompileError::new(text, issues)),
            Ok(Err(_)) | Err(_) => {
                Err(CompileError::new(text, issue("expression cannot be compiled".to_owned())))
            }
        }
    }

    fn parse_and_check(&self, text: &str) -> Result<Program, Vec<Issue>> {
        let parser = cel::Env::default().parser().max_recursion_depth(DEEPEST);
        let (root, source) = parser.parse_with_source_info(text).map_err(|errors| {
            let issue = |error: &cel::ParseError| Issue {
                offset: offset_of(text, error.pos),
                text: error.msg.clone(),
            };
            errors.errors.iter().map(issue).collect::<Vec<_>>()
        })?;
        let Self { variables, foreign, has_bind, has_objects } = self;
        let scope = Scope { variables, foreign, has_bind: *has_bind, has_objects: *has_objects };
        let mut checker = Checker::new(&scope, &source);
        let root = checker.check(&root);
        for issues in [&mut checker.issues, &mut checker.later] {
            if !issues.is_empty() {
                return Err(std::mem::take(issues));
            }
        }
        let used = self.variables.iter().zip(&checker.used).filter(|(_, used)| **used);
        let used = used.map(|((name, _), _)| name.clone()).collect();
        Ok(Program {
            cost: estimate::cost(&root, self.variables.first().map(|(_, ty)| ty)),
            root,
            patterns: checker.patterns,
            used,
        })
    }
}

/// Characters before a line and column, both counted from one.
fn offset_of(text: &str, (line, column): (isize, isize)) -> usize {
    let count = |n: isize| usize::try_from(n - 1).unwrap_or(0);
    let before: usize = text.split('\n').take(count(line)).map(|line| line.chars().count() + 1).sum();
    before + count(column)
}

/// A checked expression.
#[derive(Debug)]
pub struct Program {
    root: Node,
    patterns: HashMap<Box<str>, Regex>,
    used: Vec<Box<str>>,
    cost: u64,
}

/// What became of an evaluation.
#[derive(Debug)]
pub struct Evaluation<'a> {
    /// The value, or why there is none.
    pub value: Result<Value<'a>, Error>,
    /// What it did cost.
    pub cost: u64,
}

impl Program {
    /// The type of its values.
    pub fn output(&self) -> &Type {
        &self.root.ty
    }
    /// Whether it names this variable.
    pub fn uses(&self, variable: &str) -> bool {
        self.used.iter().any(|name| **name == *variable)
    }
    /// The most that an evaluation can cost.
    pub fn estimated_cost(&self) -> u64 {
        self.cost
    }
    /// The value, with the variables in the order in which the environment declares them. It may cost up to `limit`.
    pub fn evaluate<'a>(&'a self, variables: &[Value<'a>], limit: u64) -> Evaluation<'a> {
        let mut machine = Machine::new(&self.patterns, limit);
        let mut frame = machine::Frame { variables, locals: Vec::new() };
        let value = machine::eval(&mut machine, &mut frame, &self.root);
        Evaluation { value, cost: machine.cost() }
    }
}
