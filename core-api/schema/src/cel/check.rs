//! From the parsed expression to the checked one: names, types, macros.
//!
//! Upstream: cel-go `parser`, `checker`.

use super::{
    error::Issue,
    ir::{Node, Op},
    json, kube, library,
    types::{Kind, Type},
    value::Value,
};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SourceInfo};
use regex::Regex;
use std::collections::HashMap;

mod call;
mod fold;
mod object;

/// Deepest nesting.
const DEEPEST: usize = 250;

/// What an expression may name.
pub(super) struct Scope<'e> {
    pub(super) variables: &'e [(Box<str>, Type)],
    /// Functions of the caller's own values: name and signature.
    pub(super) foreign: &'e [(Box<str>, library::Overload)],
    /// Whether `cel.bind` is there.
    pub(super) has_bind: bool,
    /// Whether objects can be made.
    pub(super) has_objects: bool,
}

/// One check of one expression.
pub(super) struct Checker<'e> {
    scope: &'e Scope<'e>,
    source: &'e SourceInfo,
    locals: Vec<(Box<str>, Type)>,
    depth: usize,
    /// The next list may hold values of several types: it is that of `format`.
    takes_mixed: bool,
    pub(super) issues: Vec<Issue>,
    /// Issues with literals, which do not keep types from being checked.
    pub(super) later: Vec<Issue>,
    /// Patterns that are written out.
    pub(super) patterns: HashMap<Box<str>, Regex>,
    /// Variables that it names.
    pub(super) used: Vec<bool>,
}

impl<'e> Checker<'e> {
    pub(super) fn new(scope: &'e Scope<'e>, source: &'e SourceInfo) -> Self {
        Self {
            scope,
            source,
            locals: Vec::new(),
            depth: 0,
            takes_mixed: false,
            issues: Vec::new(),
            later: Vec::new(),
            patterns: HashMap::new(),
            used: vec![false; scope.variables.len()],
        }
    }

    fn problem(&mut self, at: &IdedExpr, text: impl Into<String>) {
        let offset = self.source.offset_for(at.id).map_or(0, |(start, _)| start);
        self.issues.push(Issue { offset: usize::try_from(offset).unwrap_or(0), text: text.into() });
    }

    /// What is told when types are right otherwise.
    fn later(&mut self, at: &IdedExpr, text: String) {
        let before = self.issues.len();
        self.problem(at, text);
        self.later.extend(self.issues.drain(before..));
    }

    /// What stands for an expression that is wrong.
    fn broken(&mut self, at: &IdedExpr, text: impl Into<String>) -> Node {
        self.problem(at, text);
        broken()
    }

    fn undeclared(&mut self, at: &IdedExpr, name: &str) -> Node {
        self.broken(at, format!("undeclared reference to '{name}' (in container '')"))
    }

    pub(super) fn check(&mut self, at: &IdedExpr) -> Node {
        self.depth += 1;
        let node = if self.depth > DEEPEST {
            if self.depth == DEEPEST + 1 {
                self.problem(at, format!("expression recursion limit exceeded: {DEEPEST}"));
            }
            broken()
        } else {
            self.expression(at)
        };
        self.depth -= 1;
        node
    }

    fn expression(&mut self, at: &IdedExpr) -> Node {
        match &at.expr {
            Expr::Unspecified => self.broken(at, "missing expression"),
            Expr::Literal(literal) => constant(literal),
            Expr::Ident(name) => self.name(at, name),
            Expr::Select(select) => self.select(at, &select.operand, &select.field, false),
            Expr::Call(call) => self.call(at, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(made) => self.made(at, made),
            Expr::Comprehension(_) => self.broken(at, "unexpected macro"),
        }
    }

    fn name(&mut self, at: &IdedExpr, name: &str) -> Node {
        if let Some(i) = self.locals.iter().rposition(|(known, _)| **known == *name) {
            let ty = self.locals.get(i).map_or(Type::DYN, |(_, ty)| ty.clone());
            return Node { ty, op: Op::Local(i) };
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(i) = self.scope.variables.iter().position(|(known, _)| **known == *name) {
            if let Some(used) = self.used.get_mut(i) {
                *used = true;
            }
            let ty = self.scope.variables.get(i).map_or(Type::DYN, |(_, ty)| ty.clone());
            return Node { ty, op: Op::Variable(i) };
        }
        if library::TYPE_NAMES.contains(&name) && name != "object" {
            return type_name(name);
        }
        self.undeclared(at, name)
    }

    /// `google.protobuf.Timestamp`, unless the first part is a variable.
    fn qualified(&self, operand: &IdedExpr, field: &str) -> Option<String> {
        let mut parts = vec![field];
        let mut at = &operand.expr;
        loop {
            match at {
                Expr::Select(select) => {
                    parts.push(&select.field);
                    at = &select.operand.expr;
                }
                Expr::Ident(name) => {
                    let is_known = self.locals.iter().any(|(known, _)| **known == **name)
                        || self.scope.variables.iter().any(|(known, _)| **known == **name);
                    parts.push(name);
                    parts.reverse();
                    return (!is_known).then(|| parts.join("."));
                }
                _ => return None,
            }
        }
    }

    fn select(&mut self, at: &IdedExpr, operand: &IdedExpr, field: &str, optional: bool) -> Node {
        let name = self.qualified(operand, field);
        if let Some(name) = name.filter(|name| library::TYPE_NAMES.contains(&name.as_str())) {
            return type_name(&name);
        }
        if let Some(node) = self.dotted(operand, field) {
            return node;
        }
        let operand = Box::new(self.check(operand));
        let found = self.field_type(at, &operand.ty, field);
        let is_optional = optional || matches!(operand.ty.kind, Kind::Optional(_));
        let ty = match found.kind {
            Kind::Optional(_) if matches!(operand.ty.kind, Kind::Optional(_)) => found,
            _ if is_optional => Type::optional(found),
            _ => found,
        };
        Node { ty, op: Op::Select { operand, field: field.into(), optional } }
    }

    fn field_type(&mut self, at: &IdedExpr, of: &Type, field: &str) -> Type {
        match &of.kind {
            Kind::Dyn | Kind::Free => Type::DYN,
            Kind::Broken => of.clone(),
            Kind::Object(of) => match of.fields.get(field) {
                Some(ty) => ty.clone(),
                None if self.scope.has_objects && object::is_open(&of.name) => Type::DYN,
                None => self.broken(at, format!("undefined field '{field}'")).ty,
            },
            Kind::Map(of) => of.1.clone(),
            Kind::Optional(of) => self.field_type(at, of, field),
            _ => self.broken(at, format!("type '{of}' does not support field selection")).ty,
        }
    }

    fn has(&mut self, at: &IdedExpr, argument: &IdedExpr) -> Node {
        let Expr::Select(select) = &argument.expr else {
            return self.broken(argument, "invalid argument to has() macro");
        };
        let operand = Box::new(self.check(&select.operand));
        self.field_type(at, &operand.ty, &select.field);
        Node { ty: Type::BOOL, op: Op::Has { operand, field: select.field.as_str().into() } }
    }

    fn index(&mut self, at: &IdedExpr, parts: [&IdedExpr; 2], optional: bool) -> Node {
        let [operand, key] = parts.map(|part| Box::new(self.check(part)));
        let of = match &operand.ty.kind {
            Kind::Optional(of) => (**of).clone(),
            _ => operand.ty.clone(),
        };
        let is_index = |ty: &Type| ty.is_dyn() || matches!(ty.kind, Kind::Int | Kind::Uint | Kind::Double);
        let found = match &of.kind {
            Kind::Dyn | Kind::Free => Some(Type::DYN),
            Kind::Broken => Some(of.clone()),
            Kind::List(of) if is_index(&key.ty) => Some((**of).clone()),
            Kind::Map(of) if of.0.accepts(&key.ty, &mut super::types::Bindings::default()) => {
                Some(of.1.clone())
            }
            _ => None,
        };
        let Some(found) = found else {
            let name = if optional { "_[?_]" } else { "_[_]" };
            let text =
                format!("found no matching overload for '{name}' applied to '({}, {})'", operand.ty, key.ty);
            return self.broken(at, text);
        };
        let is_optional = optional || matches!(operand.ty.kind, Kind::Optional(_));
        let ty = if is_optional { Type::optional(found) } else { found };
        Node { ty, op: Op::Index { operand, key, optional } }
    }

    /// Elements have one type, as upstream wants it of literals.
    fn list(&mut self, list: &ListExpr) -> Node {
        let is_mixed = std::mem::take(&mut self.takes_mixed);
        let mut elements = Vec::with_capacity(list.elements.len());
        let mut of = Type::from(Kind::Free);
        for (i, expression) in list.elements.iter().enumerate() {
            let node = self.check(expression);
            let is_optional = list.optional_indices.contains(&i);
            let ty = self.held(expression, &node.ty, is_optional);
            of = if is_mixed { Type::DYN } else { self.same(expression, &of, &ty) };
            elements.push((node, is_optional));
        }
        Node { ty: Type::list(of), op: Op::List(elements) }
    }

    fn map(&mut self, map: &MapExpr) -> Node {
        let mut entries = Vec::with_capacity(map.entries.len());
        let (mut keys, mut values) = (Type::from(Kind::Free), Type::from(Kind::Free));
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            let key = self.check(&entry.key);
            let allowed = matches!(key.ty.kind, Kind::Bool | Kind::Int | Kind::Uint | Kind::String);
            if !allowed && !key.ty.is_dyn() {
                self.problem(&entry.key, format!("unsupported map key type: {}", key.ty));
            }
            keys = self.same(&entry.key, &keys, &key.ty);
            let value = self.check(&entry.value);
            let ty = self.held(&entry.value, &value.ty, entry.optional);
            values = self.same(&entry.value, &values, &ty);
            entries.push((key, value, entry.optional));
        }
        Node { ty: Type::map(keys, values), op: Op::Map(entries) }
    }

    /// What an element contributes.
    fn held(&mut self, at: &IdedExpr, ty: &Type, is_optional: bool) -> Type {
        match (&ty.kind, is_optional) {
            (_, false) => ty.clone(),
            (Kind::Optional(of), true) => (**of).clone(),
            (Kind::Dyn | Kind::Free | Kind::Broken, true) => Type::DYN,
            (_, true) => self.broken(at, format!("expected type 'optional_type(dyn)' but found '{ty}'")).ty,
        }
    }

    fn same(&mut self, at: &IdedExpr, known: &Type, found: &Type) -> Type {
        known.joined(found).unwrap_or_else(|| {
            self.later(at, format!("expected type '{known}' but found '{found}'"));
            Type::DYN
        })
    }
}

/// What stands for an expression that is wrong.
fn broken() -> Node {
    Node { ty: Kind::Broken.into(), op: Op::Constant(Value::Null) }
}

fn type_name(name: &str) -> Node {
    Node { ty: Kind::Type.into(), op: Op::Constant(Value::Type(name.into())) }
}

fn constant(literal: &LiteralValue) -> Node {
    let (kind, value) = match literal {
        LiteralValue::Boolean(flag) => (Kind::Bool, Value::Bool(*flag.inner())),
        LiteralValue::Bytes(bytes) => (Kind::Bytes, Value::Bytes(bytes.inner().into())),
        LiteralValue::Double(number) => (Kind::Double, Value::Double(*number.inner())),
        LiteralValue::Int(number) => (Kind::Int, Value::Int(*number.inner())),
        LiteralValue::Null => (Kind::Null, Value::Null),
        LiteralValue::String(text) => (Kind::String, json::constant(text.inner())),
        LiteralValue::UInt(number) => (Kind::Uint, Value::Uint(*number.inner())),
    };
    Node { ty: kind.into(), op: Op::Constant(value) }
}

/// `format.dns1123Label()`.
fn named_format(function: &str) -> Option<Node> {
    let format = kube::Format::named(function.strip_prefix("format.")?)?;
    let ty = Type::opaque("kubernetes.NamedFormat");
    Some(Node { ty, op: Op::Constant(format.value()) })
}

/// What a call is called on.
fn called(call: &CallExpr) -> Vec<&IdedExpr> {
    call.target.iter().map(|target| &**target).chain(&call.args).collect()
}
