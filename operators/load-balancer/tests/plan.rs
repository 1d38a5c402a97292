//! Golden cases of the load balancer operator, and random histories of services and nodes against its invariant.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{
    Action, Change, Key, Plan, View,
    queue::Queue,
    testing::golden::{self, Case},
    views::{PodView, ServiceView},
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
        take(case, "classes", |change| index.class(change, &queue));
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

/// A node that may be given to services or not, and is ready or not.
fn node(number: usize, is_included: bool, is_ready: bool) -> Value {
    let status = if is_ready { "True" } else { "False" };
    let labels =
        json!({"node.kubernetes.io/exclude-from-external-load-balancers": (!is_included).to_string()});
    json!({"metadata": {"name": format!("n{number}"), "labels": labels}, "status": {
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
    /// Nodes, and whether they may be given to services.
    nodes: BTreeMap<usize, (bool, Value)>,
    writing: Vec<(Key, Plan)>,
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
    fn node(&mut self, number: usize, is_included: bool, is_ready: bool) {
        let new = node(number, is_included, is_ready);
        let old = self.nodes.insert(number, (is_included, new.clone())).map(|(_, old)| view(&old));
        self.index.node(&Change { old, new: Some(view(&new)) }, &self.queue);
    }
    /// Makes plans and writes what they say, the latest first; what remains is written later. All is well after each write.
    fn work(&mut self, steps: usize, fails: bool) {
        for _ in 0..steps {
            let next = if self.writing.len() < 2 { self.queue.try_next() } else { None };
            if let Some(key) = next {
                let plan = plan(&key, &mut self.index);
                self.writing.push((key, plan));
            } else if let Some((key, plan)) = self.writing.pop() {
                if !fails && self.write(&key, plan) {
                    self.index.settle(&key, &self.queue);
                } else {
                    self.queue.mark(key.clone());
                }
                self.queue.done(&key);
                self.is_distinct();
            } else {
                return;
            }
        }
    }
    fn write(&mut self, key: &Key, plan: Plan) -> bool {
        let which = key.name()[1..].parse().unwrap();
        for action in plan.actions {
            let Action::Patch(patch) = action else { continue };
            match self.services.get_mut(&which) {
                Some(service) if service["metadata"]["uid"] == *patch.target.uid => {
                    service["status"] = patch.patch["status"].clone();
                }
                _ => {
                    // It is tried again until the cache shows that it is gone.
                    self.catch_up(which);
                    return false;
                }
            }
            // The kit waits until the cache shows what it wrote.
            self.catch_up(which);
        }
        true
    }
    fn is_distinct(&self) {
        let written = self.written();
        let distinct: BTreeSet<_> = written.iter().collect();
        assert_eq!(distinct.len(), written.len(), "{written:?}");
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
        steps in prop::collection::vec((0..10usize, 0..5usize, 0..3usize), 1..60),
    ) {
        let mut world = World::default();
        for (step, (what, which, port)) in steps.into_iter().enumerate() {
            match what {
                0 | 1 => {
                    let mut new = service(&format!("s{which}"), &[80 + port, 443]);
                    new["metadata"]["uid"] = format!("{step}").into();
                    world.services.entry(which).or_insert(new);
                }
                2 => drop(world.services.remove(&which)),
                3 | 4 => world.node(which % 3, port > 0, port > 1),
                5 => world.catch_up(which),
                6 | 7 => world.work(which + 1, port == 0),
                _ => world.work(usize::MAX, false),
            }
        }
        (0..5).for_each(|which| world.catch_up(which));
        world.work(usize::MAX, false);
        // All of them want port 443, so on each node that may be given just one has its ports.
        let included = world.nodes.values().filter(|(is_included, _)| *is_included).count();
        let served = if world.services.is_empty() { 0 } else { included };
        prop_assert_eq!(world.written().iter().filter(|(_, port)| *port == 443).count(), served);
    }
}

/// One node, and two services for its port 80, of which the second came first.
fn two_that_want_one_port() -> World {
    let mut world = World::default();
    world.node(1, true, true);
    for which in [2, 1] {
        world.services.insert(which, service(&format!("s{which}"), &[80]));
        world.catch_up(which);
        world.work(usize::MAX, false);
    }
    world
}

#[test]
fn a_node_that_is_not_ready_for_a_moment_loses_nothing() {
    let mut world = two_that_want_one_port();
    for is_ready in [false, true] {
        world.node(1, true, is_ready);
        world.work(usize::MAX, false);
        assert_eq!(world.services[&2]["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
        assert_eq!(world.written().len(), 1);
    }
}

type Step<'a> = &'a dyn Fn(&mut Index, &Queue<Key>);

/// How many of the addresses of two nodes a service with port 80 has after each step, or `None` where it is not woken.
fn steps<const N: usize>(steps: [Step<'_>; N]) -> [Option<usize>; N] {
    let (mut index, queue) = (Index::default(), Queue::default());
    let mut work = |take_in: Step<'_>| {
        take_in(&mut index, &queue);
        let key = queue.try_next()?;
        queue.done(&key);
        let plan = plan(&key, &mut index);
        index.settle(&key, &queue);
        // What it shows stays empty, so that all it is given is written.
        let given = plan.actions.into_iter().find_map(|action| match action {
            Action::Patch(patch) => patch.patch["status"]["loadBalancer"]["ingress"].as_array().map(Vec::len),
            _ => None,
        });
        Some(given.unwrap_or_default())
    };
    work(&|index, queue| {
        [1, 2].into_iter().for_each(|number| index.node(&came(&node(number, true, true)), queue));
        index.service(&came(&service("s", &[80])), queue);
    });
    steps.map(|step| work(step))
}

fn came<V: View>(new: &Value) -> Change<V> {
    Change { old: None, new: Some(view(new)) }
}
fn went<V: View>(old: &Value) -> Change<V> {
    Change { old: Some(view(old)), new: None }
}
fn became<V: View>(old: &Value, new: &Value) -> Change<V> {
    Change { old: Some(view(old)), new: Some(view(new)) }
}

#[test]
fn host_ports_go_from_the_node_where_they_were() {
    let pod = |node: &str, port: u16| {
        let ports = json!([{"containerPort": 80, "hostPort": port}]);
        json!({"metadata": {"name": "p", "namespace": "ns"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "ports": ports}]}})
    };
    let seen = steps([
        &|index, queue| index.pod(&came::<PodView>(&pod("n1", 81)), queue),
        &|index, queue| index.pod(&became(&pod("n1", 81), &pod("n1", 80)), queue),
        &|index, queue| index.pod(&became(&pod("n1", 80), &pod("n2", 80)), queue),
        &|index, queue| index.pod(&went(&pod("n2", 80)), queue),
    ]);
    assert_eq!(seen, [None, Some(1), Some(1), Some(2)]);
}

#[test]
fn node_ports_are_of_the_last_service_that_came() {
    let of = |name: &str, port: u16| {
        json!({"metadata": {"name": name, "namespace": "ns"},
            "spec": {"type": "NodePort", "ports": [{"port": 1, "nodePort": port}]}})
    };
    let seen = steps([
        &|index, queue| index.service(&came(&of("a", 80)), queue),
        &|index, queue| index.service(&came(&of("b", 80)), queue),
        &|index, queue| index.service(&became(&of("a", 80), &of("a", 81)), queue),
        &|index, queue| index.service(&went(&of("b", 80)), queue),
    ]);
    assert_eq!(seen, [Some(0), Some(0), Some(0), Some(2)]);
}

#[test]
fn ingresses_count_while_their_class_is_ours() {
    let class = |is_default: bool| {
        let annotations = json!({"ingressclass.kubernetes.io/is-default-class": is_default.to_string()});
        json!({"metadata": {"name": "proa", "annotations": annotations}, "spec": {"controller": "proa.dev/ingress"}})
    };
    let ingress = |name: &str, class: Option<&str>| {
        let at = json!([{"ip": "192.0.2.1", "ports": [{"port": 80, "protocol": "TCP"}]}]);
        json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"ingressClassName": class},
            "status": {"loadBalancer": {"ingress": at}}})
    };
    let seen = steps([
        &|index, queue| index.ingress(&came(&ingress("a", Some("proa"))), queue),
        &|index, queue| index.class(&came(&class(false)), queue),
        &|index, queue| index.ingress(&came(&ingress("b", Some("proa"))), queue),
        &|index, queue| index.ingress(&came(&ingress("c", Some("other"))), queue),
        &|index, queue| index.ingress(&went(&ingress("a", Some("proa"))), queue),
        &|index, queue| index.ingress(&went(&ingress("b", Some("proa"))), queue),
        &|index, queue| index.ingress(&came(&ingress("d", None)), queue),
        &|index, queue| index.class(&became(&class(false), &class(true)), queue),
        &|index, queue| index.class(&went(&class(true)), queue),
    ]);
    assert_eq!(seen, [None, Some(1), None, None, None, Some(2), None, Some(1), Some(2)]);
}

#[test]
fn what_a_service_loses_is_its_own_until_that_is_written() {
    let mut world = two_that_want_one_port();
    let [first, second] = ["s1", "s2"].map(|name| Key::new("ns", name));
    world.node(1, false, true);
    let late = plan(&second, &mut world.index);
    world.node(1, true, true);
    assert_eq!(plan(&first, &mut world.index).actions.len(), 0);
    assert!(world.write(&second, late));
    world.index.settle(&second, &world.queue);
    assert_eq!(plan(&first, &mut world.index).actions.len(), 1);
}
