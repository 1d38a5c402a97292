//! The request's record: audit id, what it is counted under, how long it took; and what is added to every answer.
//!
//! Upstream: apiserver `pkg/endpoints/filters/{audit_init,metrics,cachecontrol}.go`, `pkg/server/filters/wrap.go`.

use crate::{
    api::{Caller, Request, Response, Server},
    audit::{Record, Stage},
    flow::Uids,
    metrics::Labels,
    query::Query,
    request_info::RequestInfo,
    respond,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use proa_meta::{ApiError, User};
use proa_registry::admission::Annotations;
use serde_json::Value;
use std::{any::Any, sync::Arc, time::Instant};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

/// What is known of a request while it is answered.
pub(crate) struct Trace {
    started: Instant,
    audit_id: Option<HeaderValue>,
    labels: Labels,
    dry_run: bool,
    path: String,
    is_long: bool,
    /// What a panic said.
    panic: Option<String>,
    /// How it was classified by priority and fairness.
    uids: Option<Uids>,
    /// What the audit log is told.
    pub(super) record: Option<Box<Record>>,
    /// Texts of `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

impl Trace {
    /// Code in the process does not read the audit id of its answers, so none is made for it.
    pub(super) fn begin(request: &Request) -> Self {
        let given = request.headers.get(AUDIT_ID).filter(|id| !id.is_empty() && id.len() <= 64).cloned();
        let made = || match request.caller {
            Caller::Network(_) => HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok(),
            Caller::InProcess(_) => None,
        };
        Self {
            started: Instant::now(),
            audit_id: given.or_else(made),
            labels: Labels::default(),
            dry_run: false,
            path: String::new(),
            is_long: false,
            panic: None,
            uids: None,
            record: None,
            warnings: Vec::new(),
        }
    }

    /// The path has been understood.
    pub(super) fn is_about(&mut self, info: &RequestInfo, query: &Query<'_>) {
        self.dry_run = query.has("dryRun");
        self.path.clone_from(&info.path);
        self.is_long = info.is_long_running();
        self.labels.verb = verb_label(info.verb).into();
        self.labels.scope = scope(info).into();
    }

    /// The kind has been found. Texts of unknown paths never become labels: they are the client's choice.
    pub(crate) fn is_served(&mut self, labels: Labels) {
        let verb = std::mem::take(&mut self.labels.verb);
        let scope = std::mem::take(&mut self.labels.scope);
        self.labels = Labels { verb, scope, ..labels };
    }

    /// Names the request to another server in the same way.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        if let Some(id) = &self.audit_id {
            headers.insert(AUDIT_ID, id.clone());
        }
    }

    pub(super) fn audit_id(&self) -> &str {
        self.audit_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }

    /// When the request came.
    pub(super) fn received(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.started.elapsed()).unwrap_or_default();
        Timestamp::now() - passed
    }

    /// Where annotations of the request go.
    pub(super) fn annotations(&self) -> Option<Arc<Annotations>> {
        self.record.as_ref().map(|record| record.annotations.clone())
    }

    /// Who acts, after impersonation.
    pub(super) fn acts_as(&mut self, asking: &Arc<User>, user: &Arc<User>) {
        if let Some(record) = self.record.as_mut().filter(|_| !Arc::ptr_eq(asking, user)) {
            record.impersonates(Arc::clone(user));
        }
    }

    /// Priority and fairness have classified it.
    pub(super) fn falls_under(&mut self, uids: Option<Uids>) {
        self.uids = uids;
    }

    /// An error is the answer.
    pub(super) fn failed(&mut self, error: &ApiError) {
        if let Some(record) = &mut self.record {
            record.answered_status(error.to_status());
        }
    }

    /// The body has been decoded.
    pub(crate) fn asked(&mut self, object: &Value) {
        if let Some(record) = &mut self.record {
            record.asked(object);
        }
    }

    /// The record of an audited request whose body is recorded as it came, or whose answer is.
    pub(crate) fn record(&mut self) -> Option<&mut Record> {
        self.record.as_deref_mut()
    }

    /// Logs a panic and makes an error of it. Its text is not for the client.
    pub(super) fn panicked(&mut self, panic: &(dyn Any + Send)) -> ApiError {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(
            path = self.path,
            audit_id = self.audit_id(),
            panic = text.as_str(),
            "a request's handler panicked"
        );
        self.panic = Some(text);
        ApiError::internal("this request caused apiserver to panic, look in logs for details")
    }

    /// Counts the request and completes the answer's headers.
    pub(super) async fn end(self, server: &Server, mut response: Response) -> Response {
        let headers = &mut response.headers;
        headers.entry(header::CACHE_CONTROL).or_insert(NO_CACHE);
        if let Some(id) = self.audit_id {
            headers.insert(AUDIT_ID, id);
        }
        if let Some(uids) = self.uids {
            headers.insert(FLOW_SCHEMA, uids.schema);
            headers.insert(PRIORITY_LEVEL, uids.level);
        }
        respond::add_warnings(headers, &self.warnings);
        let code = response.status.as_u16();
        let seconds = self.started.elapsed().as_secs_f64();
        if code >= 500 {
            tracing::warn!(path = self.path, code, seconds, "request failed");
        }
        server.metrics.answered(&self.labels, self.dry_run, code, seconds);
        match (self.record, self.panic) {
            (Some(mut record), Some(why)) => {
                record.panicked(&why);
                record.complete(Stage::Panic).await;
                response
            }
            (Some(record), None) => record.end(self.is_long, response).await,
            (None, _) => response,
        }
    }
}

/// Verbs as upstream's metrics name them.
fn verb_label(verb: &str) -> &'static str {
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "proxy" | "connect" => "CONNECT",
        _ => "other",
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    match info {
        RequestInfo { is_resource: false, .. } => "",
        RequestInfo { named_by_path: true, .. } => "resource",
        RequestInfo { verb: "create", .. } => "resource",
        RequestInfo { namespace, .. } if namespace.is_empty() => "cluster",
        RequestInfo { .. } => "namespace",
    }
}
