//! A checked expression, ready to be evaluated.

use super::{library::Function, types::Type, value::Value};

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its type, as far as it is known.
    pub(super) ty: Type,
    /// What it does.
    pub(super) op: Op,
}

/// What a node does.
#[derive(Debug)]
pub(super) enum Op {
    /// A literal, or a type's name.
    Constant(Value<'static>),
    /// A variable of the environment, by its place.
    Variable(usize),
    /// A variable of a macro, by its place on the stack.
    Local(usize),
    /// `a.b`, `a.?b`.
    Select { operand: Box<Node>, field: Box<str>, optional: bool },
    /// `has(a.b)`.
    Has { operand: Box<Node>, field: Box<str> },
    /// `a[b]`, `a[?b]`.
    Index { operand: Box<Node>, key: Box<Node>, optional: bool },
    /// `a && b && c`.
    And(Vec<Node>),
    /// `a || b || c`.
    Or(Vec<Node>),
    /// `a ? b : c`.
    If(Box<[Node; 3]>),
    /// A function; the receiver comes first.
    Call { function: &'static Function, arguments: Vec<Node> },
    /// A function that the first argument itself knows.
    Foreign { function: Box<str>, arguments: Vec<Node> },
    /// `[a, ?b]`; true where the element is optional.
    List(Vec<(Node, bool)>),
    /// `{a: b}`; true where the value is optional.
    Map(Vec<(Node, Node, bool)>),
    /// A macro that goes over a list or map.
    Fold(Box<Fold>),
    /// `cel.bind(name, value, body)`; the name is the last one on the stack.
    Bind { value: Box<Node>, body: Box<Node> },
    /// `optMap` and `optFlatMap`.
    WithValue { target: Box<Node>, body: Box<Node>, flat: bool },
}

/// A macro that goes over a list or map. Its variables are the last ones on the stack.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) kind: FoldKind,
    pub(super) range: Node,
    /// Index and element, or key and value.
    pub(super) has_two: bool,
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
}

/// What a macro makes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    /// `map`, `transformList`.
    List,
    Filter,
    /// `transformMap`.
    Map,
    /// `transformMapEntry`.
    MapEntry,
    SortBy,
}
