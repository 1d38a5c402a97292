//! What functions cost, when they are evaluated and when an expression is only estimated.
//!
//! Upstream: cel-go `checker/cost.go`, `interpreter/runtimecost.go`, apiserver `pkg/cel/library/cost.go`.

use super::{
    kube::Kube,
    types::{Kind, Type},
    value::Value,
};

/// Reading one character.
const CHARACTER: f64 = 0.1;
/// One character of a pattern, for each character of the text.
const PATTERN: f64 = 0.25;

/// How the cost of a function comes about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cost {
    Fixed(u64),
    /// An argument is read, so many times.
    Scan(usize, f64),
    /// As `Scan` of the first; the result has its size.
    Map(f64),
    Equal,
    Order,
    Add,
    Contains,
    Matches,
    In,
    Text,
    Replace,
    Split,
    Join,
    Format,
    /// All elements of a list are read.
    Traverse,
    /// A list is made of the elements.
    Items,
    /// Each element is compared with each.
    Sort,
    Distinct,
    Slice,
    Pairs(u64),
    Ip,
    InCidr(u64),
    Validate,
    Selector,
}

/// A factor of a size, rounded up.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(super) fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

impl Cost {
    /// What it did cost.
    pub(super) fn actual(self, arguments: &[Value<'_>], result: &Value<'_>) -> u64 {
        let size = |i: usize| arguments.get(i).map_or(1, Value::size);
        match self {
            Self::Fixed(cost) => cost,
            Self::Scan(i, factor) => scaled(size(i), factor),
            Self::Map(factor) => scaled(size(0), factor),
            Self::Equal => match arguments.first() {
                Some(Value::Kube(_) | Value::Foreign(_)) => 1,
                _ => scaled(size(0).min(size(1)), CHARACTER),
            },
            Self::Order => match arguments.first() {
                Some(Value::String(_) | Value::Bytes(_)) => scaled(size(0).min(size(1)), CHARACTER),
                _ => 1,
            },
            Self::Add => match arguments.first() {
                Some(Value::String(_) | Value::Bytes(_)) => scaled(size(0) + size(1), CHARACTER),
                _ => 1,
            },
            Self::Contains => scaled(size(0), CHARACTER).saturating_mul(scaled(size(1), CHARACTER)),
            Self::Matches => scaled(size(0) + 1, CHARACTER).saturating_mul(scaled(size(1), PATTERN)),
            Self::In => match arguments.get(1) {
                Some(Value::List(list)) => u64::try_from(list.len()).unwrap_or(u64::MAX),
                _ => 1,
            },
            Self::Text => match arguments.first() {
                Some(Value::String(_) | Value::Bytes(_)) => scaled(size(0), CHARACTER),
                _ => 1,
            },
            Self::Replace | Self::Split => scaled(size(0), 2.0 * CHARACTER),
            Self::Join => scaled(result.size(), 2.0 * CHARACTER),
            Self::Format => scaled(size(0), CHARACTER),
            Self::Traverse => arguments.first().map_or(1, |value| traversal(value, &mut 0)),
            Self::Items | Self::Sort | Self::Distinct | Self::Slice => {
                let read = if matches!(self, Self::Slice) { 0 } else { size(0) };
                result.size().max(read).saturating_add(11)
            }
            Self::Pairs(factor) => size(0).saturating_mul(size(1)).saturating_mul(factor).saturating_add(1),
            Self::Ip => match arguments.first() {
                Some(Value::String(_)) => scaled(size(0), CHARACTER),
                _ => 1,
            },
            Self::InCidr(more) => {
                let base = in_cidr(size(0), more);
                match arguments.get(1) {
                    Some(Value::String(_)) => base + scaled(size(1), CHARACTER),
                    _ => base,
                }
            }
            Self::Validate => match arguments.first() {
                Some(Value::Kube(kube)) => match &**kube {
                    Kube::Format(format) => {
                        scaled(size(1) + 1, CHARACTER) * scaled(format.pattern_size(), PATTERN)
                    }
                    _ => 1,
                },
                _ => 1,
            },
            Self::Selector => selector(size(1)),
        }
    }

    /// What it may cost at most, and the size of its result.
    pub(super) fn estimate(self, arguments: &[Argument<'_>]) -> (u64, Option<Size>) {
        let size = |i: usize| arguments.get(i).map_or(Size::UNKNOWN, Argument::size);
        let max = |i: usize| size(i).max;
        let kind = |i: usize| arguments.get(i).map_or(&Kind::Dyn, |argument| &argument.ty.kind);
        let plain = |cost: u64| (cost, None);
        match self {
            Self::Fixed(cost) => plain(cost),
            Self::Scan(i, factor) => plain(scaled(max(i), factor)),
            Self::Map(factor) => (scaled(max(0), factor), Some(size(0))),
            Self::Equal => match kind(0) {
                Kind::Opaque(name) if &**name == "kubernetes.NamedFormat" => plain(scaled(64, CHARACTER)),
                Kind::Opaque(_) => plain(1),
                _ => plain(scaled(max(0).min(max(1)), CHARACTER)),
            },
            Self::Order => match (kind(0), kind(1)) {
                (Kind::String | Kind::Bytes, _) | (_, Kind::String | Kind::Bytes) => {
                    plain(scaled(max(0).min(max(1)), CHARACTER))
                }
                (Kind::Dyn | Kind::Free, Kind::Dyn | Kind::Free) => {
                    plain(scaled(max(0).min(max(1)), CHARACTER).max(1))
                }
                _ => plain(1),
            },
            Self::Add => {
                let both = size(0).plus(size(1));
                match (kind(0), kind(1)) {
                    (Kind::List(_), _) | (_, Kind::List(_)) => (1, Some(both)),
                    (Kind::String | Kind::Bytes, _) | (_, Kind::String | Kind::Bytes) => {
                        (scaled(both.max, CHARACTER), Some(both))
                    }
                    (Kind::Dyn, Kind::Dyn) => (scaled(both.max, CHARACTER).max(1), Some(both)),
                    _ => plain(1),
                }
            }
            Self::Contains => plain(scaled(max(0), CHARACTER).saturating_mul(scaled(max(1), CHARACTER))),
            Self::Matches => {
                let cost =
                    scaled(max(0).saturating_add(1), CHARACTER).saturating_mul(scaled(max(1), PATTERN));
                (cost, Some(Size { min: 0, max: max(0) }))
            }
            Self::In => match kind(1) {
                Kind::Map(_) => plain(1),
                _ => plain(max(1)),
            },
            Self::Text => match kind(0) {
                Kind::String => (scaled(max(0), CHARACTER), Some(size(0).times(Size { min: 1, max: 4 }))),
                Kind::Bytes => (scaled(max(0), CHARACTER), Some(Size { min: size(0).min / 4, max: max(0) })),
                Kind::Dyn | Kind::Free => plain(scaled(max(0), CHARACTER).max(1)),
                _ => plain(1),
            },
            Self::Replace => (scaled(max(0), 2.0 * CHARACTER), Some(replaced(size(0), size(1), size(2)))),
            Self::Split => {
                let most = arguments.get(2).and_then(|argument| argument.literal).unwrap_or(max(0));
                (scaled(max(0), 2.0 * CHARACTER), Some(Size { min: 0, max: most }))
            }
            Self::Join => {
                let elements = arguments.first().and_then(Argument::element_size);
                let unknown =
                    if matches!(kind(0), Kind::List(_)) { Size::UNKNOWN } else { Size { min: 0, max: 0 } };
                let mut joined = elements.map_or(unknown, |each| size(0).times(each));
                if arguments.len() > 1 {
                    let gaps = Size { min: size(0).min.saturating_sub(1), max: max(0).saturating_sub(1) };
                    joined = joined.plus(size(1).times(gaps));
                }
                (scaled(joined.max, CHARACTER), Some(joined))
            }
            Self::Format => plain(scaled(max(0), CHARACTER)),
            Self::Traverse => match kind(0) {
                Kind::String => plain(scaled(max(0), CHARACTER)),
                Kind::List(of) if matches!(of.kind, Kind::String | Kind::Bytes) => {
                    let each = arguments.first().and_then(Argument::element_size).unwrap_or(Size::UNKNOWN);
                    plain(max(0).saturating_mul(scaled(each.max, CHARACTER).saturating_add(1)))
                }
                _ => plain(max(0)),
            },
            Self::Items => {
                let made = match kind(0) {
                    Kind::Int => arguments.first().and_then(|a| a.literal).unwrap_or(u64::MAX),
                    _ => max(0),
                };
                (made.saturating_add(11), Some(Size { min: 0, max: made }))
            }
            Self::Slice => {
                let literal = |i: usize| arguments.get(i).and_then(|argument| argument.literal);
                let made = literal(2).unwrap_or(max(0)).saturating_sub(literal(1).unwrap_or(0));
                (made.saturating_add(11), Some(Size { min: 0, max: made }))
            }
            Self::Sort | Self::Distinct => {
                let pairs = max(0).saturating_mul(max(0));
                let of_texts =
                    matches!(kind(0), Kind::List(of) if matches!(of.kind, Kind::String | Kind::Bytes));
                let factor = if of_texts && matches!(self, Self::Sort) { 2.0 + CHARACTER } else { 2.0 };
                (scaled(pairs, factor).saturating_add(11), Some(Size { min: 0, max: pairs }))
            }
            Self::Pairs(factor) => {
                plain(max(0).saturating_mul(max(1)).saturating_mul(factor).saturating_add(1))
            }
            Self::Ip => match kind(0) {
                Kind::Opaque(_) => plain(1),
                _ => plain(scaled(max(0), CHARACTER)),
            },
            Self::InCidr(more) => {
                let base = in_cidr(16, more);
                match kind(1) {
                    Kind::Opaque(_) => plain(base),
                    _ => plain(base.saturating_add(scaled(max(1), CHARACTER))),
                }
            }
            Self::Validate => plain(scaled(scaled(max(1), CHARACTER), 128.0 * PATTERN)),
            Self::Selector => plain(selector(max(1))),
        }
    }
}

/// Addresses are compared; a range inside of a range is masked before.
fn in_cidr(bytes: u64, more: u64) -> u64 {
    scaled(bytes * 2, CHARACTER) + more * (scaled(bytes, CHARACTER) + 1)
}

fn selector(length: u64) -> u64 {
    10u64.saturating_add(scaled(length, CHARACTER)).saturating_add(scaled(scaled(length, 0.5), 50.0))
}

/// Every scalar of a tree is read. Parts that are shared count each time, so a small value may be a huge tree: the walk
/// ends where no limit would allow more.
fn traversal(value: &Value<'_>, steps: &mut u64) -> u64 {
    *steps += 1;
    if *steps > 10 * super::PER_CALL_LIMIT {
        return u64::MAX;
    }
    match value {
        Value::String(text) => scaled(u64::try_from(text.len()).unwrap_or(u64::MAX), CHARACTER),
        Value::Bytes(_) => scaled(value.size(), CHARACTER),
        Value::List(list) => up_to_the_limit(list.iter().map(|item| traversal(&item, steps))),
        Value::Map(map) => up_to_the_limit(map.keys().into_iter().map(|key| {
            let value = map.find(&key).map_or(0, |value| traversal(&value, steps));
            traversal(&key, steps).saturating_add(value)
        })),
        _ => 1,
    }
}

/// The sum, as far as it needs to be known.
fn up_to_the_limit(mut costs: impl Iterator<Item = u64>) -> u64 {
    costs.try_fold(0u64, u64::checked_add).unwrap_or(u64::MAX)
}

fn replaced(text: Size, old: Size, new: Size) -> Size {
    let (count, kept) = if old.min == 0 {
        (text.max.saturating_add(1), text.max)
    } else if new.max <= old.min {
        (0, text.max)
    } else {
        (text.max.div_ceil(old.min), 0)
    };
    Size { min: 0, max: count.saturating_mul(new.max).saturating_add(kept) }
}

/// Fewest and most characters, elements or entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl Size {
    pub(super) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };
    pub(super) const ONE: Self = Self { min: 1, max: 1 };

    pub(super) fn exactly(size: usize) -> Self {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        Self { min: size, max: size }
    }
    pub(super) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }
    pub(super) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }
    pub(super) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// What is known of an argument before evaluation.
pub(super) struct Argument<'n> {
    pub(super) ty: &'n Type,
    pub(super) known: Option<Size>,
    /// Size of the elements, where it is known.
    pub(super) elements: Option<Size>,
    /// A whole number that is written out.
    pub(super) literal: Option<u64>,
}

impl Argument<'_> {
    fn size(&self) -> Size {
        self.known.unwrap_or(if self.ty.is_scalar() { Size::ONE } else { Size::UNKNOWN })
    }
    fn element_size(&self) -> Option<Size> {
        self.elements
    }
}
