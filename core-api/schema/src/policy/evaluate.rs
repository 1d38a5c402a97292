//! The values of expressions for one request, one binding and one object of parameters.
//!
//! Upstream: apiserver `pkg/admission/plugin/cel/{activation,composition,condition}.go`.

use super::{Expression, Variables, authorizer::Asking, authorizer::Authorize, authorizer::Checks, object};
use crate::cel::{Error, MATCH_CONDITIONS_BUDGET, PER_CALL_LIMIT, RUNTIME_BUDGET, Value};
use serde_json::Value as Json;
use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The object, null on delete.
    pub object: &'a Json,
    /// The object before, null on create.
    pub old: &'a Json,
    /// The request.
    pub request: &'a Json,
    /// Its namespace, null when it is in none.
    pub namespace: &'a Json,
}

/// Values of the names that expressions use.
#[derive(Debug)]
pub struct Scope<'a> {
    subject: Subject<'a>,
    params: &'a Json,
    authorizer: Value<'a>,
    requested: Value<'a>,
    variables: &'a Variables,
    /// The values of variables that were needed so far.
    known: RefCell<Vec<Option<Result<Value<'a>, String>>>>,
    /// What evaluations may cost yet.
    budget: Cell<u64>,
}

impl<'a> Scope<'a> {
    /// For the conditions of a policy: they have a budget of their own.
    pub fn new(
        subject: Subject<'a>,
        params: &'a Json,
        variables: &'a Variables,
        authorizer: Arc<dyn Authorize>,
        requested: &Checks,
    ) -> Self {
        let asking = Asking::new(authorizer);
        Self {
            subject,
            params,
            authorizer: asking.start(),
            requested: asking.about(requested),
            variables,
            known: RefCell::new(vec![None; variables.0.len()]),
            budget: Cell::new(MATCH_CONDITIONS_BUDGET),
        }
    }

    /// For what a policy does once its conditions hold.
    pub fn about(&self, subject: Subject<'a>) -> Self {
        Self {
            subject,
            params: self.params,
            authorizer: self.authorizer.clone(),
            requested: self.requested.clone(),
            variables: self.variables,
            known: RefCell::new(vec![None; self.variables.0.len()]),
            budget: Cell::new(RUNTIME_BUDGET),
        }
    }

    /// The values in the order in which the environment declares their names.
    fn values(&self, expression: &Expression) -> Vec<Value<'a>> {
        let Subject { object, old, request, namespace } = self.subject;
        let mut values: Vec<_> = [object, old, request, namespace].into_iter().map(Value::of_json).collect();
        if expression.names.params {
            values.push(Value::of_json(self.params));
        }
        if expression.names.authorizer {
            values.extend([self.authorizer.clone(), self.requested.clone()]);
        }
        if expression.names.variables {
            let known = self.known.borrow();
            let needed = expression.needs.iter().filter_map(|i| {
                let value = known.get(*i)?.as_ref()?.as_ref().ok()?;
                Some((&*self.variables.0.get(*i)?.name, value.clone()))
            });
            values.push(Value::object(needed));
        }
        values
    }

    /// Makes sure of the variables that an expression needs.
    fn prepare(&self, expression: &'a Expression) {
        for i in &expression.needs {
            let is_known = self.known.borrow().get(*i).is_none_or(Option::is_some);
            let Some(variable) = self.variables.0.get(*i).filter(|_| !is_known) else { continue };
            let name = &variable.name;
            let value = match &variable.expression {
                Ok(expression) => self.run(expression).map_err(|why| {
                    format!(
                        "composited variable \"{name}\" fails to evaluate: {}",
                        self.explained(expression, &why)
                    )
                }),
                Err(why) => Err(format!("composited variable \"{name}\" fails to compile: {why}")),
            };
            if let Some(known) = self.known.borrow_mut().get_mut(*i) {
                *known = Some(value);
            }
        }
    }

    /// Evaluates an expression whose variables are known.
    fn run(&self, expression: &'a Expression) -> Result<Value<'a>, Error> {
        let left = self.budget.get();
        let done = expression.program.evaluate(&self.values(expression), left.min(PER_CALL_LIMIT));
        self.budget.set(left.saturating_sub(done.cost));
        match done.value {
            Err(Error::Exceeded) if left < PER_CALL_LIMIT => Err(Error::new(OVER_BUDGET)),
            value => value,
        }
    }

    /// A variable that has no value is missing: why that is stands for the error.
    fn explained(&self, expression: &Expression, why: &Error) -> String {
        let Error::NoSuchKey(key) = why else { return why.to_string() };
        let known = self.known.borrow();
        let failed = expression.needs.iter().find_map(|i| {
            let is_it = self.variables.0.get(*i).is_some_and(|variable| variable.name == *key);
            known.get(*i).filter(|_| is_it)?.as_ref()?.as_ref().err().cloned()
        });
        failed.unwrap_or_else(|| why.to_string())
    }
}

pub(super) const OVER_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

impl Expression {
    /// The value in a scope.
    ///
    /// # Errors
    /// It cannot be evaluated.
    fn value<'a>(&'a self, scope: &Scope<'a>) -> Result<Value<'a>, String> {
        scope.prepare(self);
        scope.run(self).map_err(|why| {
            let why = scope.explained(self, &why);
            if why == OVER_BUDGET {
                why
            } else {
                format!("expression '{}' resulted in error: {why}", self.text)
            }
        })
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// It cannot be evaluated.
    pub fn is_true<'a>(&'a self, scope: &Scope<'a>) -> Result<bool, String> {
        Ok(matches!(self.value(scope)?, Value::Bool(true)))
    }

    /// The text, unless it is something else.
    ///
    /// # Errors
    /// It cannot be evaluated.
    pub fn text<'a>(&'a self, scope: &Scope<'a>) -> Result<Option<String>, String> {
        Ok(self.value(scope)?.as_str().map(str::to_owned))
    }

    /// The text of an annotation, none for null; or the type of what is neither.
    ///
    /// # Errors
    /// It cannot be evaluated.
    pub fn annotation<'a>(&'a self, scope: &Scope<'a>) -> Result<Result<Option<String>, String>, String> {
        Ok(match self.value(scope)? {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.to_string())),
            other => Err(other.type_name().to_owned()),
        })
    }

    /// The configuration that it makes.
    ///
    /// # Errors
    /// It cannot be evaluated, or the types of its parts are not those of their places.
    pub fn configuration<'a>(&'a self, scope: &Scope<'a>) -> Result<Json, String> {
        let value = self.value(scope)?;
        object::check_size(&value)?;
        object::check_types(&value)?;
        object::to_json(&value)
    }

    /// The operations of the JSON patch that it makes.
    ///
    /// # Errors
    /// It cannot be evaluated, or the types of its parts are not those of their places.
    pub fn operations<'a>(&'a self, scope: &Scope<'a>) -> Result<Vec<Json>, String> {
        object::operations(&self.value(scope)?)
    }
}
