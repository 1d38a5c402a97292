//! Expressions of admission policies: what they may name, what they have to give, and their values.
//!
//! Flow: a [`Compiler`] compiles the expressions of one policy, its variables first -> [`Expression`] -> evaluated in a
//! [`Scope`], which has the values of one request, one binding and one object of parameters. Owns: the types of
//! `request` and `namespaceObject`, the `authorizer`, `variables`, and the objects that mutations make (`Object{}`,
//! `JSONPatch{}`). The language itself is [`crate::cel`].
//! Invariants: an expression that compiles is of the type that its place asks for; the value of a variable is made at
//! most once in a scope, and a variable that cannot be evaluated fails only those who name it.
//! Upstream: apiserver `pkg/admission/plugin/cel`, `pkg/cel/mutation`.

mod authorizer;
mod declare;
mod evaluate;
mod object;
mod type_check;

#[cfg(test)]
mod tests;

pub use authorizer::{Answer, Authorize, Checked, Checks, Question};
pub use evaluate::{Scope, Subject};
pub use type_check::{ParamsType, TypeChecker};

use crate::cel::{Environment, Kind, Program, Type};
use declare::Names;
use regex::Regex;
use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whether a policy is about a request.
    Condition,
    /// A value that others use.
    Variable,
    /// Whether a request is valid.
    Validation,
    /// Why it is not.
    Message,
    /// An annotation for the audit log.
    Annotation,
    /// A configuration that is merged into the object.
    ApplyConfiguration,
    /// A JSON patch.
    JsonPatch,
}

impl Role {
    const fn is_patch(self) -> bool {
        matches!(self, Self::ApplyConfiguration | Self::JsonPatch)
    }

    /// What is wrong with values of a type.
    fn misfit(self, found: &Type) -> Option<String> {
        let is_object = |ty: &Type, name: &str| matches!(&ty.kind, Kind::Object(of) if *of.name == *name);
        let (fits, wanted) = match self {
            Self::Variable => return None,
            Self::Condition | Self::Validation => (found.kind == Kind::Bool, "bool"),
            Self::Message => (found.kind == Kind::String, "string"),
            Self::Annotation => {
                (matches!(found.kind, Kind::String | Kind::Null), "one of [string null_type]")
            }
            Self::ApplyConfiguration => (is_object(found, "Object"), "Object"),
            Self::JsonPatch => {
                (matches!(&found.kind, Kind::List(of) if is_object(of, "JSONPatch")), "list(JSONPatch)")
            }
        };
        (!fits).then(|| format!("must evaluate to {wanted} but got {found}"))
    }
}

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    program: Program,
    /// As it is written, for errors.
    text: Box<str>,
    names: Names,
    /// The variables whose values it may need, in the order in which they are declared.
    needs: Vec<usize>,
}

/// The variables of a policy.
#[derive(Debug, Default)]
pub struct Variables(Vec<Variable>);

#[derive(Debug)]
struct Variable {
    name: Box<str>,
    ty: Type,
    /// Or why it does not compile.
    expression: Result<Expression, String>,
}

/// Compiles the expressions of one policy.
#[derive(Debug)]
pub struct Compiler {
    has_params: bool,
    variables: Variables,
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// Names of variables can be used at all.
    is_composed: bool,
}

/// A use of a variable; one without a name behind the dot may be of any.
static USE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\bvariables\b(?:\s*\.\s*\??\s*([A-Za-z_][A-Za-z0-9_]*))?").expect("it is a valid pattern")
});

impl Compiler {
    /// For a policy that has parameters or has none.
    pub fn new(has_params: bool) -> Self {
        Self { has_params, variables: Variables::default(), by_name: HashMap::new(), is_composed: false }
    }

    /// With `variables`, even if there are none.
    #[must_use]
    pub fn composed(mut self) -> Self {
        self.is_composed = true;
        self
    }

    /// Compiles a variable and declares it for the expressions that follow.
    ///
    /// # Errors
    /// It does not compile, and why; it is declared all the same.
    pub fn declare(&mut self, name: &str, text: &str) -> Result<(), String> {
        self.is_composed = true;
        let expression = self.compile(text, Role::Variable);
        let ty = expression.as_ref().map_or(Type::DYN, |made| declare::of_variable(made.program.output()));
        let problem = expression.as_ref().err().cloned();
        // The last of those that have one name counts for what follows; what came before keeps the one that it means.
        self.by_name.entry(name.into()).or_default().push(self.variables.0.len());
        self.variables.0.push(Variable { name: name.into(), ty, expression });
        problem.map_or(Ok(()), Err)
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn compile(&self, text: &str, role: Role) -> Result<Expression, String> {
        let names =
            Names { params: self.has_params, authorizer: role != Role::Message, variables: self.is_composed };
        let named = self.named(text);
        let environment = self.environment(names, &named, role.is_patch());
        let program = environment.compile(text).map_err(|why| format!("compilation failed: {why}"))?;
        if let Some(problem) = role.misfit(program.output()) {
            return Err(problem);
        }
        Ok(Expression { needs: self.needs(named), program, text: text.into(), names })
    }

    /// Of the variables only those that the text names: a policy may have thousands.
    fn environment(&self, names: Names, named: &[usize], has_objects: bool) -> Environment {
        let variables = named.iter().map(|i| &self.variables.0[*i]).map(|one| (&*one.name, one.ty.clone()));
        declare::environment(names, [Type::DYN, Type::DYN], Type::DYN, variables.collect(), has_objects)
    }

    /// The variables that a text may name, in the order in which they were declared.
    fn named(&self, text: &str) -> Vec<usize> {
        let mut named = BTreeSet::new();
        for found in USE.captures_iter(text) {
            match found.get(1) {
                Some(name) => named.extend(self.by_name.get(name.as_str()).into_iter().flatten()),
                None => return (0..self.variables.0.len()).collect(),
            }
        }
        named.into_iter().collect()
    }

    /// These variables with those that they need.
    fn needs(&self, named: Vec<usize>) -> Vec<usize> {
        let below = named.iter().filter_map(|i| self.variables.0[*i].expression.as_ref().ok());
        let below: Vec<usize> = below.flat_map(|made| made.needs.iter().copied()).collect();
        named.into_iter().chain(below).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Declares a variable of a policy that was checked when it was written.
    pub fn keep(&mut self, name: &str, text: &str) {
        // What does not compile fails those who name it.
        let _ = self.declare(name, text);
    }

    /// The variables that were declared.
    pub fn into_variables(self) -> Variables {
        self.variables
    }
}
