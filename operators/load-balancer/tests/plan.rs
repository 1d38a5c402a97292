//! Golden cases of the load balancer operator, and random histories of services and nodes against its invariant.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{
    Action, Change, Key, View,
    queue::Queue,
    testing::golden::{self, Case},
    views::ServiceView,
};
use proa_operator_load_balancer::{index::Index, plan::plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

fn view<V: View>(value: &Value) -> Arc<V> {
    Arc::new(serde_json::from_str(&value.to_string()).unwrap())
}

fn take<V: View>(case: &Case, part: &str, mut take: impl FnMut(&Change<V>)) {
    for object in case.observed::<Vec<Value>>(part) {
        take(&Change { old: None, new: Some(view(&object)) });
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        let pool: String = case.observed("pool");
        let mut index = Index::new((!pool.is_empty()).then(|| pool.parse().unwrap()));
        let queue = Queue::default();
        take(case, "nodes", |change| index.node(change, &queue));
        take(case, "slices", |change| index.slice(change, &queue));
        take(case, "pods", |change| index.pod(change, &queue));
        take(case, "ingresses", |change| index.ingress(change, &queue));
        take(case, "services", |change: &Change<ServiceView>| {
            index.service(change, &queue);
            // They came first and have what they could have.
            plan(&change.latest().unwrap().key(), &mut index);
        });
        let object = view::<ServiceView>(&case.object);
        index.service(&Change { old: None, new: Some(object.clone()) }, &queue);
        plan(&object.key(), &mut index)
    });
}

fn node(number: usize, is_ready: bool) -> Value {
    let status = if is_ready { "True" } else { "False" };
    json!({"metadata": {"name": format!("n{number}")}, "status": {
        "conditions": [{"type": "Ready", "status": status}],
        "addresses": [{"type": "InternalIP", "address": format!("192.0.2.{number}")}]}})
}

fn service(name: &str, ports: &[usize]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port})).collect();
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": {"type": "LoadBalancer", "ports": ports}})
}

/// What the API holds, and what the caches show of it.
#[derive(Default)]
struct World {
    index: Index,
    queue: Queue<Key>,
    services: BTreeMap<usize, Value>,
    shown: BTreeMap<usize, Arc<ServiceView>>,
    nodes: BTreeMap<usize, bool>,
}

impl World {
    fn catch_up(&mut self, which: usize) {
        let new = self.services.get(&which).map(view::<ServiceView>);
        let old = match &new {
            Some(new) => self.shown.insert(which, new.clone()),
            None => self.shown.remove(&which),
        };
        if old.is_some() || new.is_some() {
            self.index.service(&Change { old, new }, &self.queue);
        }
    }
    fn toggle(&mut self, number: usize, is_ready: bool) {
        let old = self.nodes.insert(number, is_ready).map(|was| view(&node(number, was)));
        self.index.node(&Change { old, new: Some(view(&node(number, is_ready))) }, &self.queue);
    }
    fn work(&mut self) {
        while let Some(key) = self.queue.try_next() {
            self.queue.done(&key);
            let which: usize = key.name()[1..].parse().unwrap();
            let plan = plan(&key, &mut self.index);
            let patches = plan.actions.into_iter().filter_map(|action| match action {
                Action::Patch(patch) => Some(patch.patch["status"].clone()),
                _ => None,
            });
            for status in patches {
                if let Some(service) = self.services.get_mut(&which) {
                    service["status"] = status;
                }
                // The kit waits until the cache shows what it wrote.
                self.catch_up(which);
            }
            self.index.offer(&self.queue);
        }
    }
    /// Ports of addresses by services, as the API has them.
    fn written(&self) -> Vec<(String, i64)> {
        let ingress = |service: &Value| service["status"]["loadBalancer"]["ingress"].as_array().cloned();
        let of = |service: &Value| -> Vec<(String, i64)> {
            let ports: Vec<i64> = service["spec"]["ports"]
                .as_array()
                .unwrap()
                .iter()
                .map(|port| port["port"].as_i64().unwrap())
                .collect();
            let addresses = ingress(service).unwrap_or_default().into_iter();
            addresses
                .flat_map(|at| {
                    ports.iter().map(move |port| (at["ip"].to_string(), *port)).collect::<Vec<_>>()
                })
                .collect()
        };
        self.services.values().flat_map(of).collect()
    }
}

proptest! {
    #[test]
    fn no_two_services_have_the_same_port_of_an_address(
        steps in prop::collection::vec((0..8usize, 0..5usize, 0..3usize), 1..60),
    ) {
        let mut world = World::default();
        for (what, which, port) in steps {
            match what {
                0 | 1 => {
                    world.services.entry(which).or_insert_with(|| service(&format!("s{which}"), &[80 + port, 443]));
                }
                2 => drop(world.services.remove(&which)),
                3 | 4 => world.toggle(which % 3, port > 0),
                5 => world.catch_up(which),
                _ => world.work(),
            }
        }
        (0..5).for_each(|which| world.catch_up(which));
        world.work();
        let written = world.written();
        let distinct: BTreeSet<_> = written.iter().collect();
        prop_assert_eq!(distinct.len(), written.len(), "{:?}", written);
        // All of them want port 443, so on each node that is ready just one has its ports.
        let ready = world.nodes.values().filter(|is_ready| **is_ready).count();
        let served = if world.services.is_empty() { 0 } else { ready };
        prop_assert_eq!(written.iter().filter(|(_, port)| *port == 443).count(), served);
    }
}
