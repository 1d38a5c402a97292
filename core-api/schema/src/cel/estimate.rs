//! The most that an expression can cost on any object of its schema.
//!
//! Sizes come from `maxLength`, `maxItems` and `maxProperties`; what has no bound is as large as a request can be.
//! Upstream: cel-go `checker/cost.go`.

use super::{
    cost::{Argument, Size},
    ir::{Fold, FoldKind, Node, Op},
    types::{Kind, Type},
    value::Value,
};

/// What is known of a node.
#[derive(Clone, Debug)]
struct Known<'n> {
    cost: u64,
    size: Option<Size>,
    elements: Option<Size>,
    /// The declared type, where the value is a part of a variable.
    declared: Option<&'n Type>,
    literal: Option<u64>,
}

impl<'n> Known<'n> {
    fn of(cost: u64, size: Option<Size>) -> Self {
        Self { cost, size, elements: None, declared: None, literal: None }
    }
    fn part(cost: u64, declared: Option<&'n Type>) -> Self {
        let size = declared.and_then(|ty| ty.max).map(|max| Size { min: 0, max });
        let elements = declared.and_then(element).and_then(|of| of.max).map(|max| Size { min: 0, max });
        Self { cost, size, elements, declared, literal: None }
    }
    fn sized(&self, ty: &Type) -> Size {
        self.size.unwrap_or(if ty.is_scalar() { Size::ONE } else { Size::UNKNOWN })
    }
}

fn element(ty: &Type) -> Option<&Type> {
    match &ty.kind {
        Kind::List(of) => Some(of),
        Kind::Map(of) => Some(&of.1),
        _ => None,
    }
}

/// The estimate. Names of types count as large as `first`, the first variable, for upstream takes them for it.
pub(super) fn cost(root: &Node, first: Option<&Type>) -> u64 {
    node(root, &mut Scope { first, locals: Vec::new() }).cost
}

struct Scope<'n> {
    first: Option<&'n Type>,
    locals: Vec<Known<'n>>,
}

impl Scope<'_> {
    /// The size of a part of what is no part of a variable: upstream takes that of the first variable.
    fn anywhere(&self) -> Option<Size> {
        self.first.and_then(|ty| ty.max).map(|max| Size { min: 0, max })
    }
}

fn sum<'n>(parts: impl IntoIterator<Item = &'n Known<'n>>) -> u64 {
    parts.into_iter().fold(0, |sum, part| sum.saturating_add(part.cost))
}

fn node<'n>(at: &'n Node, scope: &mut Scope<'n>) -> Known<'n> {
    match &at.op {
        Op::Constant(Value::Type(_)) => Known::part(1, scope.first),
        Op::Constant(Value::Kube(_)) => Known::of(1, None),
        Op::Constant(value) => {
            let mut known = Known::of(0, Some(Size { min: value.size(), max: value.size() }));
            known.literal = match value {
                Value::Int(number) => u64::try_from(*number).ok(),
                _ => None,
            };
            known
        }
        Op::Variable(_) => Known::part(1, Some(&at.ty)),
        Op::Local(i) => {
            let known = scope.locals.get(*i).cloned().unwrap_or_else(|| Known::of(0, None));
            Known { cost: 1, ..known }
        }
        Op::Select { operand, .. } => {
            let inner = node(operand, scope);
            let declared = inner.declared.map(|_| &at.ty);
            let unit = u64::from(!operand.ty.is_dyn());
            Known::part(inner.cost.saturating_add(unit.max(1)), declared)
        }
        Op::Has { operand, .. } => Known::of(node(operand, scope).cost, Some(Size::ONE)),
        Op::Index { operand, key, .. } => {
            let inner = node(operand, scope);
            let cost = inner.cost.saturating_add(node(key, scope).cost).saturating_add(1);
            match inner.declared {
                Some(_) => Known::part(cost, Some(&at.ty)),
                None => Known::of(cost, inner.elements.or(scope.anywhere())),
            }
        }
        Op::And(terms) | Op::Or(terms) => {
            let cost = terms.iter().fold(0, |sum: u64, term| sum.saturating_add(node(term, scope).cost));
            Known::of(cost, Some(Size::ONE))
        }
        Op::If(parts) => {
            let [condition, yes, no] = [0, 1, 2].map(|i| node(&parts[i], scope));
            let size = yes.sized(&parts[1].ty).union(no.sized(&parts[2].ty));
            let elements = yes.elements.zip(no.elements).map(|(a, b)| a.union(b));
            let cost = condition.cost.saturating_add(yes.cost.max(no.cost));
            Known { elements, ..Known::of(cost, Some(size)) }
        }
        Op::Call { function, arguments } => call(function, arguments, scope),
        Op::Foreign { function, arguments } => {
            let parts: Vec<_> = arguments.iter().map(|argument| node(argument, scope)).collect();
            let cost = match &**function {
                "check" => 350_000,
                "fieldSelector" | "labelSelector" => 100_000,
                _ => 1,
            };
            Known::of(sum(&parts).saturating_add(cost), None)
        }
        Op::List(elements) => {
            let parts: Vec<_> = elements.iter().map(|(element, _)| node(element, scope)).collect();
            let sizes = parts.iter().zip(elements).map(|(known, (element, _))| known.sized(&element.ty));
            let each = sizes.reduce(Size::union).unwrap_or(Size { min: 0, max: 0 });
            let known = Known::of(sum(&parts).saturating_add(10), Some(Size::exactly(parts.len())));
            Known { elements: Some(each), ..known }
        }
        Op::Map(entries) => {
            let mut cost = 30u64;
            let mut each: Option<Size> = None;
            for (key, value, _) in entries {
                let (key, known) = (node(key, scope), node(value, scope));
                cost = cost.saturating_add(key.cost).saturating_add(known.cost);
                let size = known.sized(&value.ty);
                each = Some(each.map_or(size, |each| each.union(size)));
            }
            Known { elements: each, ..Known::of(cost, Some(Size::exactly(entries.len()))) }
        }
        Op::Fold(over) => fold(over, scope),
        Op::Bind { value, body } => {
            let value = node(value, scope);
            let cost = value.cost.saturating_add(10);
            scope.locals.push(value);
            let body = node(body, scope);
            scope.locals.pop();
            Known { cost: cost.saturating_add(body.cost), ..body }
        }
        Op::WithValue { target, body, flat } => {
            let target = node(target, scope);
            scope.locals.push(Known { cost: 1, ..target.clone() });
            let body = node(body, scope);
            scope.locals.pop();
            // The target is asked whether it has a value, and for it.
            let around = if *flat { 12 } else { 13 };
            let cost = target.cost.saturating_mul(2).saturating_add(body.cost).saturating_add(around);
            Known::of(cost, None)
        }
    }
}

fn call<'n>(function: &super::library::Function, arguments: &'n [Node], scope: &mut Scope<'n>) -> Known<'n> {
    let parts: Vec<_> = arguments.iter().map(|argument| node(argument, scope)).collect();
    if function.name == "dyn"
        && let [only] = parts.as_slice()
    {
        return Known { cost: only.cost.saturating_add(1), ..only.clone() };
    }
    let described: Vec<_> = parts
        .iter()
        .zip(arguments)
        .map(|(known, argument)| Argument {
            ty: &argument.ty,
            known: known.size,
            elements: known.declared.and_then(element).and_then(|of| of.max).map(|max| Size { min: 0, max }),
            literal: known.literal,
        })
        .collect();
    let (cost, size) = function.cost.estimate(&described);
    let elements = match function.name {
        "_+_" => {
            let both = parts.first().and_then(|a| a.elements).zip(parts.get(1).and_then(|b| b.elements));
            both.map(|(a, b)| a.union(b))
        }
        _ => None,
    };
    let size = match function.name {
        "value" | "hasValue" | "optional.of" => parts.first().and_then(|a| a.size),
        "orValue" | "or" => {
            let both = parts.first().and_then(|a| a.size).zip(parts.get(1).and_then(|b| b.size));
            both.map(|(a, b)| a.union(b))
        }
        _ => size,
    };
    Known { elements, ..Known::of(sum(&parts).saturating_add(cost), size) }
}

fn fold<'n>(over: &'n Fold, scope: &mut Scope<'n>) -> Known<'n> {
    let range = node(&over.range, scope);
    let count = range.sized(&over.range.ty).max;
    let base = scope.locals.len();
    let value = match range.declared.and_then(element) {
        Some(of) => Known::part(1, Some(of)),
        None => Known::of(1, scope.anywhere().or(range.elements)),
    };
    let key = match range.declared.map(|ty| &ty.kind) {
        Some(Kind::Map(of)) => Known::part(1, Some(&of.0)),
        _ => Known::of(1, scope.anywhere()),
    };
    let is_map = matches!(over.range.ty.kind, Kind::Map(_));
    if over.has_two {
        scope.locals.push(if is_map { key } else { Known::of(1, Some(Size::ONE)) });
        scope.locals.push(value);
    } else {
        scope.locals.push(if is_map { key } else { value });
    }
    let filter = over.filter.as_ref().map_or(0, |filter| node(filter, scope).cost);
    let body = node(&over.body, scope);
    let element = scope.locals.last().and_then(|known| known.size);
    scope.locals.truncate(base);
    let (start, step, end) = match over.kind {
        FoldKind::All => (0, 3, 1),
        FoldKind::Exists => (0, 4, 1),
        FoldKind::ExistsOne => (0, 2, 2),
        FoldKind::List => (10, 12, 1),
        FoldKind::Filter => (10, 13, 1),
        FoldKind::Map => (30, 3, 1),
        FoldKind::MapEntry => (30, 2, 1),
        FoldKind::SortBy => (20, 12, 14),
    };
    let each = body.cost.saturating_add(filter).saturating_add(step);
    let pairs = if over.kind == FoldKind::SortBy { count.saturating_mul(count).saturating_mul(2) } else { 0 };
    let cost = range
        .cost
        .saturating_add(count.saturating_mul(each))
        .saturating_add(start + end)
        .saturating_add(pairs);
    match over.kind {
        FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => Known::of(cost, Some(Size::ONE)),
        FoldKind::MapEntry => Known::of(cost, None),
        FoldKind::Filter | FoldKind::SortBy => {
            Known { elements: element, ..Known::of(cost, Some(Size { min: 0, max: count })) }
        }
        FoldKind::List | FoldKind::Map => {
            let each = body.sized(&over.body.ty);
            Known { elements: Some(each), ..Known::of(cost, Some(Size { min: 0, max: count })) }
        }
    }
}
