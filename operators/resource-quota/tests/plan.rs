//! Golden cases of the resource quota operator: quotas and objects in, the status out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use proa_kit::{
    Change, Key, Plan, View,
    queue::Queue,
    testing::golden::{self, Case},
};
use proa_meta::GroupResource;
use proa_operator_resource_quota::{
    index::{Ledger, Need, QuotaView},
    plan::plan,
};
use proa_quota::Item;
use serde_json::{Value, json};
use std::sync::Arc;

fn view(quota: &Value) -> Arc<QuotaView> {
    Arc::new(serde_json::from_str(&quota.to_string()).unwrap())
}

fn need(name: &str) -> Need {
    let (resource, group) = name.split_once('.').unwrap_or((name, ""));
    Need {
        namespace: "shop".into(),
        resource: GroupResource { group: group.to_owned().into(), resource: resource.to_owned().into() },
    }
}

struct World {
    ledger: Ledger,
    wake: Queue<Key>,
}

impl World {
    fn new(quota: &Value) -> Self {
        let mut world = Self { ledger: Ledger::default(), wake: Queue::default() };
        world.ledger.quota(&Change { old: None, new: Some(view(quota)) }, &world.wake);
        world
    }
    fn object(&mut self, need: &Need, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let revision = object["metadata"]["resourceVersion"].as_str().map_or(1, |text| text.parse().unwrap());
        let item = Item::read(&need.resource, object).unwrap();
        self.ledger.object(need, name, revision, Some(item), &self.wake);
    }
    fn woken(&self) -> Vec<String> {
        let mut woken = Vec::new();
        while let Some(key) = self.wake.try_next() {
            self.wake.done(&key);
            woken.push(key.to_string());
        }
        woken
    }
}

fn run(case: &Case) -> Plan {
    let mut world = World::new(&case.object);
    let books: Value = case.observed("books");
    for (name, objects) in books.as_object().into_iter().flatten() {
        let need = need(name);
        for object in objects.as_array().into_iter().flatten() {
            world.object(&need, object);
        }
        world.ledger.complete(&need, !objects.is_null(), &world.wake);
    }
    let changed: Option<Value> = case.observed("changed");
    if let Some(changed) = changed {
        let change = Change { old: Some(view(&case.object)), new: Some(view(&changed)) };
        world.ledger.quota(&change, &world.wake);
    }
    plan(&view(&case.object).key(), &mut world.ledger, case.now)
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", run);
}

#[test]
fn only_changes_that_cost_wake_a_quota() {
    let hard = json!({"pods": "5", "services": "1"});
    let quota = json!({"metadata": {"name": "q", "namespace": "shop"}, "spec": {"hard": hard}});
    let mut world = World::new(&quota);
    let pods = need("pods");
    world.woken();
    world.object(&pods, &json!({"metadata": {"name": "a"}}));
    assert!(world.woken().is_empty(), "the book is not complete");
    world.ledger.complete(&pods, true, &world.wake);
    assert_eq!(world.woken(), ["shop/q"]);
    let pod = |phase: &str| json!({"metadata": {"name": "a"}, "status": {"phase": phase}});
    world.object(&pods, &pod("Running"));
    assert!(world.woken().is_empty(), "nothing that costs");
    world.object(&pods, &pod("Succeeded"));
    assert_eq!(world.woken(), ["shop/q"]);
    world.ledger.object(&pods, "a", 9, None, &world.wake);
    assert_eq!(world.woken(), ["shop/q"]);
    let needs: Vec<_> = world.ledger.needs().into_iter().map(|need| need.resource.to_string()).collect();
    assert_eq!(needs, ["pods", "services"]);
}
