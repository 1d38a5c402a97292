//! CustomResourceDefinitions become served kinds.
//!
//! A definition whose names are free is established: its versions are served through the same mechanism as built-in
//! kinds, and its conditions say so. A definition that is being deleted loses its objects first. The task wakes when a
//! definition changes; nothing polls. Upstream: apiextensions `pkg/controller/{status,establish,finalizer}`.

mod kinds;
mod status;

use crate::{
    entry::Entry,
    kind::KindDef,
    registry::{Kind, Registry},
    request::{Body, DeleteOptions, Selection, Target, WriteOptions},
};
use parking_lot::Mutex;
use proa_meta::{ApiResult, Gvr, Reason, User};
use proa_store::Revision;
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

const DEFINITIONS: Gvr = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
/// Keeps a definition until its objects are gone; its kind sets it when it is deleted.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Kinds made from definitions, by the definition's name, so that a change rebuilds only its own.
#[derive(Default)]
pub struct Definitions(Mutex<HashMap<String, Made>>);

struct Made {
    revision: Revision,
    kinds: Vec<Arc<Kind>>,
}

impl Registry {
    /// Serves what is established already: once after opening, before the first request.
    pub fn establish(&self) {
        let Some(definitions) = self.kind(&DEFINITIONS) else { return };
        let mut made = self.definitions.0.lock();
        let snapshot = definitions.snapshot();
        let mut changed = made.len();
        made.retain(|name, _| snapshot.get("", name).is_some());
        changed -= made.len();
        for entry in snapshot.iter() {
            if made.get(entry.name()).is_some_and(|m| m.revision == entry.revision) {
                continue;
            }
            let kinds = self.kinds_of(entry, made.get(entry.name()));
            let before = made.get(entry.name()).map_or(0, |m| m.kinds.len());
            changed += usize::from(before + kinds.len() > 0);
            made.insert(entry.name().to_owned(), Made { revision: entry.revision, kinds });
        }
        if changed > 0 {
            self.serve_made(&made);
        }
    }

    fn serve_made(&self, made: &HashMap<String, Made>) {
        let mut all: Vec<_> = made.values().flat_map(|m| m.kinds.iter().cloned()).collect();
        all.sort_by_cached_key(|kind| kind.def.gvr());
        self.serve(all);
    }

    /// Serves a definition that is about to be established: whoever sees the condition finds the kind.
    fn serve_ahead(&self, definition: &Value) {
        let mut made = self.definitions.0.lock();
        let name = crate::metadata::text(definition, "name").to_owned();
        let kinds = self.make(definition, None, made.get(&name));
        // No stored revision: made anew from what is stored in the end.
        made.insert(name, Made { revision: Revision(0), kinds });
        self.serve_made(&made);
    }

    fn kinds_of(&self, entry: &Arc<Entry>, before: Option<&Made>) -> Vec<Arc<Kind>> {
        self.make(&entry.stored_value(entry.revision), Some(entry.revision), before)
    }

    fn make(&self, definition: &Value, since: Option<Revision>, before: Option<&Made>) -> Vec<Arc<Kind>> {
        if !status::is_true(definition, "Established") {
            return Vec::new();
        }
        match kinds::kinds(definition) {
            Ok(defs) => {
                let kinds = defs.into_iter().map(|def| self.custom_kind(KindDef { since, ..def }));
                kinds.map(Arc::new).collect()
            }
            Err(error) => {
                let definition = crate::metadata::text(definition, "name");
                tracing::error!(definition, %error, "established definition cannot be served");
                before.map(|m| m.kinds.clone()).unwrap_or_default()
            }
        }
    }

    /// Establishes, serves and cleans up definitions until the registry is dropped.
    pub async fn run_definitions(self: Arc<Self>) {
        let Some(definitions) = self.kind(&DEFINITIONS) else { return };
        let mut changed = definitions.changed();
        loop {
            changed.borrow_and_update();
            self.establish();
            let snapshot = definitions.snapshot();
            // Definitions wait here for objects whose finalizers others have to take away.
            let mut emptying = Vec::new();
            for entry in snapshot.iter() {
                match self.settle(&definitions, entry).await {
                    Ok(Some(kind)) => emptying.push(kind.changed()),
                    Ok(None) => {}
                    // A conflict means a newer version, which wakes this task again.
                    Err(error) => {
                        tracing::debug!(definition = entry.name(), %error, "definition not settled");
                    }
                }
            }
            let emptied = emptying.iter_mut().map(|kind| Box::pin(kind.changed()));
            let wakes: Vec<_> = std::iter::once(Box::pin(changed.changed())).chain(emptied).collect();
            if futures::future::select_all(wakes).await.0.is_err() {
                return;
            }
        }
    }

    /// Brings one definition's status up to date, or its deletion forward. Returns the kind whose objects still keep a
    /// deleted definition.
    async fn settle(
        self: &Arc<Self>,
        definitions: &Arc<Kind>,
        entry: &Arc<Entry>,
    ) -> ApiResult<Option<Arc<Kind>>> {
        let definition = entry.value(&definitions.def);
        if crate::metadata::is_deleting(&definition) {
            return self.clean_up(definitions, definition).await;
        }
        let taken = |wanted: &status::Names| self.name_conflict(entry.name(), wanted);
        let now = proa_meta::time::Time::new(self.now()).to_string();
        // One write at a time: the version that it makes wakes this task for the next.
        if let Some(settled) = status::settle(&definition, &taken, &now) {
            if status::is_true(&settled, "Established") && !status::is_true(&definition, "Established") {
                self.serve_ahead(&settled);
            }
            self.write(definitions, settled, "status").await?;
        }
        Ok(None)
    }

    /// Why a name cannot be accepted: another kind of the group has it.
    fn name_conflict(&self, own: &str, wanted: &status::Names) -> Option<(&'static str, String)> {
        let catalogue = self.catalogue();
        let others = catalogue.kinds().filter(|k| k.def.gvk.group == wanted.group.as_str());
        let others: Vec<_> =
            others.filter(|k| format!("{}.{}", k.def.resource, k.def.gvk.group) != own).collect();
        let resource_taken = |name: &str| {
            others.iter().any(|k| {
                k.def.resource == name
                    || k.def.singular == name
                    || k.def.short_names.iter().any(|s| s == name)
            })
        };
        let kind_taken =
            |name: &str| others.iter().any(|k| k.def.gvk.kind == name || k.def.list_kind == name);
        let conflict = |reason, name: &str| Some((reason, format!("{name:?} is already in use")));
        if resource_taken(&wanted.plural) {
            return conflict("PluralConflict", &wanted.plural);
        }
        if !wanted.singular.is_empty() && resource_taken(&wanted.singular) {
            return conflict("SingularConflict", &wanted.singular);
        }
        if let Some(short) = wanted.short_names.iter().find(|s| resource_taken(s)) {
            return conflict("ShortNamesConflict", short);
        }
        if kind_taken(&wanted.kind) {
            return conflict("KindConflict", &wanted.kind);
        }
        if kind_taken(&wanted.list_kind) {
            return conflict("ListKindConflict", &wanted.list_kind);
        }
        None
    }

    /// Deletes the definition's objects, then lets it go.
    async fn clean_up(
        self: &Arc<Self>,
        definitions: &Arc<Kind>,
        mut definition: Value,
    ) -> ApiResult<Option<Arc<Kind>>> {
        if !keeps_objects(&definition) {
            return Ok(None);
        }
        let name = crate::metadata::text(&definition, "name").to_owned();
        let kind = self.definitions.0.lock().get(&name).and_then(|made| stored_kind(&made.kinds));
        if let Some(kind) = kind {
            let target = target(&kind, "", "");
            self.delete_collection(&target, &Selection::default(), &DeleteOptions::default()).await?;
            if !kind.snapshot().is_empty() {
                return Ok(Some(kind));
            }
        }
        if let Some(finalizers) = definition["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != CLEANUP);
        }
        match self.write(definitions, definition, "").await {
            Err(error) if error.reason() != Reason::NotFound => Err(error),
            _ => Ok(None),
        }
    }

    async fn write(
        self: &Arc<Self>,
        definitions: &Arc<Kind>,
        object: Value,
        subresource: &str,
    ) -> ApiResult<()> {
        let target = target(definitions, crate::metadata::text(&object, "name"), subresource);
        let options = WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
        let body = Body { value: object, issues: Vec::new() };
        self.update(&target, body, &options).await.map(|_| ())
    }
}

/// The version in which objects are stored, which needs no conversion.
fn stored_kind(kinds: &[Arc<Kind>]) -> Option<Arc<Kind>> {
    let is_stored = |kind: &&Arc<Kind>| {
        kind.def.versions.as_ref().is_some_and(|versions| versions.stored == kind.def.gvk.version)
    };
    kinds.iter().find(is_stored).or_else(|| kinds.first()).cloned()
}

/// Whether the definition waits for its objects when it is deleted.
fn keeps_objects(definition: &Value) -> bool {
    let finalizers = definition["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|f| f.iter().any(|f| f == CLEANUP))
}

fn target(kind: &Arc<Kind>, name: &str, subresource: &str) -> Target {
    Target {
        kind: kind.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        user: Arc::new(User::new("system:apiserver", &[proa_meta::identity::MASTERS])),
    }
}
