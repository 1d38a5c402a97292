//! The ledger: quotas, and the objects of their namespaces as far as they cost anything.
//!
//! Invariants: a book is counted only once it is complete. When a quota's `used` grows by another's hand (admission),
//! it is remembered as a charge until the book of the kind it concerns has seen that revision: charge and object are
//! stored under one revision, so the book has the object then. Until that, nothing of the kind is given back. Where
//! charges come before their objects (upstream's API server) the wait ends after `PATIENCE`.

pub mod view;
pub mod watches;

pub use view::QuotaView;

use proa_kit::{Change, Key, Timestamp, View, queue::Queue};
use proa_meta::GroupResource;
use proa_quota::{Item, names};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// How long a charge waits for its object.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A kind in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    /// The namespace.
    pub namespace: Box<str>,
    /// The kind.
    pub resource: GroupResource,
}

/// What was charged by others and is not yet seen in the books.
#[derive(Debug)]
pub(crate) struct Charge {
    /// The quota's version that has it.
    pub(crate) revision: u64,
    /// The kinds whose resources grew.
    pub(crate) resources: BTreeSet<GroupResource>,
    /// When it was first waited for.
    pub(crate) since: Option<Timestamp>,
}

/// A quota.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) quota: Arc<QuotaView>,
    pub(crate) charges: Vec<Charge>,
    /// Versions that this operator wrote and that have not come back yet.
    own: BTreeSet<u64>,
}

/// The objects of a kind in a namespace.
#[derive(Debug, Default)]
pub(crate) struct Book {
    items: HashMap<Box<str>, Item>,
    /// The highest version seen of any object, also of those that are gone.
    pub(crate) seen: u64,
    pub(crate) state: State,
}

/// Whether a book can be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Not yet.
    #[default]
    Filling,
    /// It holds everything.
    Complete,
    /// There is no such kind.
    Unserved,
}

impl Book {
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }
}

/// The index.
#[derive(Debug, Default)]
pub struct Ledger {
    /// In order, so that those of a namespace stand together.
    pub(crate) accounts: BTreeMap<Key, Account>,
    pub(crate) books: HashMap<Need, Book>,
}

/// The kinds that a quota has to count.
pub(crate) fn needs(quota: &QuotaView) -> impl Iterator<Item = Need> {
    let namespace = &quota.metadata.namespace;
    let resources = quota.spec.hard.keys().filter_map(|name| names::tracked_by(name));
    resources.map(move |resource| Need { namespace: namespace.clone(), resource })
}

impl Ledger {
    /// A quota came, changed or went. Whether other kinds have to be watched now.
    pub fn quota(&mut self, change: &Change<QuotaView>, wake: &Queue<Key>) -> bool {
        let Some(latest) = change.latest() else { return false };
        let key = latest.key();
        let Some(new) = &change.new else {
            self.accounts.remove(&key);
            return true;
        };
        wake.mark(key.clone());
        let Some(account) = self.accounts.get_mut(&key) else {
            let account = Account { quota: new.clone(), charges: Vec::new(), own: BTreeSet::new() };
            self.accounts.insert(key, account);
            return true;
        };
        let old = std::mem::replace(&mut account.quota, new.clone());
        let revision = new.metadata.resource_version;
        let is_own = account.own.contains(&revision);
        account.own.retain(|own| *own > revision);
        if old.metadata.uid != new.metadata.uid {
            account.charges.clear();
        } else if !is_own {
            account.charges.extend(charge(&old, new));
        }
        old.spec.hard.keys().ne(new.spec.hard.keys())
    }

    /// The operator itself made this version of a quota.
    pub fn wrote(&mut self, quota: &Key, revision: u64) {
        let Some(account) = self.accounts.get_mut(quota) else { return };
        account.charges.retain(|charge| charge.revision != revision);
        if account.quota.metadata.resource_version < revision {
            account.own.insert(revision);
        }
    }

    /// What has to be watched.
    pub fn needs(&self) -> BTreeSet<Need> {
        self.accounts.values().flat_map(|account| needs(&account.quota)).collect()
    }

    /// An object came or changed (`item`), or went.
    pub fn object(&mut self, need: &Need, name: &str, revision: u64, item: Option<Item>, wake: &Queue<Key>) {
        let book = self.books.entry(need.clone()).or_default();
        book.seen = book.seen.max(revision);
        let is_other = book.items.get(name) != item.as_ref();
        match item {
            Some(item) => book.items.insert(name.into(), item),
            None => book.items.remove(name),
        };
        if is_other && book.state == State::Complete {
            self.mark(need, wake);
        }
    }

    /// A book holds everything now, or there is no such kind.
    pub fn complete(&mut self, need: &Need, served: bool, wake: &Queue<Key>) {
        let state = if served { State::Complete } else { State::Unserved };
        self.books.entry(need.clone()).or_default().state = state;
        self.mark(need, wake);
    }

    /// A kind is no longer watched.
    pub fn forget(&mut self, need: &Need) {
        self.books.remove(need);
    }

    fn mark(&self, need: &Need, wake: &Queue<Key>) {
        let from = self.accounts.range(Key::new(&need.namespace, "")..);
        for (key, account) in from.take_while(|(key, _)| *key.namespace() == *need.namespace) {
            if needs(&account.quota).any(|own| own == *need) {
                wake.mark(key.clone());
            }
        }
    }
}

/// What grew between two versions of a quota.
fn charge(old: &QuotaView, new: &QuotaView) -> Option<Charge> {
    let grew = new
        .status
        .used
        .iter()
        .filter(|(name, quantity)| old.status.used.get(*name).is_none_or(|before| **quantity > *before));
    let resources: BTreeSet<_> = grew.filter_map(|(name, _)| names::tracked_by(name)).collect();
    let revision = new.metadata.resource_version;
    (!resources.is_empty()).then_some(Charge { revision, resources, since: None })
}
