//! Groups as discovery shows them: this server's own and those of others as one list, by priority.
//!
//! Pure. Upstream: kube-aggregator `pkg/apis/apiregistration/helpers.go`, apiserver
//! `pkg/endpoints/discovery/aggregated/handler.go`.

use crate::aggregation::{Outline, Remote};
use proa_registry::registry::{Catalogue, Version, compare_versions};
use std::cmp::Reverse;

/// A group.
pub(crate) struct Group<'a> {
    pub(crate) name: &'a str,
    /// Preferred first.
    pub(crate) versions: Vec<Served<'a>>,
}

/// A version, and who answers for it.
#[derive(Clone, Copy)]
pub(crate) enum Served<'a> {
    Here(&'a Version),
    Elsewhere(&'a Remote),
}

impl<'a> Served<'a> {
    pub(crate) fn name(&self) -> &'a str {
        match self {
            Self::Here(version) => &version.name,
            Self::Elsewhere(remote) => &remote.version,
        }
    }
}

/// All groups. What another server answers for is not shown as this one's.
pub(crate) fn groups<'a>(catalogue: &'a Catalogue, outline: Option<&'a Outline>) -> Vec<Group<'a>> {
    let own = catalogue.groups().iter().map(|group| Group {
        name: &group.name,
        versions: group.versions.iter().map(Served::Here).collect(),
    });
    let mut groups: Vec<Group<'a>> = own.collect();
    if let Some(outline) = outline {
        for remote in &outline.remotes {
            add(&mut groups, remote);
        }
        sort(&mut groups, outline);
    }
    groups
}

/// One group.
pub(crate) fn group<'a>(
    catalogue: &'a Catalogue,
    outline: Option<&'a Outline>,
    name: &str,
) -> Option<Group<'a>> {
    groups(catalogue, outline).into_iter().find(|group| group.name == name)
}

fn add<'a>(groups: &mut Vec<Group<'a>>, remote: &'a Remote) {
    let Some(group) = groups.iter_mut().find(|group| group.name == remote.group) else {
        groups.push(Group { name: &remote.group, versions: vec![Served::Elsewhere(remote)] });
        return;
    };
    group.versions.retain(|version| version.name() != remote.version);
    group.versions.push(Served::Elsewhere(remote));
}

fn sort(groups: &mut [Group<'_>], outline: &Outline) {
    for group in groups.iter_mut() {
        group.versions.sort_by(|a, b| {
            let priority = |version: &Served<'_>| outline.priority(group.name, version.name()).version;
            priority(b).cmp(&priority(a)).then_with(|| compare_versions(a.name(), b.name()))
        });
    }
    groups.sort_by_cached_key(|group| {
        let versions = group.versions.iter();
        let priority = versions.map(|version| outline.priority(group.name, version.name()).group).max();
        // The core group has documents of its own.
        (!group.name.is_empty(), Reverse(priority), group.name.to_owned())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregation::Priority;

    #[test]
    fn groups_of_others_stand_where_their_priority_puts_them() {
        let catalogue = Catalogue::default();
        let remote = |group: &str, version: &str| Remote {
            group: group.to_owned(),
            version: version.to_owned(),
            ..Remote::default()
        };
        let priority = |group, version| Priority { group, version };
        let outline = Outline {
            remotes: vec![
                remote("b.io", "v1alpha1"),
                remote("a.io", "v1"),
                remote("b.io", "v1"),
                remote("c.io", "v1"),
                remote("b.io", "v2alpha1"),
            ],
            priorities: [
                ("v1.c.io".to_owned(), priority(2000, 1)),
                ("v2alpha1.b.io".to_owned(), priority(1, 200)),
            ]
            .into(),
            usual: Some(priority(1000, 100)),
            ..Outline::default()
        };
        let shown: Vec<String> = groups(&catalogue, Some(&outline))
            .iter()
            .map(|group| {
                let versions: Vec<_> = group.versions.iter().map(Served::name).collect();
                format!("{} {}", group.name, versions.join(","))
            })
            .collect();
        assert_eq!(shown, ["c.io v1", "a.io v1", "b.io v2alpha1,v1,v1alpha1"]);
    }
}
