//! The only writer (K1): performs actions, refuses undeclared ones (K6), announces what came of them.
//!
//! Flow: actions run in order; after the first failure the rest is skipped; a batch runs slowly at first or all at once.
//! A deletion of what is gone already is success. Nothing is retried here: a conflict means observe again.
//! Upstream: pkg/controller/controller_utils.go (slowStartBatch).

mod request;

use crate::{
    action::{Action, Announce, Batch, Pace, Severity},
    clock::Clock,
    error::{Error, Result},
    events::Recorder,
    kind::{Key, Kind},
    rbac::{Allowed, Write},
    views::ObjectView,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use kube::Client;
use request::Prepared;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Writes at once of a parallel batch.
const PARALLEL: usize = 64;

/// Performs actions with an operator's identity.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
    allowed: Arc<Allowed>,
    recorder: Recorder,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({})", self.manager)
    }
}

/// What a write left behind, for waiting on caches (K3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// An object at a version.
    At {
        /// Kind.
        kind: Kind,
        /// Its name.
        key: Key,
        /// Its uid.
        uid: Box<str>,
        /// Its version.
        resource_version: u64,
    },
    /// An object that is going or gone.
    Deleted {
        /// Kind.
        kind: Kind,
        /// Its name.
        key: Key,
        /// Its uid.
        uid: Box<str>,
    },
    /// Nothing that a cache would show.
    Nothing,
}

impl Written {
    pub(crate) fn kind(&self) -> Option<&Kind> {
        match self {
            Self::At { kind, .. } | Self::Deleted { kind, .. } => Some(kind),
            Self::Nothing => None,
        }
    }
    pub(crate) fn key(&self) -> Option<&Key> {
        match self {
            Self::At { key, .. } | Self::Deleted { key, .. } => Some(key),
            Self::Nothing => None,
        }
    }
    /// Name of the written object; of a created one as the server generated it.
    pub fn name(&self) -> &str {
        match self {
            Self::At { key, .. } | Self::Deleted { key, .. } => key.name(),
            Self::Nothing => "",
        }
    }
}

/// What came of a plan's actions: one entry per write, in order, batches flattened, events left out.
#[derive(Debug, Default)]
pub struct Results(pub Vec<Result<Written>>);

impl Results {
    /// The first failure.
    pub fn error(&self) -> Option<&Error> {
        self.0
            .iter()
            .filter_map(|result| result.as_ref().err())
            .find(|error| !matches!(error, Error::Skipped))
    }
    /// Number of successful writes.
    pub fn succeeded(&self) -> usize {
        self.0.iter().filter(|result| result.is_ok()).count()
    }
    /// What was written.
    pub fn written(&self) -> Vec<Written> {
        self.0.iter().filter_map(|result| result.as_ref().ok()).cloned().collect()
    }
}

impl Writer {
    /// A writer that may do what is declared.
    pub fn new(client: Client, manager: &'static str, writes: Vec<Write>, recorder: Recorder) -> Self {
        Self { client, manager, allowed: Arc::new(Allowed::new(writes)), recorder }
    }
    /// As `new`, with a recorder of its own. Must be called inside a tokio runtime.
    pub fn start(
        client: Client,
        manager: &'static str,
        writes: Vec<Write>,
        instance: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let recorder = Recorder::start(client.clone(), manager, instance, clock);
        Self::new(client, manager, writes, recorder)
    }
    /// Performs actions in order. Boxed, so that it is made once and not in every operator.
    pub fn act<'a>(&'a self, actions: &'a [Action]) -> BoxFuture<'a, Results> {
        self.perform_all(actions).boxed()
    }
    async fn perform_all(&self, actions: &[Action]) -> Results {
        let mut results = Results::default();
        for action in actions {
            let failed = results.error().is_some();
            match action {
                _ if failed => results.0.extend((0..leaves(action)).map(|_| Err(Error::Skipped))),
                Action::Batch(batch) => results.0.extend(self.batch(batch).await),
                Action::Event(_) => self.event(action),
                single => results.0.push(self.perform(single).await),
            }
        }
        results
    }
    /// Performs one action and decodes the server's answer: for writes whose response matters, such as tokens.
    pub async fn ask<T: DeserializeOwned>(&self, action: &Action) -> Result<T> {
        let prepared = self.prepare(action)?;
        let operation = prepared.operation();
        let text = self.send(prepared).await?;
        serde_json::from_str(&text).map_err(|source| Error::Decode { what: operation, source })
    }
    /// The recorder of events.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }
    async fn batch(&self, batch: &Batch) -> Vec<Result<Written>> {
        let actions = &batch.actions;
        let mut results = Vec::with_capacity(actions.len());
        let mut size = match batch.pace {
            Pace::SlowStart => 1,
            Pace::Parallel => actions.len(),
        };
        while results.len() < actions.len() {
            let end = actions.len().min(results.len() + size);
            let group = &actions[results.len()..end];
            let before = results.len();
            let group: Vec<_> = group.iter().map(|action| self.perform(action).boxed()).collect();
            let group: Vec<_> = stream::iter(group).buffered(PARALLEL).collect().await;
            results.extend(group);
            if results[before..].iter().any(Result::is_err) {
                break;
            }
            size *= 2;
        }
        results.resize_with(actions.len(), || Err(Error::Skipped));
        results
    }
    async fn perform(&self, action: &Action) -> Result<Written> {
        if let Action::Event(_) = action {
            self.event(action);
            return Ok(Written::Nothing);
        }
        let result = self.write(action).await;
        if let Some(announce) = announcement(action) {
            self.announce(announce, action, &result);
        }
        result
    }
    async fn write(&self, action: &Action) -> Result<Written> {
        let prepared = self.prepare(action)?;
        let deletion = prepared.deletion();
        let kind = prepared.kind.clone();
        match (self.send(prepared).await, deletion) {
            (Ok(_), Some((key, uid))) => Ok(Written::Deleted { kind, key, uid }),
            (Ok(text), None) => Ok(written(kind, &text)),
            (Err(error), Some((key, uid))) if error.is_not_found() => Ok(Written::Deleted { kind, key, uid }),
            (Err(error), _) => Err(error),
        }
    }
    fn prepare(&self, action: &Action) -> Result<Prepared> {
        let prepared = Prepared::new(action, self.manager)?;
        if self.allowed.permits(prepared.verb, &prepared.kind, prepared.subresource, &prepared.name) {
            Ok(prepared)
        } else {
            Err(Error::Undeclared { verb: prepared.verb, resource: prepared.resource() })
        }
    }
    async fn send(&self, prepared: Prepared) -> Result<String> {
        let operation = prepared.operation();
        let request = prepared.into_request().map_err(|error| Error::api(&operation, error))?;
        self.client.request_text(request).await.map_err(|error| Error::api(operation, error))
    }
    fn event(&self, action: &Action) {
        if let Action::Event(event) = action {
            self.recorder.record(event.clone());
        }
    }
    fn announce(&self, announce: &Announce, action: &Action, result: &Result<Written>) {
        let (severity, text, name, error) = match result {
            Ok(written) => (Severity::Normal, &announce.success, written.name().to_owned(), String::new()),
            // Everything fails in a namespace that is going; saying so for each pod helps no one.
            Err(error) if error.is_namespace_terminating() => return,
            Err(error) => (Severity::Warning, &announce.failure, target_name(action), error.message()),
        };
        let Some((reason, note)) = text else { return };
        let note = note.replace("{name}", &name).replace("{error}", &error);
        self.recorder.record(crate::action::Event {
            regarding: announce.regarding.clone(),
            related: None,
            severity,
            reason: reason.clone(),
            action: "".into(),
            note: note.into(),
            field_path: "".into(),
        });
    }
}

fn announcement(action: &Action) -> Option<&Announce> {
    match action {
        Action::Create(create) => create.announce.as_ref(),
        Action::Patch(patch) => patch.announce.as_ref(),
        Action::Delete(delete) => delete.announce.as_ref(),
        _ => None,
    }
}

fn target_name(action: &Action) -> String {
    match action {
        Action::Create(create) => create
            .object
            .pointer("/metadata/name")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("")
            .to_owned(),
        Action::Patch(patch) => patch.target.name.to_string(),
        Action::Delete(delete) => delete.target.name.to_string(),
        _ => String::new(),
    }
}

/// Number of results an action gives.
fn leaves(action: &Action) -> usize {
    match action {
        Action::Batch(batch) => batch.actions.len(),
        Action::Event(_) => 0,
        _ => 1,
    }
}

/// What the response says was written; a response without metadata is a `Status`.
fn written(kind: Kind, text: &str) -> Written {
    match serde_json::from_str::<ObjectView>(text) {
        Ok(view) if view.metadata.resource_version != 0 => Written::At {
            kind,
            key: Key::new(&view.metadata.namespace, &view.metadata.name),
            uid: view.metadata.uid,
            resource_version: view.metadata.resource_version,
        },
        _ => Written::Nothing,
    }
}

#[cfg(test)]
mod tests;
