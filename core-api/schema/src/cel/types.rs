//! Types of expressions: what the checker infers, and what a schema declares, with the bounds that costs are
//! estimated from.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// A type. Bounds are no part of its identity.
#[derive(Clone, Debug)]
pub struct Type {
    /// Which one.
    pub kind: Kind,
    /// Most elements, entries or characters that a value of a schema may have.
    pub(super) max: Option<u64>,
    /// Shortest JSON text of such a value.
    pub(super) min_size: u64,
}

/// Which type.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing is known of it yet (elements of an empty list).
    Free,
    /// Of an expression that is wrong, which has been told.
    Broken,
    /// Known when evaluated.
    Dyn,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `uint`.
    Uint,
    /// `double`.
    Double,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// The type of types.
    Type,
    /// `list(T)`.
    List(Arc<Type>),
    /// `map(K, V)`.
    Map(Arc<(Type, Type)>),
    /// `optional_type(T)`.
    Optional(Arc<Type>),
    /// Named fields.
    Object(Arc<ObjectType>),
    /// A type with functions only, such as `kubernetes.Quantity`.
    Opaque(Arc<str>),
    /// A parameter of a function's signature.
    Param(char),
}

/// Named fields, by the names that expressions use.
#[derive(Debug)]
pub struct ObjectType {
    /// Name for messages.
    pub name: Box<str>,
    /// The fields.
    pub fields: BTreeMap<Box<str>, Type>,
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// Two object types are one when they are the same declaration.
impl PartialEq for ObjectType {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.name == other.name && self.fields.keys().eq(other.fields.keys()))
    }
}

impl From<Kind> for Type {
    fn from(kind: Kind) -> Self {
        Self { kind, max: None, min_size: 0 }
    }
}

impl Type {
    /// `dyn`.
    pub const DYN: Self = Self { kind: Kind::Dyn, max: None, min_size: 0 };
    /// `bool`.
    pub const BOOL: Self = Self { kind: Kind::Bool, max: None, min_size: 0 };
    /// `string`.
    pub const STRING: Self = Self { kind: Kind::String, max: None, min_size: 0 };
    /// `int`.
    pub const INT: Self = Self { kind: Kind::Int, max: None, min_size: 0 };

    /// `list(T)`.
    pub fn list(of: Self) -> Self {
        Kind::List(Arc::new(of)).into()
    }
    /// `map(K, V)`.
    pub fn map(key: Self, value: Self) -> Self {
        Kind::Map(Arc::new((key, value))).into()
    }
    /// `optional_type(T)`.
    pub fn optional(of: Self) -> Self {
        Kind::Optional(Arc::new(of)).into()
    }
    /// A type whose fields are known.
    pub fn object<'a>(name: &str, fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let fields = fields.into_iter().map(|(name, ty)| (name.into(), ty)).collect();
        Kind::Object(Arc::new(ObjectType { name: name.into(), fields })).into()
    }
    /// A type that has functions only.
    pub fn opaque(name: &str) -> Self {
        Kind::Opaque(name.into()).into()
    }

    /// Whether nothing is known of it before evaluation.
    pub(super) fn is_dyn(&self) -> bool {
        matches!(self.kind, Kind::Dyn | Kind::Free | Kind::Broken)
    }

    /// Whether its values have a size of one.
    pub(super) fn is_scalar(&self) -> bool {
        match &self.kind {
            Kind::Bool | Kind::Int | Kind::Uint | Kind::Double | Kind::Duration | Kind::Timestamp => true,
            Kind::Optional(of) => of.is_scalar(),
            _ => false,
        }
    }

    /// The type that holds values of both, when there is one besides `dyn`.
    pub(super) fn joined(&self, other: &Self) -> Option<Self> {
        let kind = match (&self.kind, &other.kind) {
            (Kind::Free, _) => return Some(other.clone()),
            (_, Kind::Free) => return Some(self.clone()),
            (Kind::Broken, _) | (_, Kind::Broken) => Kind::Broken,
            (Kind::Dyn, _) | (_, Kind::Dyn) => Kind::Dyn,
            (Kind::List(a), Kind::List(b)) => Kind::List(Arc::new(a.joined(b)?)),
            (Kind::Optional(a), Kind::Optional(b)) => Kind::Optional(Arc::new(a.joined(b)?)),
            (Kind::Map(a), Kind::Map(b)) => Kind::Map(Arc::new((a.0.joined(&b.0)?, a.1.joined(&b.1)?))),
            (Kind::Null, kind) | (kind, Kind::Null) if takes_null(kind) => kind.clone(),
            (a, b) if a == b => a.clone(),
            _ => return None,
        };
        Some(kind.into())
    }

    /// Whether a value of `from` fits where this type is wanted; parameters are bound on the way.
    pub(super) fn accepts(&self, from: &Self, bound: &mut Bindings) -> bool {
        match (&self.kind, &from.kind) {
            (Kind::Param(name), _) => match bound.get(*name) {
                None => {
                    bound.0.push((*name, from.clone()));
                    true
                }
                Some(known) => match known.joined(from) {
                    Some(joined) => {
                        bound.set(*name, joined);
                        true
                    }
                    None => false,
                },
            },
            (Kind::Dyn | Kind::Free | Kind::Broken, _) => true,
            (_, Kind::Dyn | Kind::Free | Kind::Broken) => {
                // What is only known later leaves the parameters open.
                self.leave_open(bound);
                true
            }
            (Kind::List(a), Kind::List(b)) | (Kind::Optional(a), Kind::Optional(b)) => a.accepts(b, bound),
            (Kind::Map(a), Kind::Map(b)) => a.0.accepts(&b.0, bound) && a.1.accepts(&b.1, bound),
            (kind, Kind::Null) if takes_null(kind) => true,
            (a, b) => a == b,
        }
    }

    fn leave_open(&self, bound: &mut Bindings) {
        match &self.kind {
            Kind::Param(name) if bound.get(*name).is_none() => bound.0.push((*name, Self::DYN)),
            Kind::List(of) | Kind::Optional(of) => of.leave_open(bound),
            Kind::Map(of) => {
                of.0.leave_open(bound);
                of.1.leave_open(bound);
            }
            _ => {}
        }
    }

    /// With parameters replaced by what they are bound to.
    pub(super) fn resolved(&self, bound: &Bindings) -> Self {
        match &self.kind {
            Kind::Param(name) => bound.get(*name).cloned().unwrap_or(Self::DYN),
            Kind::List(of) => Self::list(of.resolved(bound)),
            Kind::Optional(of) => Self::optional(of.resolved(bound)),
            Kind::Map(of) => Self::map(of.0.resolved(bound), of.1.resolved(bound)),
            _ => self.clone(),
        }
    }

    /// Reads a type of a signature: `list<A>`, `map<string,dyn>`, `optional<string>`, `kubernetes.Quantity`.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        if let Some((head, rest)) = text.split_once('<') {
            let inner = rest.strip_suffix('>').unwrap_or(rest);
            return match head {
                "list" => Self::list(Self::parse(inner)),
                "optional" => Self::optional(Self::parse(inner)),
                _ => {
                    let (key, value) = inner.split_once(',').unwrap_or((inner, "dyn"));
                    Self::map(Self::parse(key), Self::parse(value))
                }
            };
        }
        match text {
            "dyn" => Kind::Dyn,
            "null" => Kind::Null,
            "bool" => Kind::Bool,
            "int" => Kind::Int,
            "uint" => Kind::Uint,
            "double" => Kind::Double,
            "string" => Kind::String,
            "bytes" => Kind::Bytes,
            "duration" => Kind::Duration,
            "timestamp" => Kind::Timestamp,
            "type" => Kind::Type,
            "A" => Kind::Param('A'),
            "B" => Kind::Param('B'),
            opaque => Kind::Opaque(opaque.into()),
        }
        .into()
    }
}

/// Kinds whose values may be absent.
fn takes_null(kind: &Kind) -> bool {
    matches!(kind, Kind::Object(_) | Kind::Opaque(_) | Kind::Duration | Kind::Timestamp | Kind::Null)
}

/// What parameters of a signature stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings(Vec<(char, Type)>);

impl Bindings {
    fn get(&self, name: char) -> Option<&Type> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, ty)| ty)
    }
    fn set(&mut self, name: char, ty: Type) {
        if let Some(known) = self.0.iter_mut().find(|(known, _)| *known == name) {
            known.1 = ty;
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Free | Kind::Dyn => f.write_str("dyn"),
            Kind::Broken => f.write_str("!error!"),
            Kind::Null => f.write_str("null"),
            Kind::Bool => f.write_str("bool"),
            Kind::Int => f.write_str("int"),
            Kind::Uint => f.write_str("uint"),
            Kind::Double => f.write_str("double"),
            Kind::String => f.write_str("string"),
            Kind::Bytes => f.write_str("bytes"),
            Kind::Duration => f.write_str("google.protobuf.Duration"),
            Kind::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Kind::Type => f.write_str("type"),
            Kind::List(of) => write!(f, "list({of})"),
            Kind::Map(of) => write!(f, "map({}, {})", of.0, of.1),
            Kind::Optional(of) => write!(f, "optional_type({of})"),
            Kind::Object(object) => f.write_str(&object.name),
            Kind::Opaque(name) => f.write_str(name),
            Kind::Param(name) => write!(f, "{name}"),
        }
    }
}
