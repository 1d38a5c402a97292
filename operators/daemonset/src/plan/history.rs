//! Revisions of a daemon set's template, kept as ControllerRevisions for `kubectl rollout history` and `undo`.

use crate::{build::HASH, observe::Observed};
use proa_kit::{
    Action, ObjectRef, Typed, View,
    owner::{self, Claim, claim},
    revision::{NewRevision, remembers},
    views::{ControllerRevisionView, DaemonSetView, PodView},
};
use serde_json::json;
use std::{collections::HashSet, sync::Arc};

/// Revisions to keep when the daemon set does not say.
const LIMIT: i32 = 10;

/// The history, and the writes that bring it up to date.
#[derive(Debug, Default)]
pub struct History<'a> {
    /// Hash of the current revision.
    pub hash: String,
    /// Writes, before pods of this revision are created.
    pub writes: Vec<Action>,
    /// Revisions of other templates.
    pub old: Vec<&'a ControllerRevisionView>,
}

/// The name of the current revision belongs to another template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collision;

/// Finds or plans the current revision.
pub fn history<'a>(
    set: &DaemonSetView,
    observed: &'a Observed,
    pods: &[&PodView],
) -> Result<History<'a>, Collision> {
    let owner = set.reference();
    let mut history = History::default();
    let mut current = Vec::new();
    for revision in &observed.revisions {
        match claim(&set.metadata, &set.spec.selector, &revision.metadata) {
            Claim::Owned => {}
            Claim::Adopt if observed.may_adopt => {
                history.writes.push(owner::adopt(&owner, &revision.reference()));
            }
            Claim::Release => {
                history.writes.push(owner::release(&owner, &revision.reference(), &[]));
                continue;
            }
            Claim::Adopt | Claim::Foreign => continue,
        }
        if remembers(revision, &set.spec.template) {
            current.push(&**revision);
        } else {
            history.old.push(revision);
        }
    }
    let number = history.old.iter().map(|revision| revision.revision).max().unwrap_or(0) + 1;
    match current.iter().max_by_key(|revision| revision.revision) {
        Some(kept) => history.keep(kept, &current, number, pods),
        None => history.create(set, &owner, number, observed)?,
    }
    Ok(history)
}

impl History<'_> {
    fn keep(
        &mut self,
        kept: &ControllerRevisionView,
        current: &[&ControllerRevisionView],
        number: i64,
        pods: &[&PodView],
    ) {
        self.hash = hash_of(kept).to_owned();
        let target = kept.reference().at(kept.metadata.resource_version);
        let mut patch = json!({});
        if kept.revision < number {
            patch["revision"] = json!(number);
        }
        if kept.metadata.labels.get(HASH).is_none() {
            patch["metadata"]["labels"][HASH] = json!(self.hash);
        }
        if patch != json!({}) {
            self.writes.push(Action::merge(target, patch));
        }
        if current.len() > 1 {
            self.merge_twins(kept, current, pods);
        }
    }
    /// Several revisions of one template: pods move to the one that is kept, the others go.
    fn merge_twins(
        &mut self,
        kept: &ControllerRevisionView,
        current: &[&ControllerRevisionView],
        pods: &[&PodView],
    ) {
        for pod in pods.iter().filter(|pod| pod.metadata.labels.get(HASH) != Some(&self.hash)) {
            let patch = json!({"metadata": {"labels": {HASH: self.hash}}});
            self.writes.push(Action::merge(pod.reference(), patch));
        }
        let twins = current.iter().filter(|twin| twin.metadata.name != kept.metadata.name);
        self.writes.extend(twins.map(|twin| Action::delete(twin.reference())));
    }
    fn create(
        &mut self,
        set: &DaemonSetView,
        owner: &ObjectRef,
        number: i64,
        observed: &Observed,
    ) -> Result<(), Collision> {
        if observed.name_taken {
            return Err(Collision);
        }
        self.hash = set.spec.template.hash(set.status.collision_count);
        let revision = NewRevision {
            owner,
            meta: &set.metadata,
            template: &set.spec.template,
            name: &revision_name(set),
            label: HASH,
            hash: &self.hash,
            number,
        };
        self.writes.push(revision.create());
        Ok(())
    }
    /// Deletes the oldest revisions beyond the limit that no pod is of.
    pub fn forget(&self, set: &DaemonSetView, pods: &[&PodView]) -> Vec<Action> {
        let limit = usize::try_from(set.spec.revision_history_limit.unwrap_or(LIMIT)).unwrap_or(0);
        let live: HashSet<&str> = pods.iter().filter_map(|pod| pod.metadata.labels.get(HASH)).collect();
        let mut old = self.old.clone();
        old.sort_by_key(|revision| revision.revision);
        let surplus = old.len().saturating_sub(limit);
        let unused = old.into_iter().filter(|revision| !live.contains(hash_of(revision)));
        unused.take(surplus).map(|revision| Action::delete(revision.reference())).collect()
    }
}

fn hash_of(revision: &ControllerRevisionView) -> &str {
    revision.metadata.labels.get(HASH).unwrap_or(&revision.metadata.name)
}

/// Name of the current template's revision.
pub fn revision_name(set: &DaemonSetView) -> String {
    format!("{}-{}", set.metadata.name, set.spec.template.hash(set.status.collision_count))
}

/// Keys of revisions of interest, for `observe`.
pub fn key(set: &DaemonSetView) -> proa_kit::Key {
    proa_kit::Key::new(&set.metadata.namespace, &revision_name(set))
}

/// Whether an existing revision of the right name is not this template's.
pub fn is_taken(set: &DaemonSetView, revision: Option<Arc<ControllerRevisionView>>) -> bool {
    revision.is_some_and(|revision| {
        debug_assert_eq!(revision.key(), key(set), "asked for by name");
        !revision.metadata.is_controlled_by(&set.metadata.uid) || !remembers(&revision, &set.spec.template)
    })
}
