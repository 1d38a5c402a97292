//! Selectors made ready for one kind: field names become positions, names and namespaces become key comparisons.

use crate::{
    entry::Entry,
    kind::KindDef,
    request::{ChangeType, Selection, Target},
    state::Event,
};
use proa_meta::{ApiError, ApiResult, selector::Selector};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    Selectable(usize),
}

#[derive(Clone, Debug)]
struct Requirement {
    field: Field,
    value: Box<str>,
    negated: bool,
}

/// Decides whether an entry is selected, without decoding it.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Key prefix: the resource, and the namespace when one is named.
    prefix: Box<str>,
    labels: Selector,
    fields: Box<[Requirement]>,
}

impl Selected {
    /// # Errors
    /// 400 when a field cannot be selected by.
    pub fn new(target: &Target, selection: &Selection) -> ApiResult<Self> {
        let def = &target.kind.def;
        let requirement = |r: &proa_meta::selector::FieldRequirement| {
            Ok(Requirement {
                field: field_of(def, &r.field)?,
                value: r.value.as_str().into(),
                negated: r.negated,
            })
        };
        let mut fields =
            selection.fields.requirements().iter().map(requirement).collect::<ApiResult<Vec<_>>>()?;
        if !target.name.is_empty() {
            fields.push(Requirement {
                field: Field::Name,
                value: target.name.as_str().into(),
                negated: false,
            });
        }
        let prefix = target.kind.state.prefix();
        let prefix = if def.is_namespaced() && !target.namespace.is_empty() {
            format!("{prefix}{}/", target.namespace).into()
        } else {
            Box::from(&**prefix)
        };
        Ok(Self { prefix, labels: selection.labels.clone(), fields: fields.into() })
    }

    /// Key prefix that all selected entries share.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
    /// Whether neither labels nor fields are restricted.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_empty()
    }
    /// The one name that is selected, when selectors say so.
    pub fn name(&self) -> Option<&str> {
        self.fields.iter().find(|r| r.field == Field::Name && !r.negated).map(|r| &*r.value)
    }
    /// An equality on an indexed field: the bucket that holds everything selected.
    pub fn bucket(&self, def: &KindDef) -> Option<(usize, &str)> {
        self.fields.iter().find_map(|r| match r.field {
            Field::Selectable(at) if !r.negated && def.selectable[at].indexed => Some((at, &*r.value)),
            _ => None,
        })
    }
    /// Whether values inside of objects decide, beyond names and labels.
    pub(crate) fn asks_for_fields(&self) -> bool {
        self.fields.iter().any(|r| matches!(r.field, Field::Selectable(_)))
    }
    /// All objects of the same resource and namespace.
    pub(crate) fn widened(&self) -> Self {
        Self { prefix: self.prefix.clone(), labels: Selector::everything(), fields: Box::default() }
    }
    /// Whether the entry is selected.
    pub fn matches(&self, entry: &Entry) -> bool {
        entry.key.starts_with(&*self.prefix)
            && self.fields.iter().all(|r| (value_of(entry, r.field) == &*r.value) != r.negated)
            && (self.labels.is_everything() || self.labels.matches(|key| entry.label(key)))
    }
    /// How the watcher sees an event: an object that starts or stops being selected comes or goes.
    pub fn sees<'a>(&self, event: &'a Event) -> Option<(ChangeType, &'a Arc<Entry>)> {
        self.sees_change(event.old.as_ref(), event.new.as_ref())
    }
    /// The same of an object before and after.
    pub(crate) fn sees_change<'a>(
        &self,
        before: Option<&'a Arc<Entry>>,
        after: Option<&'a Arc<Entry>>,
    ) -> Option<(ChangeType, &'a Arc<Entry>)> {
        let old = before.filter(|e| self.matches(e));
        let new = after.filter(|e| self.matches(e));
        match (old, new) {
            (None, None) => None,
            (None, Some(new)) => Some((ChangeType::Added, new)),
            (Some(_), Some(new)) => Some((ChangeType::Modified, new)),
            // Like upstream: the state that made it go, when there is one, else the last.
            (Some(old), None) => Some((ChangeType::Deleted, after.unwrap_or(old))),
        }
    }
}

fn value_of(entry: &Entry, field: Field) -> &str {
    match field {
        Field::Name => entry.name(),
        Field::Namespace => entry.namespace(),
        Field::Selectable(at) => entry.field(at),
    }
}

fn field_of(def: &KindDef, name: &str) -> ApiResult<Field> {
    match name {
        "metadata.name" => return Ok(Field::Name),
        "metadata.namespace" if def.is_namespaced() => return Ok(Field::Namespace),
        _ => {}
    }
    let at = def.selectable.iter().position(|s| s.is_called(name));
    at.map(Field::Selectable)
        .ok_or_else(|| ApiError::bad_request(format!("field label not supported: {name}")))
}
