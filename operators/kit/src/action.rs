//! What a plan may do to the API: every kind of write there is, as data.
//!
//! Invariant: `act` is the only code that performs one. Bodies are JSON values; a reference pins uid and version where
//! the decision depends on them. Actions serialize, so that plans can be compared with golden cases.

use crate::{
    kind::{Kind, ObjectRef},
    views::Pairs,
};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// One write.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// POST a new object.
    Create(Create),
    /// PUT a whole object or subresource.
    Replace(Replace),
    /// Server-side apply with the operator as field manager.
    Apply(Apply),
    /// PATCH an object or subresource.
    Patch(Patch),
    /// PATCH that replaces the whole status.
    Status(Status),
    /// DELETE one object.
    Delete(Delete),
    /// POST `pods/binding`.
    Bind(Bind),
    /// POST `pods/eviction`.
    Evict(Evict),
    /// An event for people; never fails a plan.
    Event(Event),
    /// Several writes at once.
    Batch(Batch),
}

/// POST a new object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Create {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty when cluster-scoped.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Box<str>,
    /// Subresource of the object that `body` names, such as `token`; usually empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub subresource: &'static str,
    /// The object; `apiVersion` and `kind` are added.
    pub object: Value,
    /// Events about the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce: Option<Announce>,
}

/// PUT a whole object or subresource.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replace {
    /// Which object.
    pub target: ObjectRef,
    /// Subresource, such as `finalize`; usually empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub subresource: &'static str,
    /// The object; names, uid and resourceVersion of the target are added.
    pub object: Value,
}

/// Server-side apply.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Apply {
    /// Which object.
    pub target: ObjectRef,
    /// Subresource; usually empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub subresource: &'static str,
    /// The applied fields; `apiVersion`, `kind` and the name are added.
    pub object: Value,
}

/// How a patch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PatchKind {
    /// RFC 7386.
    Merge,
    /// Kubernetes' merge that knows list keys; built-in kinds only.
    Strategic,
    /// RFC 6902.
    Json,
}

impl PatchKind {
    /// Media type of the body.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

/// PATCH an object or subresource.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Patch {
    /// Which object; uid and version become preconditions.
    pub target: ObjectRef,
    /// Subresource; usually empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub subresource: &'static str,
    /// How `patch` is read.
    pub how: PatchKind,
    /// The patch.
    pub patch: Value,
    /// Events about the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce: Option<Announce>,
}

/// PATCH that replaces the whole status, so that removed fields go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Which object.
    pub target: ObjectRef,
    /// The new status.
    pub status: Value,
    /// The whole new annotations, where an operator keeps a fact there that must not count as a change of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Pairs>,
}

/// What happens to dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Propagation {
    /// The server deletes them later.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// DELETE one object. That it is gone already is success.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// Which object; uid and version become preconditions.
    pub target: ObjectRef,
    /// What happens to dependents; the server's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// Grace period; the object's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<i64>,
    /// Events about the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announce: Option<Announce>,
}

/// POST `pods/binding`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bind {
    /// The pod; its uid is checked.
    pub pod: ObjectRef,
    /// The node.
    pub node: Box<str>,
}

/// POST `pods/eviction`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evict {
    /// The pod; its uid is checked.
    pub pod: ObjectRef,
    /// Grace period; the pod's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<i64>,
}

/// An event for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What it is about.
    pub regarding: Arc<ObjectRef>,
    /// What else has a part in it, such as the pod that another made room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Arc<ObjectRef>>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub severity: Severity,
    /// Reason in one word.
    pub reason: Box<str>,
    /// What was done, in one word; may be empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub action: Box<str>,
    /// Text.
    pub note: Box<str>,
    /// Which part of the object it is about, such as `spec.containers{app}`; empty for all of it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field_path: Box<str>,
}

/// Whether an event is a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Worth a look.
    Warning,
}

/// Events about the outcome of one write. In notes `{name}` is the object's name and `{error}` the server's message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announce {
    /// What the events are about: usually the owner.
    #[serde(skip)]
    pub regarding: Arc<ObjectRef>,
    /// Reason and note on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<(Box<str>, Box<str>)>,
    /// Reason and note of the warning on failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<(Box<str>, Box<str>)>,
}

impl Announce {
    /// Nothing yet.
    pub fn about(regarding: &Arc<ObjectRef>) -> Self {
        Self { regarding: regarding.clone(), success: None, failure: None }
    }
    /// An event on success.
    #[must_use]
    pub fn success(mut self, reason: &str, note: &str) -> Self {
        self.success = Some((reason.into(), note.into()));
        self
    }
    /// A warning on failure.
    #[must_use]
    pub fn failure(mut self, reason: &str, note: &str) -> Self {
        self.failure = Some((reason.into(), note.into()));
        self
    }
}

/// Order of the writes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Pace {
    /// 1, then 2, then 4 at once and so on, stopping after the first group with a failure: many creations that would
    /// all fail cost the server only a few.
    SlowStart,
    /// All at once; every one is tried.
    Parallel,
}

/// Several writes at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Batch {
    /// Order.
    pub pace: Pace,
    /// The writes.
    pub actions: Vec<Action>,
}

impl Action {
    /// Creates an object in a namespace (empty when cluster-scoped).
    pub fn create(kind: Kind, namespace: &str, object: Value) -> Self {
        Self::Create(Create { kind, namespace: namespace.into(), subresource: "", object, announce: None })
    }
    /// Replaces a whole object.
    pub fn replace(target: ObjectRef, object: Value) -> Self {
        Self::Replace(Replace { target, subresource: "", object })
    }
    /// Applies fields.
    pub fn apply(target: ObjectRef, object: Value) -> Self {
        Self::Apply(Apply { target, subresource: "", object })
    }
    /// Merges a patch.
    pub fn merge(target: ObjectRef, patch: Value) -> Self {
        Self::patch(target, "", PatchKind::Merge, patch)
    }
    /// Merges a patch by Kubernetes' rules for lists.
    pub fn strategic(target: ObjectRef, patch: Value) -> Self {
        Self::patch(target, "", PatchKind::Strategic, patch)
    }
    /// Any patch of an object or subresource.
    pub fn patch(target: ObjectRef, subresource: &'static str, how: PatchKind, patch: Value) -> Self {
        Self::Patch(Patch { target, subresource, how, patch, announce: None })
    }
    /// Merges a part of the status: what a party sets that does not own the whole of it.
    pub fn merge_status(target: ObjectRef, status: Value) -> Self {
        let patch = Value::Object([("status".to_owned(), status)].into_iter().collect());
        Self::patch(target, "status", PatchKind::Strategic, patch)
    }
    /// Replaces the status.
    pub fn status(target: ObjectRef, status: Value) -> Self {
        Self::Status(Status { target, status, annotations: None })
    }
    /// Deletes an object.
    pub fn delete(target: ObjectRef) -> Self {
        Self::Delete(Delete { target, propagation: None, grace_seconds: None, announce: None })
    }
    /// Binds a pod to a node.
    pub fn bind(pod: ObjectRef, node: &str) -> Self {
        Self::Bind(Bind { pod, node: node.into() })
    }
    /// Evicts a pod.
    pub fn evict(pod: ObjectRef) -> Self {
        Self::Evict(Evict { pod, grace_seconds: None })
    }
    /// An event as it should be.
    pub fn normal(regarding: &Arc<ObjectRef>, reason: &str, note: impl Into<Box<str>>) -> Self {
        Self::event(regarding, Severity::Normal, reason, note.into())
    }
    /// An event worth a look.
    pub fn warning(regarding: &Arc<ObjectRef>, reason: &str, note: impl Into<Box<str>>) -> Self {
        Self::event(regarding, Severity::Warning, reason, note.into())
    }
    fn event(regarding: &Arc<ObjectRef>, severity: Severity, reason: &str, note: Box<str>) -> Self {
        Self::Event(Event {
            regarding: regarding.clone(),
            related: None,
            severity,
            reason: reason.into(),
            action: "".into(),
            note,
            field_path: "".into(),
        })
    }
    /// About a part of the object; only of events.
    #[must_use]
    pub fn part(mut self, field_path: &str) -> Self {
        if let Self::Event(event) = &mut self {
            event.field_path = field_path.into();
        }
        self
    }
    /// Many creations, slowly at first.
    pub fn slow_start(actions: Vec<Self>) -> Self {
        Self::Batch(Batch { pace: Pace::SlowStart, actions })
    }
    /// Several writes at once.
    pub fn parallel(actions: Vec<Self>) -> Self {
        Self::Batch(Batch { pace: Pace::Parallel, actions })
    }
    /// With events about the outcome; only of creations, patches and deletions.
    #[must_use]
    pub fn announced(mut self, announce: Announce) -> Self {
        match &mut self {
            Self::Create(Create { announce: slot, .. })
            | Self::Patch(Patch { announce: slot, .. })
            | Self::Delete(Delete { announce: slot, .. }) => *slot = Some(announce),
            Self::Replace(_)
            | Self::Apply(_)
            | Self::Status(_)
            | Self::Bind(_)
            | Self::Evict(_)
            | Self::Event(_)
            | Self::Batch(_) => {}
        }
        self
    }
    /// What happens to dependents of a deleted object.
    #[must_use]
    pub fn propagating(mut self, propagation: Propagation) -> Self {
        if let Self::Delete(delete) = &mut self {
            delete.propagation = Some(propagation);
        }
        self
    }
    /// With a grace period; only of deletions and evictions.
    #[must_use]
    pub fn within(mut self, seconds: i64) -> Self {
        match &mut self {
            Self::Delete(delete) => delete.grace_seconds = Some(seconds),
            Self::Evict(evict) => evict.grace_seconds = Some(seconds),
            _ => {}
        }
        self
    }
}
