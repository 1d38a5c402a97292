//! The registry: what is served, what is stored of it, and who is asked about writes.
//!
//! Owns the catalogue (swapped whole when a CustomResourceDefinition changes) and one state per stored resource. The
//! store's writer thread publishes to it; nothing else changes what reads see.

pub use crate::catalogue::{Catalogue, Group, Kind, Priority, Version, compare_versions};
use crate::{
    admission::{Mutate, Validate},
    charge::Charge,
    claims::{self, Index, Source},
    entry::{Decoded, Entry},
    kind::KindDef,
    request::Action,
    state::{KindState, load_entry},
    turns::Turns,
    webhook::{CallWebhook, NoWebhooks},
};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use parking_lot::RwLock;
use proa_meta::{ApiError, ApiResult, GroupResource, Gvr};
use proa_schema::SchemaRef;
use proa_store::{Change, Key, Loaded, Published, Revision, Store};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// Settings of a registry.
pub struct Config {
    /// Schema of `metadata`, for custom kinds; built-in schemas refer to it themselves.
    pub object_meta: SchemaRef,
    /// Spaces of unique values: `clusterIP`, `nodePort`.
    pub spaces: BTreeMap<&'static str, Source>,
    /// Where time comes from.
    pub now: fn() -> Timestamp,
}

/// Who takes part in writes; given once.
#[derive(Default)]
pub struct Plugins {
    /// In order.
    pub mutators: Vec<Arc<dyn Mutate>>,
    /// In order.
    pub validators: Vec<Arc<dyn Validate>>,
    /// In order, after all others.
    pub charges: Vec<Arc<dyn Charge>>,
    /// Who calls conversion webhooks; none: nobody.
    pub webhooks: Option<Arc<dyn CallWebhook>>,
    /// By resource and subresource (empty for virtual kinds).
    pub actions: HashMap<(GroupResource, &'static str), Arc<dyn Action>>,
}

/// See the module's text.
pub struct Registry {
    pub(crate) config: Config,
    builtin: Vec<Arc<Kind>>,
    pub(crate) definitions: crate::definitions::Definitions,
    catalogue: ArcSwap<Catalogue>,
    catalogue_tip: watch::Sender<u64>,
    states: RwLock<HashMap<Arc<str>, Arc<KindState>>>,
    pub(crate) claims: Index,
    pub(crate) turns: Turns,
    store: OnceLock<Arc<dyn Store>>,
    plugins: OnceLock<Plugins>,
    published: watch::Sender<Revision>,
    /// Up to which revision readers may have seen objects already: ahead of `published` while these are shown.
    arriving: AtomicU64,
    floor: ArcSwap<Revision>,
}

impl Registry {
    /// A registry of the built-in kinds, not yet open.
    pub fn new(mut config: Config, catalogue: Vec<KindDef>) -> Arc<Self> {
        let states = states_of(&catalogue);
        let kind = |def: KindDef| Kind { state: states[&prefix(&def.storage)].clone(), def };
        let registry = Self {
            builtin: catalogue.into_iter().map(|def| Arc::new(kind(def))).collect(),
            definitions: crate::definitions::Definitions::default(),
            claims: Index::new(std::mem::take(&mut config.spaces), |kind| states[&prefix(kind)].clone()),
            config,
            catalogue: ArcSwap::default(),
            catalogue_tip: watch::Sender::new(0),
            states: RwLock::new(states),
            turns: Turns::default(),
            store: OnceLock::new(),
            plugins: OnceLock::new(),
            published: watch::Sender::new(Revision(0)),
            arriving: AtomicU64::new(0),
            floor: ArcSwap::from_pointee(Revision(0)),
        };
        registry.serve(Vec::new());
        Arc::new(registry)
    }

    /// Uses `store`, which was opened with this registry as its `Published`. A second call is ignored.
    pub fn attach(&self, store: Arc<dyn Store>) {
        let _ = self.store.set(store);
    }

    /// Sets admission and actions. A second call is ignored.
    pub fn install(&self, plugins: Plugins) {
        let _ = self.plugins.set(plugins);
    }

    /// Serves the built-in kinds and `custom` ones.
    pub(crate) fn serve(&self, custom: Vec<Arc<Kind>>) {
        let generation = self.catalogue.load().generation() + 1;
        let kinds = self.builtin.iter().cloned().chain(custom);
        self.catalogue.store(Arc::new(Catalogue::new(kinds, generation)));
        self.catalogue_tip.send_replace(generation);
    }

    /// A kind made at run time, on the state of its storage.
    pub(crate) fn custom_kind(&self, def: KindDef) -> Kind {
        let state = self.state_of(&prefix(&def.storage));
        state.reselect(def.selectable.clone());
        Kind { def, state }
    }

    /// Built-in kinds.
    pub(crate) fn builtin(&self) -> &[Arc<Kind>] {
        &self.builtin
    }

    /// The state of a key prefix, made when first seen: objects of kinds that are not served are kept.
    fn state_of(&self, prefix: &str) -> Arc<KindState> {
        if let Some(state) = self.states.read().get(prefix) {
            return state.clone();
        }
        let prefix: Arc<str> = prefix.into();
        let make = || Arc::new(KindState::new(prefix.clone(), Vec::new(), **self.floor.load()));
        self.states.write().entry(prefix.clone()).or_insert_with(make).clone()
    }

    /// What is served now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
    }
    /// Wakes when the catalogue is swapped.
    pub fn catalogue_changed(&self) -> watch::Receiver<u64> {
        self.catalogue_tip.subscribe()
    }
    /// A served kind.
    pub fn kind(&self, gvr: &Gvr) -> Option<Arc<Kind>> {
        self.catalogue.load().find(&gvr.group, &gvr.version, &gvr.resource).cloned()
    }
    /// The last published revision.
    pub fn revision(&self) -> Revision {
        *self.published.borrow()
    }
    /// Wakes at every published revision.
    pub fn published(&self) -> watch::Receiver<Revision> {
        self.published.subscribe()
    }
    /// The present.
    pub fn now(&self) -> Timestamp {
        (self.config.now)()
    }
    /// The store.
    ///
    /// # Errors
    /// The registry is not open yet.
    pub fn store(&self) -> ApiResult<&Arc<dyn Store>> {
        self.store.get().ok_or_else(|| ApiError::unavailable("the store is not open yet"))
    }
    /// A revision that contains every write acknowledged before the call (S3).
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn barrier(&self) -> ApiResult<Revision> {
        let revision = self.store()?.barrier().await.map_err(crate::commit::store_error)?;
        self.reached(revision).await;
        Ok(revision.max(self.revision()))
    }
    /// Whether somebody may have seen an object of this revision.
    pub(crate) fn is_arriving(&self, revision: Revision) -> bool {
        revision.0 <= self.arriving.load(Ordering::Acquire)
    }
    /// Waits until `revision` is published.
    pub(crate) async fn reached(&self, revision: Revision) {
        let mut published = self.published.subscribe();
        // The sender lives as long as the registry.
        let _ = published.wait_for(|at| *at >= revision).await;
    }
    pub(crate) fn mutators(&self) -> &[Arc<dyn Mutate>] {
        self.plugins.get().map_or(&[], |p| &p.mutators)
    }
    pub(crate) fn validators(&self) -> &[Arc<dyn Validate>] {
        self.plugins.get().map_or(&[], |p| &p.validators)
    }
    pub(crate) fn charges(&self) -> &[Arc<dyn Charge>] {
        self.plugins.get().map_or(&[], |p| &p.charges)
    }
    pub(crate) fn webhooks(&self) -> &dyn CallWebhook {
        self.plugins.get().and_then(|p| p.webhooks.as_deref()).unwrap_or(&NoWebhooks)
    }
    /// The action of a virtual kind or subresource.
    pub fn action(&self, resource: &GroupResource, subresource: &str) -> Option<Arc<dyn Action>> {
        let actions = &self.plugins.get()?.actions;
        actions.iter().find(|((r, s), _)| r == resource && *s == subresource).map(|(_, a)| a.clone())
    }
    /// Bytes and objects in memory by resource prefix: for metrics and benchmarks.
    pub fn sizes(&self) -> Vec<(Arc<str>, usize, usize)> {
        let size = |s: &Arc<KindState>| {
            let snapshot = s.snapshot();
            (s.prefix().clone(), snapshot.len(), snapshot.iter().map(|e| e.size()).sum())
        };
        self.states.read().values().map(size).collect()
    }
}

/// `/group/resource/` of a storage.
fn prefix(storage: &GroupResource) -> Arc<str> {
    format!("/{}/{}/", storage.group, storage.resource).into()
}

/// One state per storage, with the selectable fields that any of its kinds has.
fn states_of(defs: &[KindDef]) -> HashMap<Arc<str>, Arc<KindState>> {
    let mut states: HashMap<Arc<str>, Arc<KindState>> = HashMap::new();
    for def in defs {
        let prefix = prefix(&def.storage);
        // The first kind of a storage is the one whose form is stored.
        let make = || Arc::new(KindState::new(prefix.clone(), def.selectable.clone(), Revision(0)));
        states.entry(prefix.clone()).or_insert_with(make);
    }
    states
}

/// `/group/resource/` of a key.
fn prefix_of(key: &str) -> &str {
    let end = key.match_indices('/').nth(2).map_or(key.len(), |(at, _)| at + 1);
    &key[..end]
}

impl Published for Registry {
    fn head(&self, key: &str) -> Option<Revision> {
        if key.starts_with(claims::PREFIX) {
            return self.claims.head(key);
        }
        self.states.read().get(prefix_of(key))?.get(key).map(|e| e.revision)
    }

    fn load(&self, loaded: Loaded) {
        self.floor.store(Arc::new(loaded.compacted));
        self.claims.clear();
        let mut by_prefix: HashMap<Arc<str>, Vec<Arc<Entry>>> = HashMap::new();
        for object in loaded.base {
            if object.key.starts_with(claims::PREFIX) {
                self.claims.publish(&object.key, Some(object.revision));
                continue;
            }
            let state = self.state_of(prefix_of(&object.key));
            if let Some(entry) = load_entry(&object.key, object.revision, &object.bytes, &state.selectable())
            {
                by_prefix.entry(state.prefix().clone()).or_default().push(entry);
            }
        }
        let known: Vec<_> = self.states.read().values().cloned().collect();
        for state in known {
            let objects = by_prefix.remove(state.prefix()).unwrap_or_default();
            state.load(loaded.compacted, objects.into_iter());
        }
        for change in &loaded.changes {
            self.publish_change(change);
        }
        self.published.send_replace(loaded.revision);
    }

    fn publish(&self, revision: Revision, changes: &[Change]) {
        self.arriving.store(revision.0, Ordering::Release);
        for change in changes {
            self.publish_change(change);
        }
        self.published.send_replace(revision);
    }
}

impl Registry {
    fn publish_change(&self, change: &Change) {
        if change.key.starts_with(claims::PREFIX) {
            return self.claims.publish(&change.key, change.value.as_ref().map(|_| change.revision));
        }
        let state = self.state_of(prefix_of(&change.key));
        let entry =
            change.value.as_ref().and_then(|value| entry_of(&change.key, change.revision, value, &state));
        state.publish(change.revision, &change.key, entry);
    }
}

fn entry_of(
    key: &Key,
    revision: Revision,
    value: &proa_store::Value,
    state: &KindState,
) -> Option<Arc<Entry>> {
    match value.decoded.clone().map(Arc::downcast::<Decoded>) {
        Some(Ok(decoded)) => Some(Arc::new(Entry::new(key.clone(), revision, value.bytes.clone(), decoded))),
        _ => load_entry(key, revision, &value.bytes, &state.selectable()),
    }
}
