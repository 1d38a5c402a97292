//! `x-kubernetes-validations`: rules at the nodes of a schema, compiled once for a version of a definition.
//!
//! Flow: a schema's rules -> [`Validator`], a tree of the nodes that lead to rules -> one walk over value and old value.
//! Rules that name `oldSelf` hold where the old value can be told: fields, map entries, elements of lists of type
//! `map`. What did not change is not held against the user (ratcheting); its problems become warnings.
//! Upstream: apiextensions `pkg/apiserver/schema/cel`.

use super::{
    Environment, Error, PER_CALL_LIMIT, Program, RUNTIME_BUDGET, Type, Value,
    declare::{LARGEST_REQUEST, declared},
    types::Kind,
};
use crate::schema::{ListType, Schema, Shape};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, OnceLock},
};

mod place;

pub(crate) use place::{field_at, field_path};

/// Longest message that an expression makes.
const LONGEST_MESSAGE: usize = 5 << 10;

/// The rules of a whole schema, compiled when they are first needed.
#[derive(Clone, Default)]
pub struct Compiled(OnceLock<Option<Arc<Validator>>>);

impl Compiled {
    /// The rules of this schema, `None` when it has none.
    pub fn of(&self, schema: &Schema) -> Option<&Validator> {
        self.0.get_or_init(|| Validator::of(schema).map(Arc::new)).as_deref()
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "compiled" } else { "not compiled" })
    }
}

/// The rules of a node and of those below it.
#[derive(Debug, Default)]
pub struct Validator {
    rules: Vec<Rule>,
    items: Option<Box<Validator>>,
    entries: Option<Box<Validator>>,
    properties: BTreeMap<Box<str>, Validator>,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    /// What is said when it does not hold and has no message: the message or the rule itself.
    named: Box<str>,
    message: Option<Box<str>>,
    reason: Box<str>,
    place: Option<Box<str>>,
    wants_optional: bool,
    program: Result<Program, String>,
    message_program: Option<Program>,
}

impl Rule {
    fn uses_old(&self) -> bool {
        self.program.as_ref().is_ok_and(|program| program.uses("oldSelf"))
    }
}

/// What the check of a rule found.
pub(crate) struct Checked {
    /// Why it does not compile.
    pub(crate) problem: Option<String>,
    /// Why its `messageExpression` does not compile.
    pub(crate) message_problem: Option<String>,
    /// Whether it names `oldSelf`.
    pub(crate) uses_old: bool,
    /// The most that it costs.
    pub(crate) cost: u64,
    /// The most that its `messageExpression` costs.
    pub(crate) message_cost: Option<u64>,
    /// How many values of the node fit into one request.
    pub(crate) cardinality: u64,
}

fn text<'j>(rule: &'j Json, field: &str) -> &'j str {
    rule[field].as_str().unwrap_or_default()
}

/// The environment of a node's rules.
fn environment(of: &Type, is_optional: bool) -> Environment {
    let old = if is_optional { Type::optional(of.clone()) } else { of.clone() };
    Environment::new([("self", of.clone()), ("oldSelf", old)])
}

/// Checks the rules of a node.
///
/// # Errors
/// Expressions cannot know the node's type.
pub(crate) fn check(schema: &Schema, is_root: bool) -> Result<Vec<Checked>, String> {
    let rules = schema.rules.as_ref().map_or(&[][..], |rules| &rules.validations);
    let Some(of) = declared(schema, is_root, "selfType") else {
        return Err("unable to convert structural schema to CEL declarations".to_owned());
    };
    let cardinality = LARGEST_REQUEST / (of.min_size + 1);
    let checked = |rule: &Json| {
        let environment = environment(&of, rule["optionalOldSelf"] == true);
        let program = compiled(&environment, text(rule, "rule"));
        let message = message_compiled(&environment, text(rule, "messageExpression"));
        let known = program.as_ref().ok();
        Checked {
            uses_old: known.is_some_and(|program| program.uses("oldSelf")),
            cost: known.map_or(0, Program::estimated_cost),
            problem: program.as_ref().err().cloned(),
            // Of a rule that does not compile, the message is not looked at.
            message_cost: message
                .as_ref()
                .filter(|_| known.is_some())
                .and_then(|m| m.as_ref().ok())
                .map(Program::estimated_cost),
            message_problem: message.and_then(Result::err).filter(|_| known.is_some()),
            cardinality,
        }
    };
    Ok(rules.iter().map(checked).collect())
}

fn compiled(environment: &Environment, rule: &str) -> Result<Program, String> {
    let program = environment.compile(rule).map_err(|why| format!("compilation failed: {why}"))?;
    match program.output().kind {
        Kind::Bool => Ok(program),
        _ => Err("cel expression must evaluate to a bool".to_owned()),
    }
}

fn message_compiled(environment: &Environment, expression: &str) -> Option<Result<Program, String>> {
    if expression.is_empty() {
        return None;
    }
    let compile = || {
        let program = environment
            .compile(expression)
            .map_err(|why| format!("messageExpression compilation failed: {why}"))?;
        match program.output().kind {
            Kind::String => Ok(program),
            _ => Err("messageExpression must evaluate to a string".to_owned()),
        }
    };
    Some(compile())
}

impl Validator {
    /// The rules of a whole schema, `None` when it has none.
    pub fn of(schema: &Schema) -> Option<Self> {
        Self::node(schema, true)
    }

    fn node(schema: &Schema, is_root: bool) -> Option<Self> {
        let part = |schema: &Schema| Self::node(schema, schema.embedded_resource);
        let mut made = Self { rules: rules(schema, is_root), ..Self::default() };
        match &schema.shape {
            Shape::List(list) => made.items = part(list.items.get()).map(Box::new),
            Shape::Map(map) => made.entries = part(map.values.get()).map(Box::new),
            Shape::Object(object) => {
                made.entries = object.additional.as_ref().and_then(|values| part(values.get())).map(Box::new);
                for (name, field) in &object.fields {
                    if let Some(validator) = part(field.schema.get()) {
                        made.properties.insert(name.clone(), validator);
                    }
                }
            }
            _ => {}
        }
        let is_empty = made.rules.is_empty()
            && made.items.is_none()
            && made.entries.is_none()
            && made.properties.is_empty();
        (!is_empty).then_some(made)
    }

    /// The rules of one node and those below it, for its default.
    pub(crate) fn of_node(schema: &Schema, is_root: bool) -> Option<Self> {
        Self::node(schema, is_root)
    }

    /// Reports which rules do not hold. `old` is what the value was before; what did not change leads to warnings.
    pub fn validate(
        &self,
        schema: &Schema,
        value: &Json,
        old: Option<&Json>,
        path: &FieldPath<'_>,
        errors: &mut FieldErrors,
    ) -> Vec<String> {
        let mut walk = Walk { budget: Some(RUNTIME_BUDGET), errors, warnings: Vec::new() };
        let before = Before { current: old.map(|old| (value, old)), parent: None, is_top: true };
        walk.node(self, schema, value, old, before, path);
        walk.warnings
    }

    /// As [`validate`](Self::validate), of a default that is its own old value.
    pub(crate) fn validate_default(
        &self,
        schema: &Schema,
        default: &Json,
        path: &FieldPath<'_>,
        errors: &mut FieldErrors,
    ) {
        let mut found = FieldErrors::default();
        for old in [Some(default), None] {
            if found.is_empty() {
                let mut walk =
                    Walk { budget: Some(RUNTIME_BUDGET), errors: &mut found, warnings: Vec::new() };
                walk.node(self, schema, default, old, Before::default(), path);
            }
        }
        errors.extend(found);
    }
}

fn rules(schema: &Schema, is_root: bool) -> Vec<Rule> {
    let written = schema.rules.as_ref().map_or(&[][..], |rules| &rules.validations);
    if written.is_empty() {
        return Vec::new();
    }
    let of = declared(schema, is_root, "selfType").unwrap_or(Type::DYN);
    let rule = |json: &Json| {
        let wants_optional = json["optionalOldSelf"] == true;
        let environment = environment(&of, wants_optional);
        let message = text(json, "message");
        let named = if message.is_empty() { text(json, "rule") } else { message };
        let place = text(json, "fieldPath");
        Rule {
            named: named.trim().into(),
            message: (!message.is_empty()).then(|| message.trim().into()),
            reason: text(json, "reason").into(),
            place: (!place.is_empty()).then(|| field_path(place, schema).ok()).flatten(),
            wants_optional,
            program: compiled(&environment, text(json, "rule")),
            message_program: message_compiled(&environment, text(json, "messageExpression"))
                .and_then(Result::ok),
        }
    };
    written.iter().map(rule).collect()
}

/// What a value was before, for ratcheting: new and old value of the node, or of the nearest node whose old value is
/// known.
#[derive(Clone, Copy, Default)]
struct Before<'v> {
    current: Option<(&'v Json, &'v Json)>,
    parent: Option<(&'v Json, &'v Json)>,
    is_top: bool,
}

impl<'v> Before<'v> {
    fn is_unchanged(self) -> bool {
        // A whole object always changes: its type and metadata are not compared.
        !self.is_top && self.current.or(self.parent).is_some_and(|(new, old)| new == old)
    }
    fn below(self, child: Option<(&'v Json, &'v Json)>) -> Self {
        match self.current {
            None => Self { is_top: false, ..self },
            Some(_) => {
                let parent = if self.is_top { None } else { self.current };
                Self { current: child, parent, is_top: false }
            }
        }
    }
}

struct Walk<'e> {
    /// What rules may still cost; `None` when one has used it up.
    budget: Option<u64>,
    errors: &'e mut FieldErrors,
    warnings: Vec<String>,
}

impl Walk<'_> {
    fn node<'v>(
        &mut self,
        validator: &Validator,
        schema: &Schema,
        value: &'v Json,
        old: Option<&'v Json>,
        before: Before<'v>,
        path: &FieldPath<'_>,
    ) {
        // Rules about null are those of the node around it.
        if value.is_null() || self.budget.is_none() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        if !validator.rules.is_empty() {
            self.rules(&validator.rules, schema, value, old, before, path);
        }
        match value {
            Json::Object(map) => {
                for (name, inner) in map {
                    let (part, child) = match (validator.properties.get(&**name), &validator.entries) {
                        (Some(part), _) => (part, path.child(name)),
                        (None, Some(entries)) if !is_property(schema, name) => (&**entries, path.key(name)),
                        _ => continue,
                    };
                    let Some(inner_schema) = schema.child(name) else { continue };
                    let inner_old = old.and_then(|old| old.get(name));
                    let below = match before.current {
                        Some((_, was)) => before.below(was.get(name).map(|was| (inner, was))),
                        None => before,
                    };
                    self.node(part, inner_schema.get(), inner, inner_old, below, &child);
                }
            }
            Json::Array(list) => {
                let (Some(part), Shape::List(shape)) = (&validator.items, &schema.shape) else { return };
                let keyed = Keyed::of(&shape.list_type, old);
                let was = Keyed::of(&shape.list_type, before.current.map(|(_, was)| was));
                for (i, inner) in list.iter().enumerate() {
                    let below = before.below(was.find(inner).map(|was| (inner, was)));
                    self.node(part, shape.items.get(), inner, keyed.find(inner), below, &path.index(i));
                }
            }
            _ => {}
        }
    }

    fn rules<'v>(
        &mut self,
        rules: &[Rule],
        schema: &Schema,
        value: &'v Json,
        old: Option<&'v Json>,
        before: Before<'v>,
        path: &FieldPath<'_>,
    ) {
        let kind = Json::from(type_name(schema));
        let this = Value::of_object(value, schema);
        let was = old.map(|old| Value::of_object(old, schema));
        for rule in rules {
            let Some(budget) = self.budget else { return };
            let program = match &rule.program {
                Ok(program) => program,
                Err(why) => {
                    self.errors.invalid(path, &kind, &format!("rule compile error: {why}"));
                    continue;
                }
            };
            if rule.uses_old() && was.is_none() && !rule.wants_optional {
                continue;
            }
            let old_self = match (&was, rule.wants_optional) {
                (was, true) => Value::Optional(was.clone().map(Arc::new)),
                (Some(was), false) => was.clone(),
                (None, false) => Value::Null,
            };
            let variables = [this.clone(), old_self];
            let evaluation = program.evaluate(&variables, PER_CALL_LIMIT);
            let Some(left) = budget.checked_sub(evaluation.cost) else {
                const WHY: &str = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.budget = None;
                return self.errors.invalid(path, &kind, WHY);
            };
            self.budget = Some(left);
            let named = &rule.named;
            match evaluation.value {
                Ok(Value::Bool(true)) => {}
                Ok(_) => self.broken(rule, &variables, value, schema, before, path),
                Err(why @ (Error::NoSuchOverload | Error::Overload(_))) => self.errors.invalid(
                    path,
                    &kind,
                    &format!(
                        "'{why}': call arguments did not match a supported operator, function or macro signature for rule: {named}"
                    ),
                ),
                Err(why @ Error::Exceeded) => {
                    self.budget = None;
                    let text = format!(
                        "'{why}': no further validation rules will be run due to call cost exceeds limit for rule: {named}"
                    );
                    self.errors.invalid(path, &kind, &text);
                }
                Err(why) => self.errors.invalid(path, &kind, &format!("{why} evaluating rule: {named}")),
            }
        }
    }

    /// Reports a rule that does not hold.
    fn broken(
        &mut self,
        rule: &Rule,
        variables: &[Value<'_>],
        value: &Json,
        schema: &Schema,
        before: Before<'_>,
        path: &FieldPath<'_>,
    ) {
        let mut found = FieldErrors::default();
        let place = rule.place.as_deref().map(|place| path.child(place));
        let path = place.as_ref().unwrap_or(path);
        match self.message(rule, variables) {
            Ok(made) => {
                let default = || match &rule.message {
                    Some(message) => message.to_string(),
                    None => format!("failed rule: {}", rule.named),
                };
                let detail = made.unwrap_or_else(default);
                let is_compound = matches!(schema.shape, Shape::Object(_) | Shape::Map(_) | Shape::List(_));
                let shown = (!is_compound).then_some(value);
                report(&rule.reason, path, shown, &detail, &mut found);
            }
            Err(why) => {
                self.budget = None;
                found.invalid(path, &Json::from(type_name(schema)), &why);
            }
        }
        if !rule.uses_old() && before.is_unchanged() {
            self.warnings.extend(found.iter().map(ToString::to_string));
        } else {
            self.errors.extend(found);
        }
    }

    /// The text that `messageExpression` makes; `None` when there is no such expression or it makes no good text.
    fn message(&mut self, rule: &Rule, variables: &[Value<'_>]) -> Result<Option<String>, String> {
        let (Some(program), Some(budget)) = (&rule.message_program, self.budget) else { return Ok(None) };
        let evaluation = program.evaluate(variables, PER_CALL_LIMIT);
        let Some(left) = budget.checked_sub(evaluation.cost) else {
            return Err("messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run".to_owned());
        };
        self.budget = Some(left);
        match evaluation.value {
            Err(Error::Exceeded) => {
                Err("no further validation rules will be run due to call cost exceeds limit for messageExpression".to_owned())
            }
            Ok(Value::String(made)) => {
                let made = made.trim();
                let is_good = !made.is_empty() && made.len() <= LONGEST_MESSAGE && !made.contains('\n');
                Ok(is_good.then(|| made.to_owned()))
            }
            _ => Ok(None),
        }
    }
}

fn report(reason: &str, path: &FieldPath<'_>, value: Option<&Json>, detail: &str, errors: &mut FieldErrors) {
    match (reason, value) {
        ("FieldValueForbidden", _) => errors.forbidden(path, detail),
        ("FieldValueRequired", _) => errors.required(path, detail),
        ("FieldValueDuplicate", Some(value)) => errors.duplicate(path, value),
        ("FieldValueDuplicate", None) => errors.duplicate_omitted(path),
        (_, Some(value)) => errors.invalid(path, value, detail),
        (_, None) => errors.invalid_omitted(path, detail),
    }
}

fn is_property(schema: &Schema, name: &str) -> bool {
    matches!(&schema.shape, Shape::Object(object) if object.fields.contains_key(name))
}

/// `type` as the schema says it.
fn type_name(schema: &Schema) -> &'static str {
    match &schema.shape {
        Shape::Object(_) | Shape::Map(_) => "object",
        Shape::List(_) => "array",
        Shape::Boolean => "boolean",
        Shape::Integer { .. } => "integer",
        Shape::Number => "number",
        Shape::IntOrString | Shape::Any => "",
        _ => "string",
    }
}

/// Old elements of a list of type `map`, by their keys.
struct Keyed<'v> {
    keys: &'v [Box<str>],
    elements: HashMap<String, &'v Json>,
}

impl<'v> Keyed<'v> {
    fn of<'s: 'v>(list_type: &'s ListType, old: Option<&'v Json>) -> Self {
        let (ListType::Map(keys), Some(Json::Array(list))) = (list_type, old) else {
            return Self { keys: &[], elements: HashMap::new() };
        };
        let mut elements = HashMap::with_capacity(list.len());
        for element in list {
            if let Some(key) = key_of(element, keys) {
                elements.entry(key).or_insert(element);
            }
        }
        Self { keys, elements }
    }
    fn find(&self, element: &Json) -> Option<&'v Json> {
        if self.elements.is_empty() {
            return None;
        }
        self.elements.get(&key_of(element, self.keys)?).copied()
    }
}

fn key_of(element: &Json, keys: &[Box<str>]) -> Option<String> {
    let mut made = String::new();
    for key in keys {
        let value = element
            .get(&**key)
            .filter(|value| !value.is_object() && !value.is_array() && !value.is_null())?;
        made.push_str(&value.to_string());
        made.push('\0');
    }
    Some(made)
}

#[cfg(test)]
mod tests;
