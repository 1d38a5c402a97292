//! The graph: objects by uid, and who depends on whom.
//!
//! Invariants: `dependents` holds, for every uid that some object names as owner, the objects that do, whether the owner
//! exists or not. Nothing is decided before every kind has been listed once. A change marks what it may concern: the
//! object if an owner is missing or going, its dependents when it goes, its owners when they wait for it.
//! Upstream: pkg/controller/garbagecollector/graph_builder.go.

pub mod absent;
pub mod kinds;

use absent::Answers;
use proa_kit::{
    Change, Kind, Meta, ObjectRef, View,
    queue::Queue,
    views::{Owner, Pairs},
};
use serde::{Deserialize, Deserializer};
use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

/// Finalizer of an owner that waits for its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner whose dependents shall stay.
pub const ORPHAN: &str = "orphan";

/// A uid as a number.
pub type Uid = u128;
/// Number of a kind.
pub type KindId = usize;

/// A uid's number: its digits if it has those of a UUID, else a hash.
pub fn uid(text: &str) -> Uid {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() == 32
        && let Ok(number) = Uid::from_str_radix(&digits, 16)
    {
        return number;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Uid::from(hasher.finish())
}

/// Metadata of an object without what the graph does not need.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Bare {
    /// Its metadata, without labels.
    #[serde(default, deserialize_with = "bare")]
    pub metadata: Meta,
}

fn bare<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    let mut meta = Meta::deserialize(deserializer)?;
    meta.labels = Pairs::default();
    Ok(meta)
}

impl View for Bare {
    const METADATA_ONLY: bool = true;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// An object.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its metadata.
    pub object: Arc<Bare>,
    /// Its kind.
    pub kind: KindId,
}

impl Node {
    fn meta(&self) -> &Meta {
        &self.object.metadata
    }
    /// Whether it waits for its dependents.
    pub fn is_waiting(&self) -> bool {
        is_waiting(self.meta())
    }
    /// Whether it keeps the owner from going.
    pub fn blocks(&self, owner: &str) -> bool {
        self.meta().owners.iter().any(|own| &*own.uid == owner && own.block_owner_deletion)
    }
}

/// Whether an object is going and waits for its dependents.
pub(crate) fn is_waiting(meta: &Meta) -> bool {
    meta.is_deleting() && meta.has_finalizer(FOREGROUND)
}

/// The graph.
#[derive(Debug, Default)]
pub struct Graph {
    kinds: Vec<Kind>,
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, HashSet<Uid>>,
    /// Marked before every kind was listed.
    early: Option<HashSet<Uid>>,
    is_complete: bool,
    /// What the API server said about owners that are not in the graph.
    pub(crate) answers: Answers,
}

impl Graph {
    /// An object.
    pub fn get(&self, uid: Uid) -> Option<&Node> {
        self.nodes.get(&uid)
    }
    /// Objects that name it as owner.
    pub fn dependents(&self, owner: Uid) -> impl Iterator<Item = &Node> {
        self.dependents.get(&owner).into_iter().flatten().filter_map(|uid| self.nodes.get(uid))
    }
    /// A reference to an object.
    pub fn reference(&self, node: &Node) -> Option<ObjectRef> {
        Some(node.object.reference_as(self.kinds.get(node.kind)?.clone()))
    }
    /// The kind that an owner reference names.
    pub fn kind_of(&self, owner: &Owner) -> Option<&Kind> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        self.kinds.iter().rev().find(|kind| *kind.kind == *owner.kind && *kind.group == *group)
    }
    /// The number of a kind, new if need be.
    pub fn kind(&mut self, kind: &Kind) -> KindId {
        self.kinds.iter().position(|own| own == kind).unwrap_or_else(|| {
            self.kinds.push(kind.clone());
            self.kinds.len() - 1
        })
    }
    /// Whether the owner that a reference names is in the graph under that name, as seen from a namespace.
    pub fn owner(&self, owner: &Owner, namespace: &str) -> Option<&Node> {
        let node = self.get(uid(&owner.uid))?;
        let kind = self.kinds.get(node.kind)?;
        let same = owner.is(&kind.group, &kind.kind) && owner.name == node.meta().name;
        (same && (!kind.namespaced || &*node.meta().namespace == namespace)).then_some(node)
    }
    /// Takes in a change of an object of a kind.
    pub fn take_in(&mut self, kind: KindId, change: &Change<Bare>, wake: &Queue<Uid>) {
        // A name that was taken again shows as one change of two objects.
        let replaced = match (&change.old, &change.new) {
            (Some(old), Some(new)) => old.metadata.uid != new.metadata.uid,
            _ => false,
        };
        if let Some(old) = change.old.as_ref().filter(|_| replaced || change.new.is_none()) {
            self.gone(&old.metadata, wake);
        }
        if let Some(new) = &change.new {
            self.here(kind, new, change.old.as_ref().filter(|_| !replaced), wake);
        }
    }
    fn here(&mut self, kind: KindId, new: &Arc<Bare>, old: Option<&Arc<Bare>>, wake: &Queue<Uid>) {
        let id = uid(&new.metadata.uid);
        let was = old.map_or(&[][..], |old| &old.metadata.owners);
        if *was != *new.metadata.owners {
            self.unlink(id, was, wake);
            for owner in &new.metadata.owners {
                self.dependents.entry(uid(&owner.uid)).or_default().insert(id);
            }
        }
        let started = is_finalizing(&new.metadata) && !old.is_some_and(|old| is_finalizing(&old.metadata));
        self.nodes.insert(id, Node { object: new.clone(), kind });
        self.answers.present(id);
        if started || self.must_look(&new.metadata) {
            self.mark(id, wake);
        }
        if started {
            self.mark_dependents(id, wake);
        }
    }
    /// Whether an owner is missing or going.
    fn must_look(&self, meta: &Meta) -> bool {
        meta.owners.iter().any(|owner| self.owner(owner, &meta.namespace).is_none_or(Node::is_waiting))
    }
    fn gone(&mut self, meta: &Meta, wake: &Queue<Uid>) {
        let id = uid(&meta.uid);
        if self.nodes.remove(&id).is_none() {
            return;
        }
        if self.dependents.contains_key(&id) {
            self.answers.absent(id, &meta.namespace);
        }
        self.unlink(id, &meta.owners, wake);
        self.mark_dependents(id, wake);
    }
    /// An object no longer names these owners, which may have waited for that.
    fn unlink(&mut self, id: Uid, owners: &[Owner], wake: &Queue<Uid>) {
        for owner in owners.iter().map(|owner| uid(&owner.uid)) {
            if let Some(dependents) = self.dependents.get_mut(&owner) {
                dependents.remove(&id);
                if dependents.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
            if self.get(owner).is_some_and(Node::is_waiting) {
                self.mark(owner, wake);
            }
        }
    }
    fn mark_dependents(&mut self, owner: Uid, wake: &Queue<Uid>) {
        let dependents: Vec<Uid> = self.dependents.get(&owner).into_iter().flatten().copied().collect();
        dependents.into_iter().for_each(|dependent| self.mark(dependent, wake));
    }
    fn mark(&mut self, id: Uid, wake: &Queue<Uid>) {
        if self.is_complete {
            wake.mark(id);
        } else {
            self.early.get_or_insert_default().insert(id);
        }
    }
    /// Every kind has been listed.
    pub fn complete(&mut self, wake: &Queue<Uid>) {
        self.is_complete = true;
        self.early.take().into_iter().flatten().for_each(|id| wake.mark(id));
    }
    /// A kind is no longer served: its objects cannot be seen any more. Their dependents stay.
    pub fn forget(&mut self, kind: KindId) {
        let gone: Vec<(Uid, Node)> = self.nodes.extract_if(|_, node| node.kind == kind).collect();
        for (id, node) in gone {
            for owner in &node.meta().owners {
                if let Some(dependents) = self.dependents.get_mut(&uid(&owner.uid)) {
                    dependents.remove(&id);
                }
            }
        }
    }
    /// Objects with an owner whose kind was unknown: it may be known now.
    pub fn retry_unresolved(&mut self, wake: &Queue<Uid>) {
        self.answers.take_unresolved().into_iter().for_each(|id| wake.mark(id));
    }
    /// Number of objects.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// Whether an object is going and one of the collector's finalizers holds it.
fn is_finalizing(meta: &Meta) -> bool {
    meta.is_deleting() && (meta.has_finalizer(FOREGROUND) || meta.has_finalizer(ORPHAN))
}
