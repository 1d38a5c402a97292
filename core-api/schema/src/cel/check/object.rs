//! Objects that mutations make, and variables whose names have a dot.
//!
//! Upstream: apiserver `pkg/cel/mutation/typeresolver.go`.

use super::Checker;
use crate::cel::{
    ir::{Node, Op},
    json,
    types::Type,
    value::MADE_TYPE,
};
use cel::common::ast::{EntryExpr, Expr, IdedExpr, StructExpr};

const PATCH: &str = "JSONPatch";
/// Fields of a patch that are texts.
const PATCH_TEXTS: [&str; 3] = ["op", "path", "from"];

/// Whether objects of the type have whatever fields they are made with.
pub(super) fn is_open(name: &str) -> bool {
    name == "Object" || name.starts_with("Object.")
}

impl Checker<'_> {
    /// `Object.spec{replicas: 1}`. `Object` and what is below it take any field.
    pub(super) fn made(&mut self, at: &IdedExpr, made: &StructExpr) -> Node {
        let name = made.type_name.strip_prefix('.').unwrap_or(&made.type_name);
        let is_object = is_open(name);
        if !self.scope.has_objects || !(is_object || name == PATCH) {
            return self.undeclared(at, name);
        }
        let text = |text: &str| Node { ty: Type::STRING, op: Op::Constant(json::constant(text)) };
        let mut entries = vec![(text(MADE_TYPE), text(name), false)];
        for entry in &made.entries {
            let EntryExpr::StructField(field) = &entry.expr else { continue };
            let value = self.check(&field.value);
            let found = self.held(&field.value, &value.ty, field.optional);
            let name = field.field.as_str();
            let is_text = name != "value" && !is_object;
            if is_text && !PATCH_TEXTS.contains(&name) {
                self.at_entry(entry.id, format!("undefined field '{name}'"));
            } else if is_text && !found.is_dyn() && found != Type::STRING {
                let text =
                    format!("expected type of field '{name}' is 'string' but provided type is '{found}'");
                self.at_entry(entry.id, text);
            }
            entries.push((text(name), value, field.optional));
        }
        let fields = PATCH_TEXTS.map(|name| (name, Type::STRING)).into_iter().chain([("value", Type::DYN)]);
        let fields = fields.filter(|_| !is_object);
        Node { ty: Type::object(name, fields), op: Op::Map(entries) }
    }

    fn at_entry(&mut self, id: u64, text: String) {
        self.problem(&IdedExpr { id, expr: Expr::Unspecified }, text);
    }

    /// `authorizer.requestResource`, where that is the name of a variable.
    pub(super) fn dotted(&mut self, operand: &IdedExpr, field: &str) -> Option<Node> {
        let Expr::Ident(name) = &operand.expr else { return None };
        if self.locals.iter().any(|(known, _)| **known == **name) {
            return None;
        }
        let is_named = |known: &str| {
            let rest = known.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.'));
            rest == Some(field)
        };
        let i = self.scope.variables.iter().position(|(known, _)| is_named(known))?;
        if let Some(used) = self.used.get_mut(i) {
            *used = true;
        }
        let ty = self.scope.variables.get(i).map_or(Type::DYN, |(_, ty)| ty.clone());
        Some(Node { ty, op: Op::Variable(i) })
    }
}
