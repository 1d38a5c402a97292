//! Revisions of a stateful set's template: the one that pods had, the one that they get, and older ones.

use crate::{build::REVISION, observe::Observed};
use proa_kit::{
    Action, Typed, View,
    owner::{self, Claim, claim},
    revision::{NewRevision, remembers, template},
    template::Template,
    views::{ControllerRevisionView, PodView, StatefulSetView},
};
use serde_json::json;
use std::{collections::HashSet, sync::Arc};

/// Revisions to keep when the set does not say.
const LIMIT: i32 = 10;
/// Label of a revision's hash.
const HASH: &str = "controller.kubernetes.io/hash";

/// The history, and the writes that bring it up to date.
#[derive(Debug)]
pub struct History<'a> {
    /// What pods had before the update; the same as `update` when there is none.
    pub current: Revision,
    /// What pods get.
    pub update: Revision,
    /// Writes, before pods are created.
    pub writes: Vec<Action>,
    known: Vec<&'a ControllerRevisionView>,
}

/// One revision.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Name, which pods carry as a label.
    pub name: Box<str>,
    /// Template.
    pub template: Template,
}

/// The name of the update's revision belongs to another template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collision;

/// Finds or plans both revisions.
///
/// # Errors
/// The name of a new revision is taken.
pub fn history<'a>(set: &StatefulSetView, observed: &'a Observed) -> Result<History<'a>, Collision> {
    let owner = set.reference();
    let (mut writes, mut known) = (Vec::new(), Vec::new());
    for revision in &observed.revisions {
        match claim(&set.metadata, &set.spec.selector, &revision.metadata) {
            Claim::Owned => known.push(&**revision),
            Claim::Adopt if observed.may_adopt => {
                writes.push(owner::adopt(&owner, &revision.reference()));
                known.push(&**revision);
            }
            Claim::Adopt | Claim::Release | Claim::Foreign => {}
        }
    }
    known.sort_by_key(|revision| {
        (revision.revision, revision.metadata.creation_timestamp, revision.metadata.name.clone())
    });
    let wanted = &set.spec.template;
    let number = known.last().map_or(1, |last| last.revision.saturating_add(1));
    let name = match known.iter().rposition(|revision| remembers(revision, wanted)) {
        Some(at) => {
            let kept = known[at];
            if at + 1 < known.len() {
                let target = kept.reference().at(kept.metadata.resource_version);
                writes.push(Action::merge(target, json!({"revision": number})));
            }
            kept.metadata.name.clone()
        }
        None if observed.name_taken => return Err(Collision),
        None => {
            let (name, hash) = (name(set), hash(set));
            let meta = &set.metadata;
            let new = NewRevision {
                owner: &owner,
                meta,
                template: wanted,
                name: &name,
                label: HASH,
                hash: &hash,
                number,
            };
            writes.push(new.create());
            name.into()
        }
    };
    let update = Revision { name, template: wanted.clone() };
    let current = known.iter().find(|revision| revision.metadata.name == set.status.current_revision);
    let current = current.and_then(|revision| {
        Some(Revision { name: revision.metadata.name.clone(), template: template(revision)? })
    });
    Ok(History { current: current.unwrap_or_else(|| update.clone()), update, writes, known })
}

impl History<'_> {
    /// Deletes the oldest revisions beyond the limit that no pod is of.
    pub fn forget(&self, set: &StatefulSetView, pods: &[&PodView]) -> Vec<Action> {
        let Ok(limit) = usize::try_from(set.spec.revision_history_limit.unwrap_or(LIMIT)) else {
            return Vec::new();
        };
        let mut live: HashSet<&str> =
            pods.iter().filter_map(|pod| pod.metadata.labels.get(REVISION)).collect();
        live.extend([&*self.current.name, &*self.update.name]);
        let old: Vec<_> = self.known.iter().filter(|known| !live.contains(&*known.metadata.name)).collect();
        let surplus = old.len().saturating_sub(limit);
        old.into_iter().take(surplus).map(|revision| Action::delete(revision.reference())).collect()
    }
}

/// Collisions count from zero, so that the first hash is the same before and after there is a status.
fn hash(set: &StatefulSetView) -> String {
    set.spec.template.hash(Some(set.status.collision_count.unwrap_or(0)))
}

fn name(set: &StatefulSetView) -> String {
    format!("{}-{}", set.metadata.name, hash(set))
}

/// Key of the revision that the template would get, for `observe`.
pub fn key(set: &StatefulSetView) -> proa_kit::Key {
    proa_kit::Key::new(&set.metadata.namespace, &name(set))
}

/// Whether an existing revision of the right name is not this set's template.
pub fn is_taken(set: &StatefulSetView, revision: Option<Arc<ControllerRevisionView>>) -> bool {
    revision.is_some_and(|revision| {
        debug_assert_eq!(revision.key(), key(set), "asked for by name");
        !revision.metadata.is_controlled_by(&set.metadata.uid) || !remembers(&revision, &set.spec.template)
    })
}
