//! Golden cases of the node lifecycle operator, and what passes with time.

use proa_kit::{
    Action, Change, Key, Plan, Timestamp,
    decide::Decider,
    queue::Queue,
    testing::golden::{self, Case},
    views::{LeaseView, NodeView, PodView},
};
use proa_operator_node_lifecycle::{
    NodeLifecycle,
    index::{Item, Nodes},
};
use serde_json::{Value, json};
use std::sync::Arc;

struct World {
    nodes: Nodes,
    wake: Queue<Item>,
}

impl World {
    fn new() -> Self {
        Self { nodes: Nodes::default(), wake: Queue::default() }
    }
    fn node(&mut self, old: Option<NodeView>, new: Option<NodeView>) {
        let change = Change { old: old.map(Arc::new), new: new.map(Arc::new) };
        self.nodes.node(&change, &self.wake);
    }
    fn pod(&mut self, new: PodView) {
        self.nodes.pod(&Change { old: None, new: Some(Arc::new(new)) }, &self.wake);
    }
    fn plan(&mut self, item: &Item, now: Timestamp) -> Plan {
        NodeLifecycle.plan(item, &mut self.nodes, now)
    }
    fn woken(&self) -> Vec<Item> {
        let woken: Vec<Item> = std::iter::from_fn(|| self.wake.try_next()).collect();
        woken.iter().for_each(|item| self.wake.done(item));
        woken
    }
}

fn decode<V: serde::de::DeserializeOwned>(value: &Value) -> V {
    serde_json::from_str(&value.to_string()).expect("well-formed")
}

/// A case is about a node or a pod; `after` seconds earlier it was seen for the first time.
#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case: &Case| {
        let mut world = World::new();
        case.observed::<Vec<NodeView>>("nodes").into_iter().for_each(|node| world.node(None, Some(node)));
        let (name, is_pod) = (&case.object["metadata"]["name"], case.object["kind"] == "Pod");
        let name = name.as_str().expect("a name");
        let item = if is_pod { Item::Pod(Key::new("shop", name)) } else { Item::Node(name.into()) };
        match is_pod {
            true => world.pod(case.object()),
            false => world.node(None, Some(case.object())),
        }
        if let Some(after) = case.observed["after"].as_i64() {
            world.plan(&item, case.now - jiff::SignedDuration::from_secs(after));
        }
        world.plan(&item, case.now)
    });
}

fn node(ready: &str) -> NodeView {
    decode(
        &json!({"metadata": {"name": "n1", "uid": "n1"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}),
    )
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

#[test]
fn a_renewed_lease_keeps_a_node() {
    let mut world = World::new();
    world.node(None, Some(node("True")));
    let item = Item::Node("n1".into());
    assert_eq!(world.plan(&item, at(0)).requeue_after.map(|after| after.as_secs()), Some(50));
    let lease: LeaseView =
        decode(&json!({"metadata": {"name": "n1"}, "spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}));
    world.woken();
    world.nodes.lease(&Change { old: None, new: Some(Arc::new(lease.clone())) }, &world.wake);
    assert_eq!(world.woken(), std::slice::from_ref(&item));
    assert!(world.plan(&item, at(40)).actions.is_empty());
    world.nodes.lease(&Change { old: None, new: Some(Arc::new(lease)) }, &world.wake);
    assert!(world.woken().is_empty(), "the same renewal says nothing new");
    assert!(world.plan(&item, at(89)).actions.is_empty());
    assert!(!world.plan(&item, at(90)).actions.is_empty());
}

#[test]
fn pods_are_woken_when_their_node_changes_for_them() {
    let mut world = World::new();
    let pod: PodView = decode(
        &json!({"metadata": {"name": "a", "namespace": "shop", "uid": "a"}, "spec": {"nodeName": "n1"}}),
    );
    world.node(None, Some(node("True")));
    world.woken();
    world.pod(pod);
    assert!(world.woken().is_empty());
    world.node(Some(node("True")), Some(node("True")));
    assert_eq!(world.woken(), [Item::Node("n1".into())]);
    world.node(Some(node("True")), None);
    assert_eq!(world.woken(), [Item::Pod(Key::new("shop", "a")), Item::Node("n1".into())]);
}

fn reasons(plan: &Plan) -> Vec<&str> {
    let events = plan.actions.iter().filter_map(|action| match action {
        Action::Event(event) => Some(&*event.reason),
        _ => None,
    });
    events.collect()
}

#[test]
fn arrival_and_departure_are_announced_once() {
    let mut world = World::new();
    let item = Item::Node("n1".into());
    world.node(None, Some(node("True")));
    assert_eq!(reasons(&world.plan(&item, at(0))), ["RegisteredNode"]);
    assert!(world.plan(&item, at(1)).actions.is_empty());
    world.node(Some(node("True")), None);
    assert_eq!(reasons(&world.plan(&item, at(2))), ["RemovingNode"]);
    assert!(world.plan(&item, at(3)).actions.is_empty());
    world.node(None, Some(node("True")));
    assert_eq!(reasons(&world.plan(&item, at(4))), ["RegisteredNode"]);
}

/// The taints that a plan leaves on a node, or none if it leaves them alone.
fn taints(plan: &Plan) -> Option<Value> {
    plan.actions.iter().find_map(|action| match action {
        Action::Patch(patch) => patch.patch.pointer("/spec/taints").cloned(),
        _ => None,
    })
}

#[test]
fn no_node_evicts_when_all_fail() {
    let mut failing = node("Unknown");
    failing.spec.taints = decode(&json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]));
    let mut other = node("True");
    other.metadata.name = "n2".into();
    let item = Item::Node("n1".into());
    for (others, left) in [(vec![other], None), (vec![], Some(1))] {
        let mut world = World::new();
        others.into_iter().for_each(|other| world.node(None, Some(other)));
        world.node(None, Some(failing.clone()));
        let taints = taints(&world.plan(&item, at(0)));
        assert_eq!(taints.and_then(|taints| taints.as_array().map(Vec::len)), left);
    }
}

#[test]
fn a_zone_that_fails_evicts_while_another_lives() {
    let in_zone = |name: &str, ready: &str, zone: &str| -> NodeView {
        decode(
            &json!({"metadata": {"name": name, "uid": name, "labels": {"topology.kubernetes.io/zone": zone}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}}),
        )
    };
    let mut world = World::new();
    for name in ["a1", "a2"] {
        world.node(None, Some(in_zone(name, "Unknown", "a")));
    }
    world.node(None, Some(in_zone("b1", "True", "b")));
    world.woken();
    let evicts = |plan: &Plan| taints(plan).is_some_and(|taints| taints.to_string().contains("NoExecute"));
    assert!(evicts(&world.plan(&Item::Node("a1".into()), at(0))));
    // One by one.
    let second = world.plan(&Item::Node("a2".into()), at(1));
    assert!(!evicts(&second) && second.requeue_after.is_some_and(|wait| wait.as_secs() == 9));
    // The last node that lived fails: everybody waits, and so does who evicted already.
    world.node(Some(in_zone("b1", "True", "b")), Some(in_zone("b1", "Unknown", "b")));
    let mut woken = world.woken();
    woken.sort_by_key(|item| format!("{item:?}"));
    woken.dedup();
    assert_eq!(woken, ["a1", "a2", "b1"].map(|name| Item::Node(name.into())));
    assert!(!evicts(&world.plan(&Item::Node("a2".into()), at(20))));
    // A zone of its own pace: what was tainted in `a` does not hold up `b`.
    world.node(None, Some(in_zone("b2", "True", "b")));
    assert!(evicts(&world.plan(&Item::Node("b1".into()), at(21))));
}

#[test]
fn pods_of_a_node_that_is_off_end_at_once() {
    let mut off = node("Unknown");
    off.spec.taints = decode(&json!([{"key": "node.kubernetes.io/out-of-service", "effect": "NoSchedule"}]));
    for (grace, writes) in [(30, 2), (0, 0)] {
        let mut world = World::new();
        world.node(None, Some(off.clone()));
        world.pod(decode(&json!({"metadata": {"name": "a", "namespace": "shop", "uid": "a",
            "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace},
            "spec": {"nodeName": "n1"}})));
        let plan = world.plan(&Item::Pod(Key::new("shop", "a")), at(0));
        assert_eq!(plan.actions.len(), writes, "{plan:?}");
    }
}

#[test]
fn a_kubelet_that_answers_speaks_for_its_pods() {
    for (ready, writes) in [("False", false), ("Unknown", true)] {
        let mut world = World::new();
        world.node(None, Some(node(ready)));
        world.pod(decode(&json!({"metadata": {"name": "a", "namespace": "shop", "uid": "a"},
            "spec": {"nodeName": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})));
        let plan = world.plan(&Item::Pod(Key::new("shop", "a")), at(0));
        assert_eq!(!plan.actions.is_empty(), writes);
    }
}

#[test]
fn a_pod_whose_node_goes_follows_after_the_quarantine() {
    let mut world = World::new();
    world.node(None, Some(node("True")));
    world.pod(decode(
        &json!({"metadata": {"name": "a", "namespace": "shop", "uid": "a"}, "spec": {"nodeName": "n1"}}),
    ));
    world.plan(&Item::Node("n1".into()), at(0));
    world.node(Some(node("True")), None);
    let pod = Item::Pod(Key::new("shop", "a"));
    assert_eq!(world.plan(&pod, at(1)).requeue_after.map(|after| after.as_secs()), Some(40));
    // The departure itself, and timers that are left from before it, change nothing about that.
    world.plan(&Item::Node("n1".into()), at(2));
    assert!(world.plan(&pod, at(40)).actions.is_empty());
    assert_eq!(world.plan(&pod, at(41)).actions.len(), 2);
}
