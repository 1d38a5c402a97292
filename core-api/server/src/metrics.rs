//! What `/metrics` tells: upstream's names, in the OpenMetrics text form.
//!
//! Upstream: apiserver `pkg/endpoints/metrics/metrics.go`.

use crate::api::{Body, Response, Server};
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::borrow::Cow;

type Text = Cow<'static, str>;

/// What a request is counted under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Labels {
    pub(crate) verb: Text,
    pub(crate) group: Text,
    pub(crate) version: Text,
    pub(crate) resource: Text,
    pub(crate) subresource: Text,
    pub(crate) scope: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Total {
    verb: Text,
    dry_run: Text,
    group: Text,
    version: Text,
    resource: Text,
    subresource: Text,
    scope: Text,
    component: Text,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabels {
    pub(crate) group: Text,
    pub(crate) version: Text,
    pub(crate) kind: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestKind {
    request_kind: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    reason: Text,
}

const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0, 5.0, 15.0, 60.0];

/// A number of the store and how it is read.
type StoreGauge = (Gauge, fn(&proa_store::Stats) -> u64);

/// All metrics of a server.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    total: Family<Total, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Family<RequestKind, Gauge>,
    rejected: Family<RejectedLabels, Counter>,
    watchers: Family<KindLabels, Gauge>,
    watch_events: Family<KindLabels, Counter>,
    stored: Family<StoredLabels, Gauge>,
    entry_bytes: Family<StoredLabels, Gauge>,
    store: [StoreGauge; 5],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoredLabels {
    resource: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Mutex::default(),
            total: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            in_flight: Family::default(),
            rejected: Family::default(),
            watchers: Family::default(),
            watch_events: Family::default(),
            stored: Family::default(),
            entry_bytes: Family::default(),
            store: [
                (Gauge::default(), |s| s.file_bytes),
                (Gauge::default(), |s| s.batches),
                (Gauge::default(), |s| s.writes),
                (Gauge::default(), |s| s.conflicts),
                (Gauge::default(), |s| s.failures),
            ],
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = self.registry.get_mut();
        registry.register("apiserver_request", "Requests answered", self.total.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "Time until the answer began, watches apart",
            self.seconds.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "apiserver_flowcontrol_rejected_requests",
            "Requests refused by priority and fairness",
            self.rejected.clone(),
        );
        registry.register("apiserver_registered_watchers", "Open watches", self.watchers.clone());
        registry.register("apiserver_watch_events", "Watch events sent", self.watch_events.clone());
        registry.register("apiserver_storage_objects", "Stored objects", self.stored.clone());
        let entries = self.entry_bytes.clone();
        registry.register("proa_entry_bytes", "Memory of stored objects and their keys", entries);
        let help = [
            ("apiserver_storage_size_bytes", "Bytes of the store's files"),
            ("proa_store_batches", "Batches made durable since the start"),
            ("proa_store_writes", "Writes committed since the start"),
            ("proa_store_conflicts", "Writes refused because of another write since the start"),
            ("proa_store_failures", "Batches that the disk refused since the start"),
        ];
        for ((name, text), (gauge, _)) in help.into_iter().zip(&self.store) {
            registry.register(name, text, gauge.clone());
        }
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, labels: &Labels, dry_run: bool, code: u16, seconds: f64) {
        let total = Total {
            verb: labels.verb.clone(),
            dry_run: if dry_run { "All".into() } else { "".into() },
            group: labels.group.clone(),
            version: labels.version.clone(),
            resource: labels.resource.clone(),
            subresource: labels.subresource.clone(),
            scope: labels.scope.clone(),
            component: "apiserver".into(),
            code,
        };
        self.total.get_or_create(&total).inc();
        if labels.verb != "WATCH" {
            self.seconds.get_or_create(labels).observe(seconds);
        }
    }

    /// The gauge of requests being answered.
    pub(crate) fn in_flight(&self, mutating: bool) -> Gauge {
        let request_kind = if mutating { "mutating" } else { "readOnly" };
        self.in_flight.get_or_create_owned(&RequestKind { request_kind: request_kind.into() })
    }

    /// Counts a request that found no seat.
    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&RejectedLabels { reason: reason.into() }).inc();
    }

    /// Gauge of open watches and counter of sent events of a kind.
    pub(crate) fn watch(&self, labels: &KindLabels) -> (Gauge, Counter) {
        (self.watchers.get_or_create_owned(labels), self.watch_events.get_or_create_owned(labels))
    }

    /// The document.
    pub(crate) fn answer(&self, server: &Server) -> Response {
        let registry = &server.config.registry;
        if let Ok(store) = registry.store() {
            let stats = store.stats();
            for (gauge, read) in &self.store {
                gauge.set(i64::try_from(read(&stats)).unwrap_or(i64::MAX));
            }
        }
        self.stored.clear();
        for (prefix, objects, bytes) in registry.sizes() {
            let labels = StoredLabels { resource: resource_of(&prefix) };
            self.stored.get_or_create(&labels).set(i64::try_from(objects).unwrap_or(i64::MAX));
            self.entry_bytes.get_or_create(&labels).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        let mut text = String::with_capacity(16 << 10);
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry.lock());
        const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        crate::respond::with_type(StatusCode::OK, TYPE, Body::Whole(Bytes::from(text)))
    }
}

/// `/apps/deployments/` as `deployments.apps`.
fn resource_of(prefix: &str) -> String {
    match prefix.trim_matches('/').rsplit_once('/') {
        Some((group, resource)) => format!("{resource}.{group}"),
        None => prefix.trim_matches('/').to_owned(),
    }
}

/// Counts down when a watch ends.
pub(crate) struct OpenWatch(Gauge);

impl OpenWatch {
    pub(crate) fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.dec();
    }
}
