//! The facts table and how to read it: one line per type, one indented line per field.
//!
//! Invariant: types are sorted by name, so that a type is found by bisection over the offsets of its lines. The
//! tests read every line; a line that cannot be read there cannot reach a release.

use serde_json::Value;
use std::sync::OnceLock;

const TABLE: &str = include_str!("../../facts/v1_37.tsv");

/// Abbreviated prefixes of type names.
const PREFIXES: [(char, &str); 2] = [('@', "io.k8s.api."), ('&', "io.k8s.apimachinery.pkg.")];

/// Facts about one type.
#[derive(Clone, Copy, Debug)]
pub struct TypeFacts {
    /// OpenAPI name, such as `io.k8s.api.apps.v1.Deployment`.
    pub name: &'static str,
    pub(super) index: usize,
    attributes: &'static str,
    body: &'static str,
}

/// Facts about one field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// JSON name; `None` when the fields of its type are taken into the owner (Go's `inline`).
    pub name: Option<&'static str>,
    /// What it holds.
    pub shape: Shape,
    /// Protobuf field number, 0 for none.
    pub tag: u32,
    attributes: &'static str,
}

/// What a field, list element or map value holds.
#[derive(Clone, Copy, Debug)]
pub struct Shape(&'static str);

/// A shape taken apart by one level.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Scalar(&'static str),
    List(Shape),
    Map(Shape),
    Type(TypeFacts),
}

/// How a list's elements are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Replaced whole; `declared` tells whether the source says so or only does not say otherwise.
    Atomic {
        /// Whether OpenAPI publishes it.
        declared: bool,
    },
    /// Unique scalars.
    Set,
    /// Objects told apart by these keys, separated by commas.
    Map(&'static str),
}

/// Offsets of the lines of types.
fn offsets() -> &'static [u32] {
    static OFFSETS: OnceLock<Box<[u32]>> = OnceLock::new();
    OFFSETS.get_or_init(|| {
        let starts = std::iter::once(0).chain(TABLE.match_indices('\n').map(|(at, _)| at + 1));
        let is_type = |&at: &usize| !matches!(TABLE.as_bytes().get(at), None | Some(b'\t' | b'#' | b'\n'));
        starts.filter(is_type).filter_map(|at| u32::try_from(at).ok()).collect()
    })
}

fn at(index: usize) -> Option<TypeFacts> {
    let start = *offsets().get(index)? as usize;
    let end = offsets().get(index + 1).map_or(TABLE.len(), |&next| next as usize);
    let (head, body) = TABLE[start..end].split_once('\n')?;
    let (name, attributes) = head.split_once('\t').unwrap_or((head, ""));
    Some(TypeFacts { name, index, attributes, body })
}

/// How many types there are.
pub(super) fn count() -> usize {
    offsets().len()
}

/// Every type, sorted by name.
pub fn types() -> impl Iterator<Item = TypeFacts> {
    (0..count()).filter_map(at)
}

/// The type of an OpenAPI name.
pub fn type_facts(name: &str) -> Option<TypeFacts> {
    let found = offsets().binary_search_by(|&start| {
        let line = &TABLE[start as usize..];
        let end = line.find(['\t', '\n']).unwrap_or(line.len());
        line[..end].cmp(name)
    });
    found.ok().and_then(at)
}

/// The type of a group, version and kind.
pub fn type_of(group: &str, version: &str, kind: &str) -> Option<TypeFacts> {
    types().find(|facts| facts.kinds().any(|gvk| gvk == (group, version, kind)))
}

impl TypeFacts {
    /// Groups, versions and kinds that are served with this type.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> + use<> {
        values(self.attributes, "gvk=").filter_map(|gvk| {
            let (group, rest) = gvk.split_once('/')?;
            let (version, kind) = rest.split_once('/')?;
            Some((group, version, kind))
        })
    }
    /// Whether apply replaces the whole value.
    pub fn is_atomic(&self) -> bool {
        has(self.attributes, "struct=atomic")
    }
    /// Whether the strategic merge patch clears fields that a patch with `$retainKeys` does not list.
    pub fn retains_keys(&self) -> bool {
        has(self.attributes, "retainKeys")
    }
    /// Whether at most one of its fields is meant to be set.
    pub fn is_union(&self) -> bool {
        has(self.attributes, "union")
    }
    /// Its fields in source order; see [`Field::name`] for those that stand for several.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.body.lines().filter_map(Field::parse)
    }
    /// Its fields as JSON has them: those of inlined types are among them.
    pub fn json_fields(&self) -> Vec<Field> {
        let mut found = Vec::new();
        for field in self.fields() {
            match (field.name, field.shape.part()) {
                (None, Part::Type(inlined)) => {
                    found.extend(inlined.json_fields().into_iter().map(|f| Field { tag: 0, ..f }));
                }
                _ => found.push(field),
            }
        }
        found
    }
}

impl Field {
    fn parse(line: &'static str) -> Option<Self> {
        let mut columns = line.strip_prefix('\t')?.splitn(4, '\t');
        let (name, shape, tag) = (columns.next()?, columns.next()?, columns.next()?);
        let attributes = columns.next().unwrap_or("");
        Some(Self {
            name: (name != "+").then_some(name),
            shape: Shape(shape),
            tag: tag.parse().ok()?,
            attributes,
        })
    }
    /// Go leaves it out when empty; structs are never empty.
    pub fn omits_empty(&self) -> bool {
        has(self.attributes, "omitempty")
    }
    /// Go leaves it out when every part is zero.
    pub fn omits_zero(&self) -> bool {
        has(self.attributes, "omitzero")
    }
    /// OpenAPI lists it as required.
    pub fn is_required(&self) -> bool {
        has(self.attributes, "required")
    }
    /// Declared to keep its value once set.
    pub fn is_immutable(&self) -> bool {
        has(self.attributes, "immutable")
    }
    /// Tells which field of a union is set.
    pub fn is_discriminator(&self) -> bool {
        has(self.attributes, "discriminator")
    }
    /// How apply tells the elements apart.
    pub fn list_kind(&self) -> ListKind {
        match value(self.attributes, "list=") {
            None => ListKind::Atomic { declared: false },
            Some("set") => ListKind::Set,
            Some(text) => {
                text.strip_prefix("map:").map_or(ListKind::Atomic { declared: true }, ListKind::Map)
            }
        }
    }
    /// `atomic` or `granular`, when the field says so itself.
    pub fn map_type(&self) -> Option<&'static str> {
        value(self.attributes, "map=").or_else(|| value(self.attributes, "struct="))
    }
    /// Strategic merge patch's strategy: `merge`, `retainKeys`, `merge,retainKeys`.
    pub fn patch_strategy(&self) -> Option<&'static str> {
        value(self.attributes, "patch=")
    }
    /// Strategic merge patch's key of list elements.
    pub fn patch_merge_key(&self) -> Option<&'static str> {
        value(self.attributes, "patchKey=")
    }
    /// Allowed values, or those of list elements and map values; none when anything is allowed.
    pub fn enumeration(&self) -> impl Iterator<Item = &'static str> {
        value(self.attributes, "enum=").into_iter().flat_map(|text| text.split('|'))
    }
    /// Declared default.
    pub fn default(&self) -> Option<Value> {
        serde_json::from_str(value(self.attributes, "default=")?).ok()
    }
    /// Declared validations in force, as their markers say them: `maxItems=32`, `format=k8s-uuid`.
    pub fn validations(&self) -> impl Iterator<Item = &'static str> {
        values(self.attributes, "v=")
    }
}

impl Shape {
    /// Go holds a pointer.
    pub fn is_pointer(&self) -> bool {
        self.0.starts_with('*')
    }
    /// A list or map that is a message of its own in protobuf, with the entries in field 1.
    pub fn is_wrapped(&self) -> bool {
        self.0.trim_start_matches('*').starts_with('~')
    }
    /// Element of a list.
    pub fn list_item(&self) -> Option<Self> {
        self.bare().strip_prefix("[]").map(Self)
    }
    /// Value of a map.
    pub fn map_value(&self) -> Option<Self> {
        self.bare().strip_prefix("{}").map(Self)
    }
    /// The type, when it is one with fields.
    pub fn type_facts(&self) -> Option<TypeFacts> {
        match self.part() {
            Part::Type(facts) => Some(facts),
            _ => None,
        }
    }
    /// Name of what is neither list, map nor type: `string`, `int32`, `quantity` and so on.
    pub fn scalar(&self) -> Option<&'static str> {
        match self.part() {
            Part::Scalar(name) => Some(name),
            _ => None,
        }
    }

    fn bare(self) -> &'static str {
        self.0.trim_start_matches(['*', '~'])
    }

    pub(super) fn part(self) -> Part {
        if let Some(item) = self.list_item() {
            return Part::List(item);
        }
        if let Some(value) = self.map_value() {
            return Part::Map(value);
        }
        let name = self.bare();
        if !name.contains('.') {
            return Part::Scalar(name);
        }
        let prefix = PREFIXES.iter().find_map(|(sign, full)| Some((full, name.strip_prefix(*sign)?)));
        let facts = match prefix {
            Some((full, rest)) => type_facts(&[full, rest].concat()),
            None => type_facts(name),
        };
        facts.map_or(Part::Scalar("any"), Part::Type)
    }
}

fn has(attributes: &str, flag: &str) -> bool {
    attributes.split('\t').any(|one| one == flag)
}

fn values(attributes: &'static str, key: &'static str) -> impl Iterator<Item = &'static str> {
    attributes.split('\t').filter_map(move |one| one.strip_prefix(key))
}

fn value(attributes: &'static str, key: &'static str) -> Option<&'static str> {
    values(attributes, key).next()
}
