//! Macros that go over lists and maps, and those on optional values.

use super::{Checker, broken};
use crate::cel::{
    ir::{Fold, FoldKind, Node, Op},
    types::{Kind, Type},
};
use cel::common::ast::{Expr, IdedExpr};

impl Checker<'_> {
    /// The macro of this name and number of arguments, if it is one.
    pub(super) fn over(
        &mut self,
        at: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        arguments: &[IdedExpr],
    ) -> Option<Node> {
        let (kind, variables, filter, body) = match (name, arguments) {
            ("all", [v, body]) => (FoldKind::All, vec![v], None, body),
            ("exists", [v, body]) => (FoldKind::Exists, vec![v], None, body),
            ("exists_one" | "existsOne", [v, body]) => (FoldKind::ExistsOne, vec![v], None, body),
            ("map", [v, body]) => (FoldKind::List, vec![v], None, body),
            ("map", [v, filter, body]) => (FoldKind::List, vec![v], Some(filter), body),
            ("filter", [v, body]) => (FoldKind::Filter, vec![v], None, body),
            ("sortBy", [v, body]) => (FoldKind::SortBy, vec![v], None, body),
            ("all", [k, v, body]) => (FoldKind::All, vec![k, v], None, body),
            ("exists", [k, v, body]) => (FoldKind::Exists, vec![k, v], None, body),
            ("existsOne" | "exists_one", [k, v, body]) => (FoldKind::ExistsOne, vec![k, v], None, body),
            ("transformList", [k, v, body]) => (FoldKind::List, vec![k, v], None, body),
            ("transformList", [k, v, filter, body]) => (FoldKind::List, vec![k, v], Some(filter), body),
            ("transformMap", [k, v, body]) => (FoldKind::Map, vec![k, v], None, body),
            ("transformMap", [k, v, filter, body]) => (FoldKind::Map, vec![k, v], Some(filter), body),
            ("transformMapEntry", [k, v, body]) => (FoldKind::MapEntry, vec![k, v], None, body),
            ("transformMapEntry", [k, v, filter, body]) => {
                (FoldKind::MapEntry, vec![k, v], Some(filter), body)
            }
            ("optMap", [v, body]) => return Some(self.with_value(target, v, body, false)),
            ("optFlatMap", [v, body]) => return Some(self.with_value(target, v, body, true)),
            _ => return None,
        };
        Some(self.fold(at, kind, target, &variables, filter, body))
    }

    fn fold(
        &mut self,
        at: &IdedExpr,
        kind: FoldKind,
        target: &IdedExpr,
        variables: &[&IdedExpr],
        filter: Option<&IdedExpr>,
        body: &IdedExpr,
    ) -> Node {
        let range = self.check(target);
        let (key, value) = match &range.ty.kind {
            Kind::List(of) => (Type::INT, (**of).clone()),
            Kind::Map(of) => (of.0.clone(), of.1.clone()),
            Kind::Dyn | Kind::Free => (Type::DYN, Type::DYN),
            Kind::Broken => (range.ty.clone(), range.ty.clone()),
            _ => {
                let text = format!(
                    "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)",
                    range.ty
                );
                return self.broken(target, text);
            }
        };
        let has_two = variables.len() > 1;
        let types = match (has_two, &range.ty.kind) {
            (true, _) => vec![key.clone(), value],
            (false, Kind::Map(_)) => vec![key.clone()],
            (false, _) => vec![value],
        };
        let base = self.locals.len();
        let mut names = Vec::new();
        for variable in variables {
            match self.variable(variable) {
                Some(name) => names.push(name),
                None => return broken(),
            }
        }
        self.locals.extend(names.into_iter().zip(types.iter().cloned()));
        let element = types.last().cloned().unwrap_or(Type::DYN);
        let filter = filter.map(|filter| {
            let node = self.check(filter);
            self.want_bool(filter, &node);
            node
        });
        let node = self.check(body);
        self.locals.truncate(base);
        let ty = match kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => {
                self.want_bool(body, &node);
                Type::BOOL
            }
            FoldKind::Filter => {
                self.want_bool(body, &node);
                Type::list(element)
            }
            FoldKind::List => Type::list(node.ty.clone()),
            FoldKind::SortBy => {
                let is_ordered = node.ty.is_scalar()
                    || node.ty.is_dyn()
                    || matches!(node.ty.kind, Kind::String | Kind::Bytes);
                if !is_ordered {
                    self.problem(
                        at,
                        format!(
                            "sortBy can only be applied to keys of comparable types, found '{}'",
                            node.ty
                        ),
                    );
                }
                Type::list(element)
            }
            FoldKind::Map => Type::map(key, node.ty.clone()),
            FoldKind::MapEntry => match &node.ty.kind {
                Kind::Map(_) => node.ty.clone(),
                _ if node.ty.is_dyn() => Type::DYN,
                _ => {
                    self.problem(body, format!("expected type 'map(dyn, dyn)' but found '{}'", node.ty));
                    Type::DYN
                }
            },
        };
        Node { ty, op: Op::Fold(Box::new(Fold { kind, range, has_two, filter, body: node })) }
    }

    /// `cel.bind(name, value, body)`.
    pub(super) fn bind(&mut self, variable: &IdedExpr, value: &IdedExpr, body: &IdedExpr) -> Node {
        let value = Box::new(self.check(value));
        let Some(name) = self.variable(variable) else {
            return broken();
        };
        self.locals.push((name, value.ty.clone()));
        let body = Box::new(self.check(body));
        self.locals.pop();
        Node { ty: body.ty.clone(), op: Op::Bind { value, body } }
    }

    fn variable(&mut self, at: &IdedExpr) -> Option<Box<str>> {
        match &at.expr {
            Expr::Ident(name) => Some(name.as_str().into()),
            _ => {
                self.problem(at, "argument must be a simple name");
                None
            }
        }
    }

    fn want_bool(&mut self, at: &IdedExpr, node: &Node) {
        if !node.ty.is_dyn() && node.ty.kind != Kind::Bool {
            self.problem(at, format!("expected type 'bool' but found '{}'", node.ty));
        }
    }

    fn with_value(&mut self, target: &IdedExpr, variable: &IdedExpr, body: &IdedExpr, flat: bool) -> Node {
        let target_node = self.check(target);
        let of = match &target_node.ty.kind {
            Kind::Optional(of) => (**of).clone(),
            _ if target_node.ty.is_dyn() => Type::DYN,
            _ => {
                let text = format!("expected type 'optional_type(dyn)' but found '{}'", target_node.ty);
                return self.broken(target, text);
            }
        };
        let Some(name) = self.variable(variable) else {
            return broken();
        };
        self.locals.push((name, of));
        let node = self.check(body);
        self.locals.pop();
        let ty = if flat { node.ty.clone() } else { Type::optional(node.ty.clone()) };
        Node { ty, op: Op::WithValue { target: Box::new(target_node), body: Box::new(node), flat } }
    }
}
