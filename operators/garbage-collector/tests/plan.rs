//! Golden cases of the garbage collector, and what wakes whom.

use proa_kit::{
    Change, Kind, Plan,
    queue::Queue,
    testing::golden::{self, Case},
};
use proa_operator_garbage_collector::{
    index::{Bare, Graph, Uid, uid},
    plan::plan,
};
use serde_json::{Value, json};
use std::sync::Arc;

const KINDS: [Kind; 3] = [
    Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets"),
    Kind::namespaced("", "v1", "Pod", "pods"),
    Kind::cluster("", "v1", "Node", "nodes"),
];

fn decode(value: &Value) -> Arc<Bare> {
    Arc::new(serde_json::from_str(&value.to_string()).expect("an object"))
}

struct World {
    graph: Graph,
    wake: Queue<Uid>,
}

impl World {
    fn new() -> Self {
        let (mut graph, wake) = (Graph::default(), Queue::default());
        for kind in &KINDS {
            graph.kind(kind);
        }
        graph.complete(&wake);
        Self { graph, wake }
    }
    fn change(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let kind = old.or(new).and_then(|object| object["kind"].as_str()).unwrap_or("Pod").to_owned();
        let kind = KINDS.iter().position(|own| own.kind == kind).expect("a known kind");
        let change = Change { old: old.map(decode), new: new.map(decode) };
        self.graph.take_in(kind, &change, &self.wake);
    }
    fn plan(&mut self, id: &str) -> Plan {
        plan(uid(id), &mut self.graph)
    }
    fn woken(&self) -> Vec<Uid> {
        let mut woken: Vec<Uid> = std::iter::from_fn(|| self.wake.try_next()).collect();
        woken.iter().for_each(|id| self.wake.done(id));
        woken.sort_unstable();
        woken
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case: &Case| {
        let mut world = World::new();
        for object in case.observed["objects"].as_array().into_iter().flatten() {
            world.change(None, Some(object));
        }
        world.change(None, Some(&case.object));
        for gone in case.observed["gone"].as_array().into_iter().flatten() {
            world.change(None, Some(gone));
            world.change(Some(gone), None);
        }
        world.plan(case.object["metadata"]["uid"].as_str().expect("a uid"))
    });
}

fn set(deleting: bool) -> Value {
    let mut set =
        json!({"kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "shop", "uid": "rs"}});
    if deleting {
        set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        set["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    }
    set
}

fn pod() -> Value {
    json!({"kind": "Pod", "metadata": {"name": "web-a", "namespace": "shop", "uid": "pod", "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "blockOwnerDeletion": true}]}})
}

#[test]
fn a_living_owner_wakes_no_one_and_its_end_wakes_its_dependents() {
    let mut world = World::new();
    world.change(None, Some(&set(false)));
    world.change(None, Some(&pod()));
    assert!(world.woken().is_empty());
    world.change(Some(&set(false)), None);
    assert_eq!(world.woken(), [uid("pod")]);
    let plan = serde_json::to_value(world.plan("pod")).expect("a plan");
    assert_eq!(plan["actions"][0]["delete"]["propagation"], "Background");
}

#[test]
fn an_owner_in_the_foreground_waits_until_its_dependents_are_gone() {
    let mut world = World::new();
    world.change(None, Some(&set(false)));
    world.change(None, Some(&pod()));
    world.change(Some(&set(false)), Some(&set(true)));
    let mut both = [uid("pod"), uid("rs")];
    both.sort_unstable();
    assert_eq!(world.woken(), both);
    assert!(world.plan("rs").actions.is_empty());
    assert_eq!(world.plan("pod").actions.len(), 1);
    world.change(Some(&pod()), None);
    assert_eq!(world.woken(), [uid("rs")]);
    assert_eq!(world.plan("rs").actions.len(), 1);
}

#[test]
fn an_owner_that_was_never_seen_is_asked_for_before_anything_is_deleted() {
    let mut world = World::new();
    world.change(None, Some(&pod()));
    assert_eq!(world.woken(), [uid("pod")]);
    assert!(world.plan("pod").actions.is_empty());
}

#[test]
fn uids_keep_their_digits() {
    assert_eq!(uid("00000000-0000-0000-0000-0000000000ff"), 255);
    assert_ne!(uid("a"), uid("b"));
}
