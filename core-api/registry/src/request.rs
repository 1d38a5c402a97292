//! What a verb is asked and what it answers, free of HTTP.

use crate::{entry::Entry, registry::Kind};
use proa_meta::{
    ApiError, ApiResult, User,
    selector::{FieldSelector, Selector},
};
use proa_schema::json::{StrictIssue, strict_text};
use proa_store::Revision;
use serde_json::Value;
use std::sync::Arc;

/// Which object or collection, and who asks.
#[derive(Clone)]
pub struct Target {
    /// Served kind.
    pub kind: Arc<Kind>,
    /// Namespace; empty for cluster-scoped kinds and for lists across namespaces.
    pub namespace: String,
    /// Object name; empty for collections.
    pub name: String,
    /// Subresource; empty for the object itself.
    pub subresource: String,
    /// Who asks.
    pub user: Arc<User>,
}

/// A decoded request body.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The object.
    pub value: Value,
    /// What strict decoding found so far, such as duplicate fields.
    pub issues: Vec<StrictIssue>,
}

/// `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Unknown and duplicate fields are dropped silently.
    Ignore,
    /// Dropped with a warning.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// `dryRun=All`.
    pub dry_run: bool,
    /// `fieldManager`, or what the user agent gives.
    pub field_manager: String,
    /// Strictness.
    pub field_validation: FieldValidation,
    /// `force` of an apply.
    pub force: bool,
    /// Which of them the client named: those are shown to others.
    pub given: Given,
}

/// Options that a client named, and did not leave to their defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// `fieldManager`.
    pub field_manager: bool,
    /// `fieldValidation`.
    pub field_validation: bool,
}

impl WriteOptions {
    /// What strict decoding found: dropped silently, told as warnings, or refused by what `refuse` makes of the text.
    ///
    /// # Errors
    /// There are issues and the caller asked to be strict.
    pub fn strictness(
        &self,
        issues: &[StrictIssue],
        refuse: impl FnOnce(&str) -> ApiError,
    ) -> ApiResult<Vec<String>> {
        match self.field_validation {
            _ if issues.is_empty() => Ok(Vec::new()),
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Warn => Ok(issues.iter().map(ToString::to_string).collect()),
            FieldValidation::Strict => Err(refuse(&strict_text(issues))),
        }
    }
}

/// How a patch body is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, built-in kinds only.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// A patch: its type and its bytes, already converted from YAML to JSON for apply.
#[derive(Clone, Debug)]
pub struct Patch {
    /// How the bytes are meant.
    pub kind: PatchType,
    /// JSON.
    pub bytes: bytes::Bytes,
    /// The fields that an applied configuration repeats.
    pub issues: Vec<StrictIssue>,
}

/// `DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`.
    pub grace_period_seconds: Option<i64>,
    /// `propagationPolicy` (or the deprecated `orphanDependents`).
    pub propagation: Option<crate::kind::Propagation>,
    /// `orphanDependents: false` was asked for: that an object stays for now is told by the status code.
    pub tells_of_waiting: bool,
    /// Precondition on the uid.
    pub uid: Option<String>,
    /// Precondition on the resourceVersion.
    pub resource_version: Option<String>,
    /// `dryRun=All`.
    pub dry_run: bool,
}

/// Selectors of list, watch and deletecollection.
#[derive(Clone, Debug)]
pub struct Selection {
    /// `labelSelector`.
    pub labels: Selector,
    /// `fieldSelector`.
    pub fields: FieldSelector,
}

/// Everything.
impl Default for Selection {
    fn default() -> Self {
        Self { labels: Selector::everything(), fields: FieldSelector::default() }
    }
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly that revision.
    Exact,
    /// That revision or a newer one.
    NotOlderThan,
}

/// Options of get.
#[derive(Clone, Copy, Debug, Default)]
pub struct GetOptions {
    /// `resourceVersion`: not older than that.
    pub resource_version: Option<Revision>,
    /// Nothing but metadata is shown, so the object need not be converted.
    pub metadata_only: bool,
}

/// Options of list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Selectors.
    pub selection: Selection,
    /// `resourceVersion`; `None`: most recent.
    pub resource_version: Option<Revision>,
    /// `resourceVersionMatch`.
    pub version_match: Option<VersionMatch>,
    /// `limit`; zero: no limit.
    pub limit: usize,
    /// `continue`.
    pub continue_token: Option<String>,
    /// Nothing but metadata is shown, so objects need not be converted.
    pub metadata_only: bool,
}

/// A page of a list: shared entries, no copies.
#[derive(Clone)]
pub struct List {
    /// The list's resourceVersion.
    pub revision: Revision,
    /// Objects in key order.
    pub items: Vec<Arc<Entry>>,
    /// Where the next page starts.
    pub continue_token: Option<String>,
    /// How many follow; only without selectors, as upstream.
    pub remaining: Option<i64>,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
}

/// Options of watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Selectors.
    pub selection: Selection,
    /// `resourceVersion`: `None` and `Some(0)` start with the present objects as ADDED.
    pub resource_version: Option<Revision>,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`: the present objects, then a bookmark with the annotation `k8s.io/initial-events-end`.
    pub send_initial_events: bool,
    /// Ends after this many seconds.
    pub timeout_seconds: Option<u64>,
    /// Nothing but metadata is shown, so objects need not be converted.
    pub metadata_only: bool,
}

/// One watch event.
#[derive(Clone)]
pub enum WatchEvent {
    /// An object came, changed or went, as the watcher's selectors see it.
    Object {
        /// ADDED, MODIFIED or DELETED.
        change: ChangeType,
        /// Its revision: also the resourceVersion of a deleted object.
        revision: Revision,
        /// The object; for DELETED its last state.
        entry: Arc<Entry>,
        /// The published event, which caches encoded forms for all its watchers; none for initial events.
        event: Option<Arc<crate::state::Event>>,
    },
    /// Progress without change; `initial_end` closes the initial events.
    Bookmark {
        /// Everything up to here has been sent.
        revision: Revision,
        /// Carries the annotation `k8s.io/initial-events-end`.
        initial_end: bool,
    },
    /// The watch ends with this error (410 when the cursor fell out of the window).
    Error(proa_meta::ApiError),
}

/// Kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeType {
    /// New to the watcher.
    Added,
    /// Changed.
    Modified,
    /// Gone, or no longer selected.
    Deleted,
}

/// A batch of watch events; ends when the watch does.
pub type WatchStream = futures::stream::BoxStream<'static, Vec<WatchEvent>>;

/// An object to be served.
#[derive(Clone)]
pub enum Object {
    /// As it is stored: bytes are ready.
    Stored(Arc<Entry>),
    /// Made for this answer (dry run, virtual kinds, scale): complete with `apiVersion` and `kind`.
    Made(Arc<Value>),
}

/// What a write did.
pub struct Written {
    /// The object afterwards, or the `Status` of a removal.
    pub object: Object,
    /// Whether it was created by this request (HTTP 201).
    pub created: bool,
    /// Whether a delete is not finished when it was asked to cascade (HTTP 202).
    pub accepted: bool,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
}

/// What an action (virtual kind or extra subresource) is asked.
pub struct ActionRequest {
    /// The object it concerns; name empty for virtual kinds.
    pub target: Target,
    /// Decoded body; null for GET.
    pub body: Value,
    /// Options.
    pub options: WriteOptions,
    /// Verb (`create`, `get`, `update`, ...).
    pub verb: String,
}

/// Answers a virtual kind or an extra subresource: access reviews, bindings, evictions, tokens.
pub trait Action: Send + Sync {
    /// The answer: a complete object and whether it was created (201).
    fn call<'a>(
        &'a self,
        registry: &'a Arc<crate::registry::Registry>,
        request: ActionRequest,
    ) -> futures::future::BoxFuture<'a, ApiResult<Written>>;
}
