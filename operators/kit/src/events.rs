//! Events for people: `events.k8s.io/v1`, equal ones merged into a series, one source bounded per object.
//!
//! Invariants: recording never blocks and never fails an operator; when too many wait, the newest are dropped. An equal
//! event (all but its time) within six minutes makes a series; its count is written at each doubling, so that no timer is
//! needed. More than 25 events about one object are let through only one in five minutes.
//! Upstream: client-go `tools/events/event_broadcaster.go`, `tools/record/events_cache.go`.

use crate::{
    action::{Event, Severity},
    clock::{Clock, elapsed, rfc3339_micro},
    kind::{Kind, ObjectRef},
};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Where events live.
pub const KIND: Kind = Kind::namespaced("events.k8s.io", "v1", "Event", "events");

/// Events waiting to be written.
const WAITING: usize = 1000;
/// A series ends after this much silence.
const SERIES: Duration = Duration::from_secs(360);
/// Events about one object before they are held back.
const BURST: f64 = 25.0;
/// Then one in this time.
const REFILL: Duration = Duration::from_secs(300);
/// Series and objects remembered.
const REMEMBERED: usize = 4096;

/// Takes events; clones share it.
#[derive(Clone)]
pub struct Recorder(mpsc::Sender<Event>);

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Writes events in the background, as `controller` on `instance`. Must be called inside a tokio runtime; ends when
    /// the last clone is dropped.
    pub fn start(client: Client, controller: &'static str, instance: &str, clock: Arc<dyn Clock>) -> Self {
        let (sender, mut waiting) = mpsc::channel(WAITING);
        let mut correlator = Correlator::new(controller, instance);
        tokio::spawn(async move {
            while let Some(event) = waiting.recv().await {
                if let Some(write) = correlator.correlate(&event, clock.now()) {
                    send(&client, write, &mut correlator).await;
                }
            }
        });
        Self(sender)
    }
    /// Forgets every event: for tests and tools.
    pub fn discard() -> Self {
        Self(mpsc::channel(1).0)
    }
    /// Records an event.
    pub fn record(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.0.try_send(event) {
            tracing::debug!(reason = %event.reason, "too many events wait; dropped");
        }
    }
}

/// What to write for one event.
#[derive(Debug, PartialEq)]
enum Write {
    Create { namespace: Box<str>, body: Value, same: Same },
    Patch { namespace: Box<str>, name: Box<str>, body: Value, same: Same },
}

async fn send(client: &Client, write: Write, correlator: &mut Correlator) {
    let (request, same) = match write {
        Write::Create { namespace, body, same } => {
            (http::Request::post(KIND.path(&namespace, "", "")).body(body.to_string().into_bytes()), same)
        }
        Write::Patch { namespace, name, body, same } => (
            http::Request::patch(KIND.path(&namespace, &name, ""))
                .header(http::header::CONTENT_TYPE, "application/strategic-merge-patch+json")
                .body(body.to_string().into_bytes()),
            same,
        ),
    };
    let Ok(mut request) = request else { return };
    request
        .headers_mut()
        .entry(http::header::CONTENT_TYPE)
        .or_insert(http::HeaderValue::from_static("application/json"));
    if let Err(error) = client.request_text(request).await {
        tracing::debug!(%error, "event was not written");
        correlator.forget(&same);
    }
}

/// What makes two events equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Same {
    regarding: Arc<ObjectRef>,
    severity: Severity,
    reason: Box<str>,
    action: Box<str>,
    note: Box<str>,
    field_path: Box<str>,
}

#[derive(Debug)]
struct Series {
    name: Box<str>,
    count: u32,
    last: Timestamp,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

struct Correlator {
    controller: &'static str,
    instance: Box<str>,
    series: HashMap<Same, Series>,
    buckets: HashMap<Arc<ObjectRef>, Bucket>,
}

impl Correlator {
    fn new(controller: &'static str, instance: &str) -> Self {
        Self { controller, instance: instance.into(), series: HashMap::new(), buckets: HashMap::new() }
    }
    fn correlate(&mut self, event: &Event, now: Timestamp) -> Option<Write> {
        if !self.has_token(&event.regarding, now) {
            return None;
        }
        let same = Same {
            regarding: event.regarding.clone(),
            severity: event.severity,
            reason: event.reason.clone(),
            action: event.action.clone(),
            note: event.note.clone(),
            field_path: event.field_path.clone(),
        };
        let namespace = namespace(&event.regarding);
        if let Some(series) = self.series.get_mut(&same)
            && elapsed(series.last, now) < SERIES
        {
            series.count += 1;
            series.last = now;
            let body = json!({"series": {"count": series.count, "lastObservedTime": rfc3339_micro(now)}});
            return series.count.is_power_of_two().then(|| Write::Patch {
                namespace,
                name: series.name.clone(),
                body,
                same,
            });
        }
        self.trim(now);
        let name: Box<str> = format!("{}.{:x}", event.regarding.name, now.as_nanosecond()).into();
        let body = self.body(event, &namespace, &name, now);
        self.series.insert(same.clone(), Series { name, count: 1, last: now });
        Some(Write::Create { namespace, body, same })
    }
    fn body(&self, event: &Event, namespace: &str, name: &str, now: Timestamp) -> Value {
        let mut regarding = reference(&event.regarding);
        if !event.field_path.is_empty() {
            regarding["fieldPath"] = json!(event.field_path);
        }
        // The API bounds notes to 1 KiB.
        let note: String = event.note.chars().take(1000).collect();
        let mut body = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": rfc3339_micro(now),
            "reportingController": self.controller, "reportingInstance": self.instance,
            "action": if event.action.is_empty() { &event.reason } else { &event.action },
            "reason": event.reason, "regarding": regarding, "note": note, "type": event.severity,
        });
        if let Some(related) = &event.related {
            body["related"] = reference(related);
        }
        body
    }
    fn has_token(&mut self, regarding: &Arc<ObjectRef>, now: Timestamp) -> bool {
        let bucket = self.buckets.entry(regarding.clone()).or_insert(Bucket { tokens: BURST, filled: now });
        let refill = elapsed(bucket.filled, now).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + refill).min(BURST);
        bucket.filled = now;
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        granted
    }
    /// Drops what is too old to matter once there is much of it.
    fn trim(&mut self, now: Timestamp) {
        if self.series.len() >= REMEMBERED {
            self.series.retain(|_, series| elapsed(series.last, now) < SERIES);
        }
        if self.buckets.len() >= REMEMBERED {
            self.buckets.retain(|_, bucket| elapsed(bucket.filled, now) < REFILL);
        }
    }
    fn forget(&mut self, same: &Same) {
        self.series.remove(same);
    }
}

/// An object as events name it.
fn reference(object: &ObjectRef) -> Value {
    let mut reference =
        json!({"apiVersion": object.kind.api_version(), "kind": object.kind.kind, "name": object.name});
    for (field, value) in [("namespace", &object.namespace), ("uid", &object.uid)] {
        if !value.is_empty() {
            reference[field] = json!(value);
        }
    }
    reference
}

/// Events about cluster-scoped objects live in `default`.
fn namespace(regarding: &ObjectRef) -> Box<str> {
    if regarding.namespace.is_empty() { "default".into() } else { regarding.namespace.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;

    fn event(note: &str) -> Event {
        let regarding =
            Arc::new(ObjectRef::new(Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets"), "ns", "a"));
        match Action::normal(&regarding, "SuccessfulCreate", note) {
            Action::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn equal_events_become_a_series_written_at_each_doubling() {
        let mut correlator = Correlator::new("replicaset-controller", "here");
        assert!(matches!(correlator.correlate(&event("x"), at(0)), Some(Write::Create { .. })));
        let counts: Vec<u64> = (1..9)
            .filter_map(|second| match correlator.correlate(&event("x"), at(second)) {
                Some(Write::Patch { body, .. }) => body["series"]["count"].as_u64(),
                _ => None,
            })
            .collect();
        assert_eq!(counts, [2, 4, 8]);
        assert!(matches!(correlator.correlate(&event("y"), at(9)), Some(Write::Create { .. })));
        assert!(matches!(correlator.correlate(&event("x"), at(1000)), Some(Write::Create { .. })));
    }

    #[test]
    fn one_object_cannot_flood() {
        let mut correlator = Correlator::new("c", "here");
        let written = |correlator: &mut Correlator, from: i64, second: i64| {
            (from..from + 40)
                .filter(|n| correlator.correlate(&event(&n.to_string()), at(second)).is_some())
                .count()
        };
        assert_eq!(written(&mut correlator, 0, 0), 25);
        assert_eq!(written(&mut correlator, 100, 600), 2);
    }

    #[test]
    fn the_body_names_who_and_what() {
        let mut correlator = Correlator::new("replicaset-controller", "here");
        let related = ObjectRef::new(Kind::namespaced("", "v1", "Pod", "pods"), "ns", "b");
        let event = Event { related: Some(Arc::new(related)), ..event("Created pod: b") };
        let Some(Write::Create { namespace, body, .. }) = correlator.correlate(&event, at(1)) else {
            panic!("not created")
        };
        assert_eq!(&*namespace, "ns");
        assert_eq!(body["metadata"]["name"], "a.3b9aca00");
        assert_eq!(
            body["regarding"],
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "namespace": "ns"})
        );
        assert_eq!(
            body["related"],
            json!({"apiVersion": "v1", "kind": "Pod", "name": "b", "namespace": "ns"})
        );
        assert_eq!(body["type"], "Normal");
        assert_eq!(body["eventTime"], "1970-01-01T00:00:01.000000Z");
    }
}
