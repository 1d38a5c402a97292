//! Permissions from declarations (K6): what an operator watches, reads and writes, as data and as RBAC rules.
//!
//! Upstream for comparison: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go.

use crate::{kind::Kind, watch::Watched};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A declared write: verbs on a resource or subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// API group; `*` for any.
    pub group: Box<str>,
    /// Resource, with `/subresource` where it is one; `*` for any, `*/subresource` for that one of any.
    pub resource: Box<str>,
    /// API verbs: create, update, patch, delete.
    pub verbs: &'static [&'static str],
    /// Names of the objects; empty for any. Creating cannot be limited: RBAC decides before the object has a name.
    pub names: &'static [&'static str],
}

/// A declared read of single objects or lists beside the watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// API group; `*` for any.
    pub group: Box<str>,
    /// Resource; `*` for any.
    pub resource: Box<str>,
}

impl Write {
    /// Verbs on a kind.
    pub fn to(kind: &Kind, verbs: &'static [&'static str]) -> Self {
        Self { group: (*kind.group).into(), resource: (*kind.plural).into(), verbs, names: &[] }
    }
    /// Verbs on a subresource of a kind.
    pub fn sub(kind: &Kind, subresource: &str, verbs: &'static [&'static str]) -> Self {
        let resource = format!("{}/{subresource}", kind.plural).into();
        Self { group: (*kind.group).into(), resource, verbs, names: &[] }
    }
    /// Verbs on everything: garbage collection, namespace deletion.
    pub fn any(verbs: &'static [&'static str]) -> Self {
        Self { group: "*".into(), resource: "*".into(), verbs, names: &[] }
    }
    /// Only objects of these names, in whatever namespace.
    #[must_use]
    pub fn named(self, names: &'static [&'static str]) -> Self {
        Self { names, ..self }
    }
}

impl Read {
    /// A kind.
    pub fn of(kind: &Kind) -> Self {
        Self { group: (*kind.group).into(), resource: (*kind.plural).into() }
    }
    /// Everything.
    pub fn any() -> Self {
        Self { group: "*".into(), resource: "*".into() }
    }
}

const CREATE: &str = "create";

/// The declared writes, ready to be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed(Vec<Write>);

impl Allowed {
    pub(crate) fn new(writes: Vec<Write>) -> Self {
        Self(writes)
    }
    /// Whether a write was declared. Events always are: the kit records them.
    pub(crate) fn permits(&self, verb: &str, kind: &Kind, subresource: &str, name: &str) -> bool {
        self.0.iter().any(|write| {
            write.verbs.contains(&verb)
                && (write.names.is_empty() || verb == CREATE || write.names.contains(&name))
                && (&*write.group == "*" || *write.group == *kind.group)
                && (&*write.resource == "*" || is_resource(&write.resource, &kind.plural, subresource))
        })
    }
}

fn is_resource(declared: &str, plural: &str, subresource: &str) -> bool {
    match declared.split_once('/') {
        None => subresource.is_empty() && declared == plural,
        Some((own, sub)) => (own == "*" || own == plural) && sub == subresource,
    }
}

/// Group, resource and names.
type Subject = (Box<str>, Box<str>, &'static [&'static str]);

/// `rules` of a ClusterRole for an operator: its watches, reads and writes, events, and leases for election.
pub fn rbac_rules<'a>(
    watches: impl IntoIterator<Item = &'a Watched>,
    reads: &[Read],
    writes: &[Write],
) -> Value {
    let mut verbs: BTreeMap<Subject, BTreeSet<&'static str>> = BTreeMap::new();
    let mut add_named =
        |group: &str, resource: &str, more: &[&'static str], names: &'static [&'static str]| {
            for verb in more {
                let names = if *verb == CREATE { &[] } else { names };
                verbs.entry((group.into(), resource.into(), names)).or_default().insert(verb);
            }
        };
    for write in writes {
        add_named(&write.group, &write.resource, write.verbs, write.names);
    }
    let mut add = |group: &str, resource: &str, more: &[&'static str]| add_named(group, resource, more, &[]);
    for watched in watches {
        add(&watched.kind.group, &watched.kind.plural, &["get", "list", "watch"]);
    }
    for read in reads {
        add(&read.group, &read.resource, &["get", "list"]);
    }
    add("events.k8s.io", "events", &["create", "patch"]);
    add("coordination.k8s.io", "leases", &["create", "get", "list", "update", "watch"]);
    let rules = verbs.into_iter().map(|((group, resource, names), verbs)| {
        let mut rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        if !names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        rule
    });
    Value::Array(rules.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::Filter, views::pod};

    const PODS: Kind = <pod::PodView as crate::views::Typed>::KIND;

    #[test]
    fn k6_only_declared_verbs_and_subresources_are_permitted() {
        let allowed =
            Allowed::new(vec![Write::to(&PODS, &["create"]), Write::sub(&PODS, "status", &["patch"])]);
        assert!(allowed.permits("create", &PODS, "", ""));
        assert!(!allowed.permits("delete", &PODS, "", "a"));
        assert!(allowed.permits("patch", &PODS, "status", "a") && !allowed.permits("patch", &PODS, "", "a"));
        assert!(Allowed::new(vec![Write::any(&["delete"])]).permits("delete", &PODS, "", "a"));
        let scales = Write { resource: "*/scale".into(), ..Write::any(&["patch"]) };
        let scales = Allowed::new(vec![scales]);
        assert!(scales.permits("patch", &PODS, "scale", "a") && !scales.permits("patch", &PODS, "", "a"));
    }

    #[test]
    fn k6_names_limit_all_verbs_but_create() {
        let write = Write::to(&PODS, &["create", "patch"]).named(&["a"]);
        let rules = rbac_rules([], &[], std::slice::from_ref(&write));
        let pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]});
        let named =
            json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"], "resourceNames": ["a"]});
        assert_eq!([&rules[0], &rules[1]], [&pods, &named]);
        let allowed = Allowed::new(vec![write]);
        assert!(allowed.permits("create", &PODS, "", ""));
        assert!(allowed.permits("patch", &PODS, "", "a") && !allowed.permits("patch", &PODS, "", "b"));
    }

    #[test]
    fn k6_rules_are_the_union_of_what_is_declared() {
        let watched = Watched { kind: PODS, filter: Filter::default() };
        let rules = rbac_rules([&watched], &[], &[Write::to(&PODS, &["create", "delete"])]);
        assert_eq!(
            rules[0],
            json!({"apiGroups": [""], "resources": ["pods"],
                "verbs": ["create", "delete", "get", "list", "watch"]})
        );
        assert_eq!(rules.as_array().unwrap().len(), 3);
    }
}
