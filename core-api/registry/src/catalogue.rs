//! All served kinds, as one immutable value that is swapped whole.

use crate::{
    kind::{Behaviour, KindDef},
    state::KindState,
};
use proa_meta::{ApiError, ApiResult, GroupResource, Gvk, gvk};
use proa_store::Revision;
use serde_json::Value;
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

/// How far up discovery shows a version of a group; higher ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// Of the group, as far as this version has a say in it: the highest of its versions' counts.
    pub group: i64,
    /// Of the version in its group.
    pub version: i64,
}

impl Priority {
    /// Of all groups that definitions make.
    pub const USUAL: Self = Self { group: 1000, version: 100 };
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
    /// Kinds that show the same objects, where there are several.
    siblings: HashMap<GroupResource, Vec<Arc<Kind>>>,
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
        let mut siblings: HashMap<_, Vec<_>> = HashMap::new();
        for kind in catalogue.kinds() {
            siblings.entry(kind.def.storage.clone()).or_default().push(Arc::clone(kind));
        }
        siblings.retain(|_, kinds| kinds.len() > 1);
        catalogue.siblings = siblings;
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
    /// All kinds that show the same objects as this one, itself included; none when there is no other.
    pub fn siblings(&self, kind: &KindDef) -> &[Arc<Kind>] {
        self.siblings.get(&kind.storage).map_or(&[], Vec::as_slice)
    }
    /// As what objects of a kind are stored; `None`: they are not.
    pub fn stored_as(&self, kind: &KindDef) -> Option<Gvk> {
        if kind.behaviour == Behaviour::Virtual {
            return None;
        }
        let converts = kind.convert.is_some();
        let storing = self.siblings(kind).iter().find(|sibling| converts && sibling.def.convert.is_none());
        let mut gvk = storing.map_or(kind, |sibling| &sibling.def).gvk.clone();
        if let Some(versions) = &kind.versions {
            gvk.version = versions.stored.clone();
        }
        Some(gvk)
    }
    /// Checks that an object, where it names a kind, is of the kind `wanted`.
    ///
    /// # Errors
    /// 400 in upstream's words: another kind, one of another version, or none that is known.
    pub(crate) fn is_of_kind(&self, object: &Value, wanted: &Gvk) -> ApiResult<()> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let expected = wanted.api_version();
        let (api_version, kind) =
            (text("apiVersion").unwrap_or(&expected), text("kind").unwrap_or(&wanted.kind));
        if api_version == expected && kind == wanted.kind {
            return Ok(());
        }
        let (group, version) = gvk::split_api_version(api_version).unwrap_or(("", api_version));
        let refused = |why: &str| {
            ApiError::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {}: {why}",
                wanted.kind
            ))
        };
        if self.by_kind(group, version, kind).is_none() {
            return Err(refused(&format!(
                "no kind {kind:?} is registered for version {api_version:?} in scheme \"proa\""
            )));
        }
        if api_version != expected {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({expected})"
            )));
        }
        let internal = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() };
        Err(refused(&format!(
            "converting ({version}.{kind}) to ({internal}.{}): unknown conversion",
            wanted.kind
        )))
    }
    /// All kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.groups.iter().flat_map(|g| &g.versions).flat_map(|v| v.kinds.values())
    }
}

/// Preferred first: general availability before beta before alpha, then the higher number; other names last, by
/// name. Upstream: apimachinery `pkg/version/helpers.go`.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
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
    fn a_body_of_an_unknown_kind_is_refused_in_upstreams_words() {
        let wanted = Gvk::new("apps", "v1", "Deployment");
        let check = |body: serde_json::Value| Catalogue::default().is_of_kind(&body, &wanted);
        assert!(
            check(serde_json::json!({"metadata": {}})).is_ok(),
            "what is left out is as the request says"
        );
        assert!(check(serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment"})).is_ok());
        let refused = check(serde_json::json!({"apiVersion": "apps/v2"})).unwrap_err();
        assert_eq!(
            refused.message(),
            "Deployment in version \"v2\" cannot be handled as a Deployment: no kind \"Deployment\" is registered for \
             version \"apps/v2\" in scheme \"proa\""
        );
    }

    #[test]
    fn versions_are_ordered_as_upstream() {
        let mut versions = ["v1beta1", "foo", "v10", "v2", "v1alpha1", "v1", "v2beta2", "bar1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta2", "v1beta1", "v1alpha1", "bar1", "foo"]);
    }
}
