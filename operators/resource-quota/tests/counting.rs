//! Whatever order events come in: a limit holds, nothing that is used is ever given back, and in the end the count is
//! right.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use proa_kit::{Action, Change, Key, Timestamp, queue::Queue};
use proa_meta::GroupResource;
use proa_operator_resource_quota::{
    index::{Ledger, Need, QuotaView},
    plan::plan,
};
use proa_quota::{Item, Quota, charge};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

const LIMIT: i64 = 1000;

/// An API server with one quota, and the events that it has still to send.
struct Server {
    revision: u64,
    pods: BTreeMap<u32, i64>,
    named: u32,
    used: (u64, Value),
    quota_events: VecDeque<Arc<QuotaView>>,
    pod_events: VecDeque<(u64, u32, Option<Item>)>,
}

/// The operator.
struct Counter {
    ledger: Ledger,
    wake: Queue<Key>,
    seen: Arc<QuotaView>,
}

#[derive(Clone, Debug)]
enum Step {
    Create(i64),
    Delete(usize),
    TellQuota,
    TellPod,
    Count,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1i64..400).prop_map(Step::Create),
        (0usize..8).prop_map(Step::Delete),
        Just(Step::TellQuota),
        Just(Step::TellPod),
        Just(Step::Count),
    ];
    prop::collection::vec(step, 0..80)
}

fn pods() -> Need {
    Need { namespace: "shop".into(), resource: GroupResource::new("", "pods") }
}

fn key() -> Key {
    Key::new("shop", "q")
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn pod(cpu: i64) -> Item {
    let pod = json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": format!("{cpu}m")}}}]}});
    Item::read(&pods().resource, &pod).unwrap()
}

impl Server {
    fn new() -> Self {
        Self {
            revision: 1,
            pods: BTreeMap::new(),
            named: 0,
            used: (1, json!({"cpu": "0", "pods": "0"})),
            quota_events: VecDeque::new(),
            pod_events: VecDeque::new(),
        }
    }
    fn quota(&self) -> Value {
        let hard = json!({"cpu": format!("{LIMIT}m"), "pods": "5"});
        json!({"metadata": {"name": "q", "namespace": "shop", "uid": "u", "resourceVersion": self.used.0.to_string()},
            "spec": {"hard": hard}, "status": {"hard": hard, "used": self.used.1}})
    }
    fn view(&self) -> Arc<QuotaView> {
        Arc::new(serde_json::from_str(&self.quota().to_string()).unwrap())
    }
    fn store(&mut self, used: Value) -> u64 {
        self.used = (self.revision, used);
        self.quota_events.push_back(self.view());
        self.revision
    }
    /// As admission does it: the object and the charge in one write.
    fn create(&mut self, cpu: i64) {
        let quota: Quota = serde_json::from_value(self.quota()).unwrap();
        let Ok(charged) = charge(&[quota], &pods().resource, &pod(cpu), None, now()) else { return };
        self.revision += 1;
        self.named += 1;
        self.pods.insert(self.named, cpu);
        self.pod_events.push_back((self.revision, self.named, Some(pod(cpu))));
        let used = charged[0].used.iter().map(|(name, quantity)| (name.clone(), json!(quantity.to_string())));
        let used = used.collect();
        self.store(used);
    }
    fn delete(&mut self, at: usize) {
        let Some(name) = self.pods.keys().nth(at).copied() else { return };
        self.revision += 1;
        self.pods.remove(&name);
        self.pod_events.push_back((self.revision, name, None));
    }
    fn used(&self) -> (i64, usize) {
        let of = |name: &str| -> proa_meta::quantity::Quantity {
            self.used.1[name].as_str().unwrap().parse().unwrap()
        };
        (of("cpu").milli_value(), usize::try_from(of("pods").value()).unwrap())
    }
    fn actual(&self) -> (i64, usize) {
        (self.pods.values().sum(), self.pods.len())
    }
}

impl Counter {
    fn new(server: &Server) -> Self {
        let mut counter = Self { ledger: Ledger::default(), wake: Queue::default(), seen: server.view() };
        counter.ledger.quota(&Change { old: None, new: Some(server.view()) }, &counter.wake);
        counter.ledger.complete(&pods(), true, &counter.wake);
        counter
    }
    fn tell_quota(&mut self, server: &mut Server) {
        let Some(new) = server.quota_events.pop_front() else { return };
        let old = std::mem::replace(&mut self.seen, new.clone());
        self.ledger.quota(&Change { old: Some(old), new: Some(new) }, &self.wake);
    }
    fn tell_pod(&mut self, server: &mut Server) {
        let Some((revision, name, item)) = server.pod_events.pop_front() else { return };
        // A deleted object is seen in its last state, with an old version.
        let revision = if item.is_some() { revision } else { 0 };
        self.ledger.object(&pods(), &name.to_string(), revision, item, &self.wake);
    }
    /// Whether it wrote.
    fn count(&mut self, server: &mut Server) -> bool {
        let plan = plan(&key(), &mut self.ledger, now());
        let Some(Action::Status(status)) = plan.actions.into_iter().next() else { return false };
        if status.target.resource_version != server.used.0 {
            return false;
        }
        server.revision += 1;
        let revision = server.store(status.status["used"].clone());
        self.ledger.wrote(&key(), revision);
        true
    }
}

proptest! {
    #[test]
    fn a_limit_holds_while_counting_lags_behind(steps in steps()) {
        let mut server = Server::new();
        let mut counter = Counter::new(&server);
        for step in steps {
            match step {
                Step::Create(cpu) => server.create(cpu),
                Step::Delete(at) => server.delete(at),
                Step::TellQuota => counter.tell_quota(&mut server),
                Step::TellPod => counter.tell_pod(&mut server),
                Step::Count => { counter.count(&mut server); }
            }
            let ((used, counted), (actual, there)) = (server.used(), server.actual());
            prop_assert!(actual <= used && there <= counted, "{actual}m of {there} pods, {used}m of {counted} counted");
            prop_assert!(used <= LIMIT && counted <= 5);
        }
        loop {
            while !server.quota_events.is_empty() {
                counter.tell_quota(&mut server);
            }
            while !server.pod_events.is_empty() {
                counter.tell_pod(&mut server);
            }
            if !counter.count(&mut server) {
                break;
            }
        }
        prop_assert_eq!(server.used(), server.actual());
    }
}
