//! Golden cases of the node-ipam operator, and random histories of nodes against the rule that no shares overlap.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use ipnet::Ipv4Net;
use proa_kit::{Action, Change, queue::Queue, testing::golden, views::NodeView};
use proa_operator_node_ipam::{PodNetwork, index::Shares, plan::plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

fn view(value: &Value) -> Arc<NodeView> {
    Arc::new(serde_json::from_str(&value.to_string()).unwrap())
}

fn network(network: &str, node_bits: u8, reserved: usize) -> PodNetwork {
    PodNetwork { network: network.parse().unwrap(), node_bits, reserved }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        let cidr: String = case.observed("clusterCIDR");
        let mut shares = Shares::new(network(&cidr, case.observed("mask"), case.observed("reserved")));
        let queue = Queue::default();
        let others: Vec<Value> = case.observed("nodes");
        for node in others.iter().chain([&case.object]) {
            shares.node(&Change { old: None, new: Some(view(node)) }, &queue);
        }
        plan(&case.object["metadata"]["name"].as_str().unwrap().into(), &mut shares)
    });
}

#[test]
fn reserved_shares_come_last_however_many_nodes_come_and_go() {
    let mut shares = Shares::new(network("10.0.0.0/24", 27, 2));
    let queue: Queue<Arc<str>> = Queue::default();
    let mut come = |name: &str| {
        let node = view(&json!({"metadata": {"name": name, "uid": name}, "spec": {}}));
        shares.node(&Change { old: None, new: Some(node.clone()) }, &queue);
        let plan = plan(&name.into(), &mut shares);
        let Some(Action::Patch(patch)) = plan.actions.into_iter().next() else {
            panic!("{name} gets no share")
        };
        shares.node(&Change { old: Some(node), new: None }, &queue);
        patch.patch["spec"]["podCIDR"].clone()
    };
    for round in 0..20 {
        let given = come(&format!("n{round}"));
        assert!(given != "10.0.0.0/27" && given != "10.0.0.32/27", "{given}");
    }
}

proptest! {
    #[test]
    fn no_two_nodes_have_the_same_addresses(
        steps in prop::collection::vec((0..8usize, 0..10usize), 1..80),
    ) {
        let mut shares = Shares::new(network("10.0.0.0/24", 27, 2));
        let queue: Queue<Arc<str>> = Queue::default();
        // What the API holds, what the cache shows of it.
        let mut nodes: BTreeMap<usize, Value> = BTreeMap::new();
        let mut shown: BTreeMap<usize, Arc<NodeView>> = BTreeMap::new();
        let mut made = 0;
        for (what, which) in steps {
            let name = format!("n{which}");
            match what {
                0 => {
                    made += 1;
                    let node = json!({"metadata": {"name": name, "uid": format!("uid{made}")}, "spec": {}});
                    nodes.entry(which).or_insert(node);
                }
                1 => drop(nodes.remove(&which)),
                // The cache catches up about one node.
                2..5 => {
                    let new = nodes.get(&which).map(view);
                    let old = match &new {
                        Some(new) => shown.insert(which, new.clone()),
                        None => shown.remove(&which),
                    };
                    if old.is_some() || new.is_some() {
                        shares.node(&Change { old, new }, &queue);
                    }
                }
                _ => {
                    while let Some(name) = queue.try_next() {
                        queue.done(&name);
                        let number: usize = name.trim_start_matches('n').parse().unwrap();
                        for action in plan(&name, &mut shares).actions {
                            let Action::Patch(patch) = action else { continue };
                            let node = nodes.get_mut(&number);
                            let Some(node) = node.filter(|node| node["metadata"]["uid"] == *patch.target.uid) else {
                                // It is another by now, and the write fails.
                                shares.take_back(&name, &queue);
                                continue;
                            };
                            let given = &patch.patch["spec"]["podCIDR"];
                            prop_assert!(node["spec"]["podCIDR"].is_null() || node["spec"]["podCIDR"] == *given);
                            node["spec"]["podCIDR"] = given.clone();
                        }
                    }
                }
            }
            let given: Vec<Ipv4Net> = nodes.values().filter_map(|node| node["spec"]["podCIDR"].as_str()?.parse().ok()).collect();
            for (at, one) in given.iter().enumerate() {
                prop_assert!(given[at + 1..].iter().all(|other| !one.contains(other) && !other.contains(one)), "{given:?}");
            }
        }
    }
}
