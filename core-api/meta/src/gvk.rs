//! Names of kinds and resources: group, version, kind or plural resource.
//!
//! The empty group is the core (legacy) group. Upstream: apimachinery `pkg/runtime/schema/group_version.go`.

use std::{borrow::Cow, fmt};

/// Text that is a constant for built-in kinds and owned for custom ones.
pub type Name = Cow<'static, str>;

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: Name,
    /// API version, such as `v1`.
    pub version: Name,
    /// Kind, such as `Deployment`.
    pub kind: Name,
}

/// Group, version and plural resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvr {
    /// API group; empty for the core group.
    pub group: Name,
    /// API version, such as `v1`.
    pub version: Name,
    /// Plural lower-case resource, such as `deployments`.
    pub resource: Name,
}

/// Group and plural resource, without a version: what is stored once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// API group; empty for the core group.
    pub group: Name,
    /// Plural lower-case resource.
    pub resource: Name,
}

/// Group and kind, without a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// API group; empty for the core group.
    pub group: Name,
    /// Kind.
    pub kind: Name,
}

/// `group/version`, or only `version` for the core group, as `apiVersion` has it.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Splits an `apiVersion` into group and version; `None` when it has more than one slash or no version.
pub fn split_api_version(api_version: &str) -> Option<(&str, &str)> {
    match api_version.split_once('/') {
        None if api_version.is_empty() => None,
        None => Some(("", api_version)),
        Some((group, version)) if !group.is_empty() && !version.is_empty() && !version.contains('/') => {
            Some((group, version))
        }
        Some(_) => None,
    }
}

impl Gvk {
    /// A constant name.
    pub const fn new(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), version: Cow::Borrowed(version), kind: Cow::Borrowed(kind) }
    }
    /// The object's `apiVersion`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }
    /// Without the version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }
}

impl Gvr {
    /// A constant name.
    pub const fn new(group: &'static str, version: &'static str, resource: &'static str) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            resource: Cow::Borrowed(resource),
        }
    }
    /// The `apiVersion` of this resource's objects.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }
    /// Without the version.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.resource.clone() }
    }
}

impl GroupResource {
    /// A constant name.
    pub const fn new(group: &'static str, resource: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), resource: Cow::Borrowed(resource) }
    }
}

impl GroupKind {
    /// A constant name.
    pub const fn new(group: &'static str, kind: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), kind: Cow::Borrowed(kind) }
    }
}

/// `resource.group`, or `resource` in the core group: the form error messages use.
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_qualified(f, &self.resource, &self.group)
    }
}

/// `Kind.group`, or `Kind` in the core group.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_qualified(f, &self.kind, &self.group)
    }
}

fn write_qualified(f: &mut fmt::Formatter<'_>, name: &str, group: &str) -> fmt::Result {
    if group.is_empty() { f.write_str(name) } else { write!(f, "{name}.{group}") }
}

/// `group/version, Kind=kind`: the form upstream's messages use.
impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Kind={}", self.api_version(), self.kind)
    }
}

/// `group/version, Resource=resource`.
impl fmt::Display for Gvr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Resource={}", self.api_version(), self.resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_version_round_trips() {
        for (text, want) in [
            ("v1", Some(("", "v1"))),
            ("apps/v1", Some(("apps", "v1"))),
            ("", None),
            ("a/b/c", None),
            ("/v1", None),
            ("apps/", None),
        ] {
            assert_eq!(split_api_version(text), want, "{text}");
        }
        assert_eq!(api_version("apps", "v1"), "apps/v1");
        assert_eq!(Gvk::new("", "v1", "Pod").to_string(), "v1, Kind=Pod");
    }
}
