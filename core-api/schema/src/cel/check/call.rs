//! Calls of operators and functions.

use super::{Checker, broken, called, named_format};
use crate::cel::{
    ir::{Node, Op},
    library::{self, Overload},
    time,
    types::{Bindings, Kind, Type},
    value::Value,
};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

impl Checker<'_> {
    pub(super) fn call(&mut self, at: &IdedExpr, call: &CallExpr) -> Node {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            ("_&&_", None, [a, b]) => self.logical(name, [a, b]),
            ("_||_", None, [a, b]) => self.logical(name, [a, b]),
            ("_?_:_", None, [condition, yes, no]) => self.conditional(at, [condition, yes, no]),
            ("_[_]", None, [operand, key]) => self.index(at, [operand, key], false),
            ("_[?_]", None, [operand, key]) => self.index(at, [operand, key], true),
            ("_?._", None, [operand, field]) => match text_of(field) {
                Some(field) => self.select(at, operand, field, true),
                None => self.broken(field, "unsupported optional field selection"),
            },
            ("has", None, [argument]) => self.has(at, argument),
            ("bind", Some(target), [variable, value, body])
                if self.scope.has_bind && matches!(&target.expr, Expr::Ident(name) if name == "cel") =>
            {
                self.bind(variable, value, body)
            }
            (_, Some(target), arguments) => {
                let namespace = self.namespace(target);
                match namespace {
                    Some(namespace) => self.global(at, &format!("{namespace}.{name}"), arguments),
                    None => match self.over(at, name, target, arguments) {
                        Some(node) => node,
                        None => self.function(at, name, &called(call), true),
                    },
                }
            }
            (_, None, arguments) => self.global(at, name.strip_prefix('.').unwrap_or(name), arguments),
        }
    }

    /// `format` of `format.named(...)`, unless a variable has that name.
    fn namespace(&self, target: &IdedExpr) -> Option<&'static str> {
        let Expr::Ident(name) = &target.expr else { return None };
        let is_variable = self.locals.iter().any(|(known, _)| **known == **name)
            || self.scope.variables.iter().any(|(known, _)| **known == **name);
        if is_variable { None } else { library::namespace(name) }
    }

    fn global(&mut self, at: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Node {
        if arguments.is_empty()
            && let Some(node) = named_format(name)
        {
            return node;
        }
        let arguments: Vec<&IdedExpr> = arguments.iter().collect();
        self.function(at, name, &arguments, false)
    }

    /// Chains are one node, so that long ones are not deep.
    fn logical(&mut self, name: &str, parts: [&IdedExpr; 2]) -> Node {
        let mut terms = Vec::new();
        let mut pending = vec![parts[1], parts[0]];
        while let Some(next) = pending.pop() {
            match &next.expr {
                Expr::Call(call) if call.func_name == name && call.args.len() == 2 => {
                    pending.extend(call.args.iter().rev());
                }
                _ => terms.push((next, self.check(next))),
            }
        }
        let is_wrong = |ty: &Type| !ty.is_dyn() && ty.kind != Kind::Bool;
        if let Some((wrong, node)) = terms.iter().find(|(_, node)| is_wrong(&node.ty)) {
            let text = format!("expected type 'bool' but found '{}'", node.ty);
            let wrong = *wrong;
            return self.broken(wrong, text);
        }
        let terms = terms.into_iter().map(|(_, node)| node).collect();
        Node { ty: Type::BOOL, op: if name == "_&&_" { Op::And(terms) } else { Op::Or(terms) } }
    }

    fn conditional(&mut self, at: &IdedExpr, parts: [&IdedExpr; 3]) -> Node {
        let nodes = parts.map(|part| self.check(part));
        let [condition, yes, no] = [0, 1, 2].map(|i| nodes[i].ty.clone());
        let joined = if condition.is_dyn() || condition.kind == Kind::Bool { yes.joined(&no) } else { None };
        match joined {
            Some(ty) => Node { ty, op: Op::If(Box::new(nodes)) },
            None => {
                let text =
                    format!("found no matching overload for '_?_:_' applied to '({condition}, {yes}, {no})'");
                self.broken(at, text)
            }
        }
    }

    fn function(&mut self, at: &IdedExpr, name: &str, arguments: &[&IdedExpr], is_member: bool) -> Node {
        let mut nodes: Vec<Node> = Vec::with_capacity(arguments.len());
        for (i, argument) in arguments.iter().enumerate() {
            self.takes_mixed = name == "format" && i == 1 && matches!(argument.expr, Expr::List(_));
            nodes.push(self.check(argument));
        }
        if nodes.iter().any(|node| node.ty.kind == Kind::Broken) {
            return broken();
        }
        let known = library::function(name);
        let own =
            self.scope.foreign.iter().filter(|(known, _)| **known == *name).map(|(_, overload)| overload);
        let own: Vec<&Overload> = own.collect();
        if known.is_none() && own.is_empty() {
            return self.undeclared(at, name);
        }
        self.literals(name, arguments, &nodes, is_member);
        let types: Vec<&Type> = nodes.iter().map(|node| &node.ty).collect();
        let of_library = known.into_iter().flat_map(|function| &function.overloads);
        let library = fitting(of_library, &types, is_member);
        let foreign = fitting(own.into_iter(), &types, is_member);
        match (known, library, foreign) {
            (_, library, Some(ty)) if library.is_none() || is_foreign(&types) => {
                Node { ty, op: Op::Foreign { function: name.into(), arguments: nodes } }
            }
            (Some(function), Some(ty), _) => Node { ty, op: Op::Call { function, arguments: nodes } },
            _ => {
                let shown: Vec<String> = types.iter().map(ToString::to_string).collect();
                let applied = match (shown.split_first(), is_member) {
                    (Some((target, rest)), true) => format!("{target}.({})", rest.join(", ")),
                    _ => format!("({})", shown.join(", ")),
                };
                self.broken(at, format!("found no matching overload for '{name}' applied to '{applied}'"))
            }
        }
    }

    /// Patterns, durations and moments that are written out are checked at once.
    fn literals(&mut self, name: &str, arguments: &[&IdedExpr], nodes: &[Node], is_member: bool) {
        let place = match name {
            "matches" | "find" | "findAll" => 1,
            "duration" | "timestamp" if !is_member => 0,
            _ => return,
        };
        let (Some(argument), Some(Op::Constant(Value::String(text)))) =
            (arguments.get(place), nodes.get(place).map(|node| &node.op))
        else {
            return;
        };
        let is_valid = match name {
            "duration" => time::parse_duration(text).is_some(),
            "timestamp" => time::parse_timestamp(text).is_some(),
            _ => match crate::crd::pattern_of(text) {
                Ok(pattern) => {
                    self.patterns.insert((**text).into(), pattern);
                    true
                }
                Err(_) => false,
            },
        };
        if !is_valid {
            self.later(argument, format!("invalid {name} argument"));
        }
    }
}

fn is_foreign(types: &[&Type]) -> bool {
    matches!(types.first().map(|ty| &ty.kind), Some(Kind::Opaque(_)))
}

/// The result of the signatures that take these types; `dyn` where they differ.
fn fitting<'o>(
    overloads: impl Iterator<Item = &'o Overload>,
    types: &[&Type],
    is_member: bool,
) -> Option<Type> {
    let mut result: Option<Type> = None;
    for overload in overloads {
        if overload.is_member != is_member || overload.parameters.len() != types.len() {
            continue;
        }
        let mut bound = Bindings::default();
        let fits =
            overload.parameters.iter().zip(types).all(|(wanted, found)| wanted.accepts(found, &mut bound));
        if !fits {
            continue;
        }
        let found = overload.result.resolved(&bound);
        result = Some(match result {
            Some(known) if known != found => Type::DYN,
            _ => found,
        });
    }
    result
}

fn text_of(at: &IdedExpr) -> Option<&str> {
    match &at.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
