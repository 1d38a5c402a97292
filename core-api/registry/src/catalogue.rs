//! All served kinds, as one immutable value that is swapped whole.

use crate::{kind::KindDef, state::KindState};
use proa_store::Revision;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A served kind and the state of its storage.
pub struct Kind {
    /// What it is.
    pub def: KindDef,
    /// Its objects; shared by all kinds of the same storage.
    pub state: Arc<KindState>,
}

impl Kind {
    /// The present objects.
    pub fn snapshot(&self) -> Arc<crate::state::Snapshot> {
        self.state.snapshot()
    }
    /// Revision of the last change to any object of the kind.
    pub fn revision(&self) -> Revision {
        self.state.snapshot().revision()
    }
    /// Wakes at every change.
    pub fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.state.changed()
    }
    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<crate::Entry>> {
        self.state.get(&format!("{}{namespace}/{name}", self.state.prefix()))
    }
}

/// One version of a group.
pub struct Version {
    /// Such as `v1`.
    pub name: String,
    /// Kinds by resource.
    pub kinds: BTreeMap<String, Arc<Kind>>,
}

/// One group.
pub struct Group {
    /// Name, empty for core.
    pub name: String,
    /// Versions, preferred first.
    pub versions: Vec<Version>,
}

/// All served kinds.
#[derive(Default)]
pub struct Catalogue {
    groups: Vec<Group>,
    at: HashMap<String, usize>,
    generation: u64,
}

impl Catalogue {
    /// Orders kinds by group and version: the core group first, then as given; custom groups by name.
    pub fn new(kinds: impl IntoIterator<Item = Arc<Kind>>, generation: u64) -> Self {
        let mut catalogue = Self { generation, ..Self::default() };
        for kind in kinds {
            catalogue.insert(kind);
        }
        for group in &mut catalogue.groups {
            group.versions.sort_by(|a, b| compare_versions(&a.name, &b.name));
        }
        catalogue
    }
    fn insert(&mut self, kind: Arc<Kind>) {
        let name = kind.def.gvk.group.to_string();
        let at = *self.at.entry(name.clone()).or_insert_with(|| {
            self.groups.push(Group { name, versions: Vec::new() });
            self.groups.len() - 1
        });
        let versions = &mut self.groups[at].versions;
        let at = versions.iter().position(|v| v.name == kind.def.gvk.version).unwrap_or_else(|| {
            versions.push(Version { name: kind.def.gvk.version.to_string(), kinds: BTreeMap::new() });
            versions.len() - 1
        });
        versions[at].kinds.insert(kind.def.resource.to_string(), kind);
    }
    /// Grows with every swap.
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// Groups in order.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
    /// One group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.at.get(name).map(|&at| &self.groups[at])
    }
    /// One version of a group.
    pub fn version(&self, group: &str, version: &str) -> Option<&Version> {
        self.group(group)?.versions.iter().find(|v| v.name == version)
    }
    /// A kind by its resource.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Kind>> {
        self.version(group, version)?.kinds.get(resource)
    }
    /// A kind by its name.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.version(group, version)?.kinds.values().find(|k| k.def.gvk.kind == kind)
    }
    /// All kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.groups.iter().flat_map(|g| &g.versions).flat_map(|v| v.kinds.values())
    }
}

/// Preferred first: general availability before beta before alpha, then the higher number; other names last, by
/// name. Upstream: apimachinery `pkg/version/helpers.go`.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// `(stability, major, minor)`.
fn parse_version(text: &str) -> Option<(u8, u64, u64)> {
    let rest = text.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().ok()?;
    let (stability, minor) = match &rest[digits..] {
        "" => return Some((2, major, 0)),
        tail if tail.starts_with("beta") => (1, &tail[4..]),
        tail => (0, tail.strip_prefix("alpha")?),
    };
    Some((stability, major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_upstream() {
        let mut versions = ["v1beta1", "foo", "v10", "v2", "v1alpha1", "v1", "v2beta2", "bar1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta2", "v1beta1", "v1alpha1", "bar1", "foo"]);
    }
}
