//! Custom objects in the form of the version that is served: converted between the versions of a definition whose
//! versions differ, and with the defaults of a schema that is younger than they are.
//!
//! Objects are stored in the definition's storage version, and say which one that was. Whoever reads or writes them in
//! another version has them converted on the way by the definition's webhook, outside of every lock. Definitions
//! without a webhook only rename the version. What is stored stays as it was written.
//! Upstream: apiextensions `pkg/apiserver/{conversion,customresource_handler.go}`.

mod review;

use crate::{
    entry::{Entry, encode},
    kind::KindDef,
    metadata,
    registry::{Kind, Registry},
    request::{Target, WatchEvent, WatchStream},
    selection::Selected,
    verbs::{canonical_form, decode_types},
    webhook::WebhookClient,
};
use futures::StreamExt;
use proa_meta::{ApiError, ApiResult, Reason, gvk::Name};
use proa_schema::{default, prune};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    sync::{Arc, Weak},
    time::Duration,
};

/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The versions of a custom kind that has several.
#[derive(Clone, Debug)]
pub struct Versions {
    /// In which one objects are stored.
    pub stored: Name,
    /// In which one objects are stored that do not say it: they are older than the others.
    pub first: Name,
    /// Who converts; none: versions differ in nothing but their name.
    pub webhook: Option<ConversionWebhook>,
}

/// The webhook of a definition.
#[derive(Clone, Debug)]
pub struct ConversionWebhook {
    /// Where it is.
    pub client: WebhookClient,
    /// Versions of ConversionReview that it understands, best first.
    pub review_versions: Vec<String>,
}

impl Versions {
    /// The `apiVersion` in which an object is stored.
    fn version_of<'e>(&self, def: &KindDef, entry: &'e Entry) -> Cow<'e, str> {
        let first = || proa_meta::gvk::api_version(&def.gvk.group, &self.first);
        entry.stored_as().map_or_else(|| Cow::Owned(first()), Cow::Borrowed)
    }
}

impl KindDef {
    fn webhook(&self) -> Option<(&Versions, &ConversionWebhook)> {
        let versions = self.versions.as_deref()?;
        Some((versions, versions.webhook.as_ref()?))
    }
    /// Whether someone outside of this process is asked about objects in this version.
    pub(crate) fn is_converted_outside(&self) -> bool {
        self.webhook().is_some()
    }
    /// What stored objects say about their version; none when they need not.
    pub(crate) fn stored_as(&self) -> Option<String> {
        let versions = self.versions.as_deref()?;
        Some(proa_meta::gvk::api_version(&self.gvk.group, &versions.stored))
    }
}

/// The object as the kind's schema has it by now; none when it is that already. Upstream prunes and defaults whatever
/// it reads from its store.
fn fitted(kind: &Kind, entry: &Entry) -> Option<Arc<Entry>> {
    let def = &kind.def;
    let since = def.since.filter(|since| entry.may_misfit(*since))?;
    // Other versions have other schemas.
    if def
        .versions
        .as_deref()
        .is_some_and(|versions| *versions.version_of(def, entry) != *def.gvk.api_version())
    {
        return None;
    }
    let stored = entry.value(def);
    let mut object = stored.clone();
    prune::prune(&def.schema, &mut object, prune::Root::Resource);
    default::default_values(&def.schema, &mut object);
    if object == stored {
        entry.set_fitting(since);
        return None;
    }
    Some(Arc::new(entry.with_value(&object, &kind.state.selectable())))
}

impl Registry {
    /// Stored objects in the version of the kind, by one question to the webhook for all that differ.
    ///
    /// # Errors
    /// The definition's webhook fails.
    pub async fn in_version(&self, kind: &Kind, mut entries: Vec<Arc<Entry>>) -> ApiResult<Vec<Arc<Entry>>> {
        let def = &kind.def;
        for entry in &mut entries {
            if let Some(fitted) = fitted(kind, entry) {
                *entry = fitted;
            }
        }
        let Some((versions, webhook)) = def.webhook() else { return Ok(entries) };
        let wanted = def.gvk.api_version();
        let (mut places, mut objects) = (Vec::new(), Vec::new());
        for (place, entry) in entries.iter().enumerate() {
            let stored = versions.version_of(def, entry);
            if *stored != *wanted {
                let mut object = entry.value(def);
                metadata::map(&mut object).insert("apiVersion".to_owned(), json!(stored));
                places.push(place);
                objects.push(object);
            }
        }
        let converted = self.ask(def, webhook, &wanted, objects).await?;
        for (place, mut object) in places.into_iter().zip(converted) {
            self.typed(def, &mut object)?;
            entries[place] = Arc::new(entries[place].with_value(&object, &kind.state.selectable()));
        }
        Ok(entries)
    }

    /// One stored object in the version of the kind.
    pub(crate) async fn one_in_version(
        &self,
        kind: &Kind,
        entry: Option<Arc<Entry>>,
    ) -> ApiResult<Option<Arc<Entry>>> {
        match entry {
            Some(entry) if kind.def.custom => {
                self.in_version(kind, vec![entry]).await.map(|mut entries| entries.pop())
            }
            entry => Ok(entry),
        }
    }

    /// The object in the version in which it is stored; none when that is the one it has.
    pub(crate) async fn stored_form(&self, kind: &Kind, object: &Value) -> ApiResult<Option<Value>> {
        let def = &kind.def;
        let Some((versions, _)) = def.webhook() else { return Ok(None) };
        if versions.stored == def.gvk.version {
            return Ok(None);
        }
        let catalogue = self.catalogue();
        let stored = catalogue.find(&def.gvk.group, &versions.stored, &def.resource);
        let mut converted = object.clone();
        self.convert(def, stored.map_or(def, |kind| &kind.def), &mut converted).await?;
        Ok(Some(converted))
    }

    /// Converts an object from one version of a kind to another of the same storage.
    ///
    /// # Errors
    /// The definition's webhook fails.
    pub async fn convert(&self, from: &KindDef, to: &KindDef, object: &mut Value) -> ApiResult<()> {
        if object.is_null() || from.gvk == to.gvk {
            return Ok(());
        }
        if let Some((_, webhook)) = to.webhook() {
            let converted = self.ask(to, webhook, &to.gvk.api_version(), vec![object.take()]).await?;
            *object = converted.into_iter().next().unwrap_or_default();
            return self.typed(to, object);
        }
        if let Some(convert) = from.convert {
            (convert.to_storage)(object);
        }
        if let Some(convert) = to.convert {
            (convert.from_storage)(object);
        }
        let members = metadata::map(object);
        members.insert("apiVersion".to_owned(), json!(to.gvk.api_version()));
        members.insert("kind".to_owned(), json!(to.gvk.kind));
        Ok(())
    }

    /// What a webhook made, with the fields and defaults of its version, in the form that is stored.
    fn typed(&self, def: &KindDef, object: &mut Value) -> ApiResult<()> {
        decode_types(self, def, object)?;
        canonical_form(self, def, object);
        Ok(())
    }

    /// What is looked through when fields decide that objects have in the version of the kind, and may not have in the one
    /// in which they are stored: they are converted first.
    pub(crate) fn selected_after_conversion(&self, target: &Target, selected: &Selected) -> Option<Selected> {
        let converts = target.kind.def.is_converted_outside() && selected.asks_for_fields();
        converts.then(|| selected.widened())
    }

    /// Events in the version of the kind, and, if `selected` is given, those of them that it sees then. A watch whose objects
    /// cannot be converted ends with the error.
    pub(crate) fn watch_in_version(
        self: &Arc<Self>,
        kind: &Kind,
        events: WatchStream,
        selected: Option<Selected>,
    ) -> WatchStream {
        if !kind.def.custom {
            return events;
        }
        let (registry, gvr) = (Arc::downgrade(self), kind.def.gvr());
        let converted = events.then(move |batch| {
            let (registry, gvr, selected) = (Weak::clone(&registry), gvr.clone(), selected.clone());
            async move {
                let Some(registry) = registry.upgrade() else { return batch };
                // As the definition is by now.
                let Some(kind) = registry.kind(&gvr) else { return batch };
                match selected {
                    Some(selected) => registry.batch_selected(&kind, batch, &selected).await,
                    None => registry.batch_in_version(&kind, batch).await,
                }
            }
        });
        converted.boxed()
    }

    async fn batch_in_version(&self, kind: &Kind, mut batch: Vec<WatchEvent>) -> Vec<WatchEvent> {
        let entries = batch.iter().filter_map(|event| match event {
            WatchEvent::Object { entry, .. } => Some(entry.clone()),
            _ => None,
        });
        match self.in_version(kind, entries.collect()).await {
            Err(error) => vec![WatchEvent::Error(error)],
            Ok(converted) => {
                let mut converted = converted.into_iter();
                for event in &mut batch {
                    if let WatchEvent::Object { entry, .. } = event
                        && let Some(other) = converted.next()
                    {
                        *entry = other;
                    }
                }
                batch
            }
        }
    }

    /// The events that are seen once both states of their objects are converted.
    async fn batch_selected(
        &self,
        kind: &Kind,
        batch: Vec<WatchEvent>,
        selected: &Selected,
    ) -> Vec<WatchEvent> {
        let states = |event: &WatchEvent| match event {
            WatchEvent::Object { event: Some(event), .. } => (event.old.clone(), event.new.clone()),
            WatchEvent::Object { entry, event: None, .. } => (None, Some(entry.clone())),
            WatchEvent::Bookmark { .. } | WatchEvent::Error(_) => (None, None),
        };
        let entries = batch.iter().flat_map(|event| {
            let (old, new) = states(event);
            old.into_iter().chain(new)
        });
        let mut converted = match self.in_version(kind, entries.collect()).await {
            Err(error) => return vec![WatchEvent::Error(error)],
            Ok(converted) => converted.into_iter(),
        };
        let seen = |event: WatchEvent| {
            let (old, new) = states(&event);
            let (old, new) = (old.and_then(|_| converted.next()), new.and_then(|_| converted.next()));
            let WatchEvent::Object { revision, event, .. } = event else { return Some(event) };
            let (change, entry) = selected.sees_change(old.as_ref(), new.as_ref())?;
            Some(WatchEvent::Object { change, revision, entry: entry.clone(), event })
        };
        batch.into_iter().filter_map(seen).collect()
    }

    async fn ask(
        &self,
        def: &KindDef,
        webhook: &ConversionWebhook,
        wanted: &str,
        objects: Vec<Value>,
    ) -> ApiResult<Vec<Value>> {
        let Some(first) = objects.first() else { return Ok(objects) };
        let what = format!("{}, Kind={}", first["apiVersion"].as_str().unwrap_or_default(), def.gvk.kind);
        let failed =
            |why: String| ApiError::new(Reason::Unknown, format!("conversion webhook for {what} {why}"));
        let version = webhook.review_versions.iter().find(|v| matches!(v.as_str(), "v1" | "v1beta1"));
        let version =
            version.ok_or_else(|| failed("failed: no supported conversion review versions".to_owned()))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let question = review::question(version, &uid, wanted, &objects).to_string();
        let answer = self.webhooks().call(&webhook.client, question.into(), TIMEOUT).await;
        let answer = answer.map_err(|why| failed(format!("failed: {why}")))?;
        review::answer(&answer, version, &uid, wanted, &objects).map_err(failed)
    }
}

impl Entry {
    /// The same object of the same write in another form.
    pub(crate) fn with_value(&self, object: &Value, selectable: &[crate::kind::Selectable]) -> Self {
        let (tail, decoded) = encode(object, selectable);
        Self::new(self.key.clone(), self.revision, tail, Arc::new(decoded))
    }
}
