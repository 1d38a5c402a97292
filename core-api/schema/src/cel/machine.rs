//! Evaluation of checked expressions, with upstream's run-time costs.
//!
//! Besides costs, work and memory that upstream's costs do not see (deep comparisons, texts that grow) are bounded.
//! Upstream: cel-go `interpreter`, apiserver `pkg/cel/library/cost.go`.

use super::{
    error::Error,
    ir::{Fold, FoldKind, Node, Op},
    lists, ops,
    value::{Key, List, Map, Value},
};
use regex::Regex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Steps that costs do not count: elements compared, words copied.
const MOST_WORK: u64 = 20_000_000;
/// Bytes of texts and lists that one evaluation makes.
const MOST_BYTES: u64 = 64 << 20;

/// What one evaluation has used up.
#[derive(Debug)]
pub struct Machine<'p> {
    literals: &'p HashMap<Box<str>, Regex>,
    patterns: HashMap<Box<str>, Regex>,
    cost: u64,
    limit: u64,
    work: u64,
    bytes: u64,
}

impl<'p> Machine<'p> {
    pub(super) fn new(literals: &'p HashMap<Box<str>, Regex>, limit: u64) -> Self {
        Self { literals, patterns: HashMap::new(), cost: 0, limit, work: 0, bytes: 0 }
    }
    /// Costs so far.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }
    /// Adds to the costs.
    ///
    /// # Errors
    /// They exceed the limit.
    pub fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Error::Exceeded) } else { Ok(()) }
    }
    /// Counts steps that have no cost.
    pub(super) fn work(&mut self, steps: usize) -> Result<(), Error> {
        self.work = self.work.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX));
        if self.work > MOST_WORK { Err(Error::Exceeded) } else { Ok(()) }
    }
    /// Counts bytes that are about to be made.
    pub(super) fn allocate(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.bytes > MOST_BYTES { Err(Error::Exceeded) } else { Ok(()) }
    }
    /// The compiled form of a pattern.
    pub(super) fn pattern(&mut self, source: &str) -> Result<Regex, Error> {
        if let Some(known) = self.literals.get(source).or_else(|| self.patterns.get(source)) {
            return Ok(known.clone());
        }
        // Compiling takes far longer than what the costs count.
        self.work(50_000)?;
        let compiled = crate::crd::pattern_of(source).map_err(Error::new)?;
        self.patterns.insert(source.into(), compiled.clone());
        Ok(compiled)
    }
}

/// Variables while evaluating.
pub(super) struct Frame<'a, 'v> {
    pub(super) variables: &'v [Value<'a>],
    pub(super) locals: Vec<Value<'a>>,
}

type Outcome<'a> = Result<Value<'a>, Error>;

/// The value of a node.
pub(super) fn eval<'a>(m: &mut Machine<'_>, f: &mut Frame<'a, '_>, node: &'a Node) -> Outcome<'a> {
    match &node.op {
        Op::Constant(value) => {
            if let Value::Type(_) | Value::Kube(_) = value {
                m.charge(1)?;
            }
            Ok(value.clone())
        }
        Op::Variable(i) => {
            m.charge(1)?;
            f.variables.get(*i).cloned().ok_or_else(|| Error::new("no such attribute"))
        }
        Op::Local(i) => {
            m.charge(1)?;
            f.locals.get(*i).cloned().ok_or_else(|| Error::new("no such attribute"))
        }
        Op::Select { operand, field, optional } => {
            let operand = eval(m, f, operand)?;
            m.charge(1)?;
            if *optional { optional_select(m, &operand, field) } else { select(m, &operand, field) }
        }
        Op::Has { operand, field } => {
            let operand = eval(m, f, operand)?;
            has(m, &operand, field).map(Value::Bool)
        }
        Op::Index { operand, key, optional } => {
            let operand = eval(m, f, operand)?;
            let key = eval(m, f, key)?;
            m.charge(1)?;
            if *optional { optional_index(&operand, &key) } else { index(&operand, &key) }
        }
        Op::And(terms) => logical(m, f, terms, false),
        Op::Or(terms) => logical(m, f, terms, true),
        Op::If(parts) => match eval(m, f, &parts[0])? {
            Value::Bool(true) => eval(m, f, &parts[1]),
            Value::Bool(false) => eval(m, f, &parts[2]),
            _ => Err(Error::NoSuchOverload),
        },
        Op::Call { function, arguments } => {
            let values = evaluated(m, f, arguments)?;
            let result = (function.body)(m, &values).map_err(|why| named(why, function.name, &values))?;
            // Costs are counted in characters, which have to be counted themselves.
            let read = |value: &Value<'_>| value.as_str().map_or(0, str::len) / 64;
            m.work(values.iter().map(read).sum())?;
            m.charge(function.cost.actual(&values, &result))?;
            Ok(result)
        }
        Op::Foreign { function, arguments } => {
            let values = evaluated(m, f, arguments)?;
            m.charge(super::library::foreign_cost(function, &values))?;
            match values.split_first() {
                Some((Value::Foreign(target), rest)) => target.call(function, rest),
                _ => Err(Error::NoSuchOverload),
            }
        }
        Op::List(elements) => list(m, f, elements),
        Op::Map(entries) => map(m, f, entries),
        Op::Fold(over) => fold(m, f, over),
        Op::Bind { value, body } => {
            let value = eval(m, f, value)?;
            f.locals.push(value);
            let result = eval(m, f, body);
            f.locals.pop();
            result
        }
        Op::WithValue { target, body, flat } => {
            m.charge(12)?;
            let Value::Optional(value) = eval(m, f, target)? else { return Err(Error::NoSuchOverload) };
            let Some(value) = value else { return Ok(Value::Optional(None)) };
            f.locals.push((*value).clone());
            let made = eval(m, f, body);
            f.locals.pop();
            if *flat { made } else { made.map(Value::some) }
        }
    }
}

/// Functions say what they were called with; operators and those that upstream dispatches by the receiver do not.
fn named(why: Error, function: &str, values: &[Value<'_>]) -> Error {
    let is_operator = !function.starts_with(|c: char| c.is_ascii_alphabetic());
    match (why, function) {
        (
            Error::NoSuchOverload,
            "contains" | "startsWith" | "endsWith" | "matches" | "find" | "findAll" | "bool",
        ) => Error::NoSuchOverload,
        (Error::NoSuchOverload, "size" | "sort") => Error::Overload(function.into()),
        (Error::NoSuchOverload, _) if !is_operator => {
            let types: Vec<&str> = values.iter().map(Value::type_name).collect();
            Error::Overload(format!("{function}({})", types.join(", ")).into())
        }
        (why, _) => why,
    }
}

fn evaluated<'a>(
    m: &mut Machine<'_>,
    f: &mut Frame<'a, '_>,
    nodes: &'a [Node],
) -> Result<Vec<Value<'a>>, Error> {
    nodes.iter().map(|node| eval(m, f, node)).collect()
}

/// One term that decides outweighs others that have no value.
fn logical<'a>(m: &mut Machine<'_>, f: &mut Frame<'a, '_>, terms: &'a [Node], decides: bool) -> Outcome<'a> {
    let mut broken = None;
    for term in terms {
        match eval(m, f, term) {
            Ok(Value::Bool(flag)) if flag == decides => return Ok(Value::Bool(decides)),
            Ok(Value::Bool(_)) => {}
            Err(Error::Exceeded) => return Err(Error::Exceeded),
            Ok(_) => broken = broken.or(Some(Error::NoSuchOverload)),
            Err(why) => broken = broken.or(Some(why)),
        }
    }
    broken.map_or(Ok(Value::Bool(!decides)), Err)
}

fn select<'a>(m: &mut Machine<'_>, operand: &Value<'a>, field: &str) -> Outcome<'a> {
    let missing = || Error::NoSuchKey(field.into());
    match operand {
        Value::Map(map) => map.get(field).ok_or_else(missing),
        Value::Record(record) => record.field(field, m).unwrap_or_else(|| Err(missing())),
        Value::Optional(_) => optional_select(m, operand, field),
        _ => Err(missing()),
    }
}

fn optional_select<'a>(m: &mut Machine<'_>, operand: &Value<'a>, field: &str) -> Outcome<'a> {
    let found = match operand {
        Value::Optional(None) => None,
        Value::Optional(Some(value)) => return optional_select(m, value, field),
        Value::Map(map) => map.get(field),
        Value::Record(record) => record.field(field, m).transpose()?,
        _ => return Err(Error::NoSuchOverload),
    };
    Ok(Value::Optional(found.map(Arc::new)))
}

fn has(m: &mut Machine<'_>, operand: &Value<'_>, field: &str) -> Result<bool, Error> {
    match operand {
        Value::Map(map) => Ok(map.get(field).is_some()),
        Value::Record(record) => Ok(record.field(field, m).transpose()?.is_some()),
        Value::Optional(Some(value)) => has(m, value, field),
        _ => Ok(false),
    }
}

fn index<'a>(operand: &Value<'a>, key: &Value<'a>) -> Outcome<'a> {
    match operand {
        Value::List(list) => {
            let place = ops::as_index(key).ok_or(Error::NoSuchOverload)?;
            let found = usize::try_from(place).ok().and_then(|i| list.get(i));
            found.ok_or_else(|| Error::new(format!("index out of bounds: {place}")))
        }
        Value::Map(map) => map.find(key).ok_or_else(|| Error::NoSuchKey(ops::shown(key).into())),
        Value::Optional(_) => optional_index(operand, key),
        _ => Err(Error::NoSuchKey(ops::shown(key).into())),
    }
}

fn optional_index<'a>(operand: &Value<'a>, key: &Value<'a>) -> Outcome<'a> {
    match operand {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(value)) => optional_index(value, key),
        Value::List(_) | Value::Map(_) => Ok(Value::Optional(index(operand, key).ok().map(Arc::new))),
        _ => Err(Error::NoSuchOverload),
    }
}

fn list<'a>(m: &mut Machine<'_>, f: &mut Frame<'a, '_>, elements: &'a [(Node, bool)]) -> Outcome<'a> {
    let mut made = Vec::with_capacity(elements.len());
    for (element, optional) in elements {
        match (eval(m, f, element)?, optional) {
            (value, false) => made.push(value),
            (Value::Optional(value), true) => made.extend(value.map(|value| (*value).clone())),
            (_, true) => return Err(Error::NoSuchOverload),
        }
    }
    m.charge(10)?;
    m.allocate(made.len() * size_of::<Value<'_>>())?;
    Ok(Value::list(made))
}

fn map<'a>(m: &mut Machine<'_>, f: &mut Frame<'a, '_>, entries: &'a [(Node, Node, bool)]) -> Outcome<'a> {
    let mut made = BTreeMap::new();
    for (key, value, optional) in entries {
        let key = eval(m, f, key)?;
        let value = match (eval(m, f, value)?, optional) {
            (value, false) => value,
            (Value::Optional(Some(value)), true) => (*value).clone(),
            (Value::Optional(None), true) => continue,
            (_, true) => return Err(Error::NoSuchOverload),
        };
        // Of equal keys the last one counts.
        let key = Key::of(&key).ok_or_else(|| Error::new("unsupported key type"))?;
        made.insert(key, value);
    }
    m.charge(30)?;
    Ok(Value::Map(Map::Owned(Arc::new(made))))
}

fn insert<'a>(made: &mut BTreeMap<Key, Value<'a>>, key: &Value<'_>, value: Value<'a>) -> Result<(), Error> {
    let named = Key::of(key).ok_or_else(|| Error::new("unsupported key type"))?;
    match made.insert(named, value) {
        None => Ok(()),
        Some(_) => Err(Error::new(format!("insert failed: key {} already exists", ops::shown(key)))),
    }
}

/// What a macro goes over: index and element, or key and value.
fn entries<'a>(m: &mut Machine<'_>, range: &Value<'a>, has_two: bool) -> Result<Entries<'a>, Error> {
    match range {
        Value::List(list) => Ok(Entries::List(list.clone())),
        // Its keys are copied before the first step.
        Value::Map(map) => m
            .work(map.len() / 16)
            .map(|()| Entries::Map(map.keys().into_iter(), has_two.then(|| map.clone()))),
        other => Err(Error::new(format!("got '{}', expected iterable type", go_type(other)))),
    }
}

/// The type in the words of upstream's message.
const fn go_type(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Duration(_) => "types.Duration",
        Value::Timestamp(_) => "types.Timestamp",
        _ => "*types.Type",
    }
}

enum Entries<'a> {
    List(List<'a>),
    Map(std::vec::IntoIter<Value<'a>>, Option<Map<'a>>),
}

impl<'a> Entries<'a> {
    fn next(&mut self, at: usize) -> Option<(Option<Value<'a>>, Value<'a>)> {
        match self {
            Self::List(list) => {
                let index = i64::try_from(at).unwrap_or(i64::MAX);
                list.get(at).map(|element| (Some(Value::Int(index)), element))
            }
            Self::Map(keys, None) => keys.next().map(|key| (None, key)),
            Self::Map(keys, Some(map)) => {
                let key = keys.next()?;
                let value = map.find(&key).unwrap_or(Value::Null);
                Some((Some(key), value))
            }
        }
    }
}

/// What a macro has made so far.
#[derive(Default)]
struct Made<'a> {
    broken: Option<Error>,
    count: u64,
    list: Vec<Value<'a>>,
    keys: Vec<Value<'a>>,
    map: BTreeMap<Key, Value<'a>>,
}

fn fold<'a>(m: &mut Machine<'_>, f: &mut Frame<'a, '_>, over: &'a Fold) -> Outcome<'a> {
    let range = eval(m, f, &over.range)?;
    let mut entries = entries(m, &range, over.has_two)?;
    let mut made = Made::default();
    let base = f.locals.len();
    let mut at = 0;
    while let Some((first, second)) = entries.next(at) {
        at += 1;
        m.work(1)?;
        if over.has_two {
            f.locals.push(first.unwrap_or(Value::Null));
        }
        f.locals.push(second);
        let decided = step(m, f, over, &mut made);
        f.locals.truncate(base);
        if decided? {
            break;
        }
    }
    result(m, over, made)
}

/// One element; whether the result is decided.
fn step<'a>(
    m: &mut Machine<'_>,
    f: &mut Frame<'a, '_>,
    over: &'a Fold,
    made: &mut Made<'a>,
) -> Result<bool, Error> {
    if let FoldKind::All | FoldKind::Exists = over.kind {
        let decides = over.kind == FoldKind::Exists;
        m.charge(if decides { 4 } else { 3 })?;
        match eval(m, f, &over.body) {
            Ok(Value::Bool(flag)) if flag == decides => {
                made.broken = None;
                made.count = 1;
                return Ok(true);
            }
            Ok(Value::Bool(_)) => {}
            Err(Error::Exceeded) => return Err(Error::Exceeded),
            Ok(_) => made.broken = made.broken.take().or(Some(Error::NoSuchOverload)),
            Err(why) => made.broken = made.broken.take().or(Some(why)),
        }
        return Ok(false);
    }
    if let Some(filter) = &over.filter {
        match eval(m, f, filter)? {
            Value::Bool(true) => {}
            Value::Bool(false) => {
                m.charge(1)?;
                return Ok(false);
            }
            _ => return Err(Error::NoSuchOverload),
        }
    }
    let value = eval(m, f, &over.body)?;
    match over.kind {
        FoldKind::All | FoldKind::Exists => {}
        FoldKind::ExistsOne | FoldKind::Filter => {
            let Value::Bool(holds) = value else { return Err(Error::NoSuchOverload) };
            m.charge(if holds && over.kind == FoldKind::Filter { 13 } else { 2 })?;
            if holds {
                made.count += 1;
                made.list.extend(f.locals.last().cloned());
            }
        }
        FoldKind::List => {
            m.charge(12)?;
            made.list.push(value);
        }
        FoldKind::SortBy => {
            m.charge(13)?;
            made.keys.push(value);
            made.list.extend(f.locals.last().cloned());
        }
        FoldKind::Map => {
            m.charge(3)?;
            let key = f.locals.len().checked_sub(2).and_then(|i| f.locals.get(i)).cloned();
            insert(&mut made.map, &key.unwrap_or(Value::Null), value)?;
        }
        FoldKind::MapEntry => {
            m.charge(2)?;
            let Value::Map(entries) = value else { return Err(Error::NoSuchOverload) };
            for key in entries.keys() {
                let value = entries.find(&key).unwrap_or(Value::Null);
                insert(&mut made.map, &key, value)?;
            }
        }
    }
    m.allocate(size_of::<Value<'_>>())?;
    Ok(false)
}

fn result<'a>(m: &mut Machine<'_>, over: &Fold, made: Made<'a>) -> Outcome<'a> {
    m.charge(1)?;
    Ok(match over.kind {
        FoldKind::All | FoldKind::Exists => match made.broken {
            Some(why) => return Err(why),
            None => Value::Bool((made.count > 0) == (over.kind == FoldKind::Exists)),
        },
        FoldKind::ExistsOne => {
            m.charge(1)?;
            Value::Bool(made.count == 1)
        }
        FoldKind::List | FoldKind::Filter => {
            m.charge(10)?;
            Value::list(made.list)
        }
        FoldKind::SortBy => {
            m.charge(10)?;
            lists::sorted_by(m, &made.list, &made.keys)?
        }
        FoldKind::Map | FoldKind::MapEntry => {
            m.charge(30)?;
            Value::Map(Map::Owned(Arc::new(made.map)))
        }
    })
}
