//! Preemption over several turns, and what always holds of it.

use proa_kit::{Change, Plan, Timestamp, decide::Decider, queue::Queue, views::NodeView, views::PodView};
use proa_operator_scheduler::{Scheduler, index::Cluster, plan::plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("well-formed")
}

fn node(name: &str, cpu: u32) -> NodeView {
    decode(&json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": "z"}},
        "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "8Gi", "pods": "10"}}}))
}

fn pod(name: &str, priority: i32, cpu: u32, node: &str) -> PodView {
    decode(&spec(name, priority, cpu, node))
}

fn spec(name: &str, priority: i32, cpu: u32, node: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "d", "uid": name, "labels": {"app": "web"}},
        "spec": {"schedulerName": "default-scheduler", "nodeName": node, "priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu.to_string()}}}]}})
}

fn decode<V: serde::de::DeserializeOwned>(value: &Value) -> V {
    serde_json::from_str(&value.to_string()).expect("well-formed")
}

fn cluster(nodes: Vec<NodeView>, pods: Vec<PodView>) -> Cluster {
    let mut cluster = Cluster::new(2);
    for node in nodes {
        cluster.node(&Change { old: None, new: Some(Arc::new(node)) });
    }
    for pod in pods {
        add(&mut cluster, pod);
    }
    cluster
}

fn add(cluster: &mut Cluster, pod: PodView) {
    cluster.pod(&Change { old: None, new: Some(Arc::new(pod)) });
}

fn gone(cluster: &mut Cluster, pod: PodView) {
    cluster.pod(&Change { old: Some(Arc::new(pod)), new: None });
}

/// A turn of a lane whose writes succeed.
fn turn(cluster: &mut Cluster) -> Plan {
    let plan = plan(0, cluster, now());
    Scheduler.settle(&0, cluster, &proa_kit::Results::default(), &Queue::default());
    plan
}

/// What a plan does to pods: `bind a n1`, `nominate a n1`, `delete b`.
fn done(plan: &Plan) -> Vec<String> {
    let plan = serde_json::to_value(plan).expect("well-formed");
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let actions = plan["actions"].as_array().into_iter().flatten();
    let said = actions.filter_map(|action| {
        let (bind, delete, patch) = (&action["bind"], &action["delete"], &action["patch"]);
        let nominated = &patch["patch"]["status"]["nominatedNodeName"];
        if bind.is_object() {
            Some(format!("bind {} {}", text(&bind["pod"]["name"]), text(&bind["node"])))
        } else if delete.is_object() {
            Some(format!("delete {}", text(&delete["target"]["name"])))
        } else if patch["patch"]["status"]
            .as_object()
            .is_some_and(|own| own.contains_key("nominatedNodeName"))
        {
            Some(format!("nominate {} {}", text(&patch["target"]["name"]), text(nominated)))
        } else {
            None
        }
    });
    said.collect()
}

fn message(plan: &Plan) -> String {
    let plan = serde_json::to_value(plan).expect("well-formed");
    plan["actions"][0]["event"]["note"].as_str().unwrap_or("").to_owned()
}

#[test]
fn a_pod_takes_the_room_that_was_made_for_it() {
    let mut cluster = cluster(vec![node("n1", 2)], vec![pod("low", 1, 2, "n1")]);
    add(&mut cluster, pod("high", 9, 2, ""));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete low"]);
    assert!(!cluster.has_work(), "nothing to do before the victim is gone");
    gone(&mut cluster, pod("low", 1, 2, "n1"));
    assert_eq!(done(&turn(&mut cluster)), ["bind high n1"]);
}

#[test]
fn room_is_kept_from_less_important_pods_and_given_free_with_the_pod() {
    let mut cluster = cluster(vec![node("n1", 2)], vec![pod("low", 1, 2, "n1")]);
    add(&mut cluster, pod("high", 9, 2, ""));
    turn(&mut cluster);
    gone(&mut cluster, pod("low", 1, 2, "n1"));
    // Its replacement is tried before the important pod, which backs off.
    add(&mut cluster, pod("replacement", 1, 1, ""));
    assert!(done(&turn(&mut cluster)).is_empty());
    assert_eq!(done(&turn(&mut cluster)), ["bind high n1"]);
    let mut cluster = self::cluster(vec![node("n1", 2)], vec![]);
    let mut waiting = spec("high", 9, 2, "");
    waiting["status"] = json!({"nominatedNodeName": "n1"});
    waiting["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    add(&mut cluster, decode(&waiting));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high "], "its node is lost to it");
    add(&mut cluster, pod("low", 1, 2, ""));
    assert_eq!(done(&turn(&mut cluster)), ["bind low n1"]);
}

#[test]
fn less_important_pods_wait_while_room_is_kept() {
    let mut cluster = cluster(vec![node("n1", 4)], vec![pod("low", 1, 3, "n1")]);
    add(&mut cluster, pod("high", 9, 2, ""));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete low"]);
    add(&mut cluster, pod("other", 2, 1, ""));
    let plan = turn(&mut cluster);
    assert_eq!(
        done(&plan),
        ["nominate other n1"],
        "one CPU is free, but kept; the same pod makes room for both"
    );
    gone(&mut cluster, pod("low", 1, 3, "n1"));
    let all: Vec<String> = (0..2).flat_map(|_| done(&turn(&mut cluster))).collect();
    assert_eq!(all, ["bind high n1", "bind other n1"]);
}

#[test]
fn a_more_important_pod_takes_the_place_over_and_the_other_looks_for_a_new_one() {
    let mut cluster =
        cluster(vec![node("n1", 2), node("n2", 2)], vec![pod("low", 1, 2, "n1"), pod("mid", 5, 2, "n2")]);
    add(&mut cluster, pod("high", 9, 2, ""));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete low"]);
    add(&mut cluster, pod("highest", 10, 2, ""));
    assert_eq!(done(&turn(&mut cluster)), ["nominate highest n1", "nominate high "]);
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n2", "delete mid"]);
}

#[test]
fn a_pod_whose_room_was_taken_makes_room_again() {
    let mut cluster = cluster(vec![node("n1", 2)], vec![pod("low", 1, 1, "n1"), pod("low-too", 2, 1, "n1")]);
    add(&mut cluster, pod("high", 9, 1, ""));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete low"]);
    // Somebody else's scheduler takes the room.
    gone(&mut cluster, pod("low", 1, 1, "n1"));
    add(&mut cluster, pod("foreign", 9, 1, "n1"));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete low-too"]);
}

#[test]
fn a_failed_deletion_is_tried_again_after_a_while() {
    let mut cluster = cluster(vec![node("n1", 2)], vec![pod("low", 1, 2, "n1")]);
    add(&mut cluster, pod("high", 9, 2, ""));
    assert_eq!(done(&plan(0, &mut cluster, now())), ["nominate high n1", "delete low"]);
    cluster.settled(0, false);
    assert_eq!(plan(0, &mut cluster, now()).requeue_after.map(|after| after.as_secs()), Some(1));
    let later = "2026-01-01T00:00:01Z".parse().expect("well-formed");
    assert_eq!(done(&plan(0, &mut cluster, later)), ["nominate high n1", "delete low"]);
}

#[test]
fn a_pod_is_not_tried_while_others_are_asked_to_go_for_it() {
    let mut cluster = cluster(vec![node("n1", 2)], vec![pod("a", 1, 1, "n1"), pod("b", 1, 1, "n1")]);
    add(&mut cluster, pod("high", 9, 2, ""));
    assert_eq!(done(&plan(0, &mut cluster, now())).len(), 3);
    gone(&mut cluster, pod("a", 1, 1, "n1"));
    gone(&mut cluster, pod("b", 1, 1, "n1"));
    assert!(plan(1, &mut cluster, now()).actions.is_empty());
    cluster.settled(0, true);
    assert_eq!(done(&plan(0, &mut cluster, now())), ["bind high n1"]);
}

#[test]
fn a_pod_that_became_preemptible_by_another_change_is_found() {
    let pods = vec![pod("equal", 9, 6, "n1"), pod("low", 1, 4, "n1")];
    let mut cluster = cluster(vec![node("n1", 10)], pods);
    add(&mut cluster, pod("high", 9, 8, ""));
    let plan = turn(&mut cluster);
    assert!(message(&plan).ends_with("preemption: 0/1 nodes are available: 1 Insufficient cpu."), "{plan:?}");
    gone(&mut cluster, pod("equal", 9, 6, "n1"));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete low"]);
}

#[test]
fn those_that_keep_it_away_go() {
    let apart = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]}});
    let mut shy = spec("shy", 1, 1, "n1");
    shy["spec"]["affinity"] = apart.clone();
    let mut cluster = cluster(vec![node("n1", 4)], vec![decode(&shy), pod("plain", 1, 1, "n1")]);
    add(&mut cluster, pod("high", 9, 1, ""));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete shy"]);
    let mut cluster = self::cluster(vec![node("n1", 4)], vec![pod("a", 1, 1, "n1"), pod("b", 1, 1, "n1")]);
    let mut high = spec("high", 9, 1, "");
    high["spec"]["affinity"] = apart;
    add(&mut cluster, decode(&high));
    assert_eq!(done(&turn(&mut cluster)), ["nominate high n1", "delete a", "delete b"]);
}

#[test]
fn a_spread_is_made_even() {
    // As upstream's end-to-end test: room is there once one has gone, but two must go for the spread to hold.
    let zone = |name: &str, zone: &str| -> NodeView {
        decode(&json!({"metadata": {"name": name, "labels": {"zone": zone}},
            "status": {"allocatable": {"cpu": "10", "memory": "8Gi", "pods": "10"}}}))
    };
    let pods = vec![pod("high", 9, 9, "a"), pod("l1", 1, 3, "b"), pod("l2", 1, 3, "b"), pod("l3", 1, 3, "b")];
    let mut cluster = cluster(vec![zone("a", "z1"), zone("b", "z2")], pods);
    let mut medium = spec("medium", 5, 3, "");
    medium["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    add(&mut cluster, decode(&medium));
    let done = done(&turn(&mut cluster));
    assert_eq!((done.len(), &*done[0]), (3, "nominate medium b"), "{done:?}");
}

/// A pod on a node: priority and CPU.
type Resident = (i32, u32);

fn nodes() -> impl Strategy<Value = Vec<(u32, Vec<Resident>)>> {
    let residents = proptest::collection::vec((0_i32..6, 1_u32..4), 0..7);
    proptest::collection::vec((2_u32..9, residents), 1..6)
}

proptest! {
    /// Only CPU counts here, so what fits can be said without the scheduler.
    #[test]
    fn victims_are_less_important_few_and_enough(all in nodes(), priority in 0_i32..7, asked in 1_u32..7) {
        let mut views = (Vec::new(), Vec::new());
        let mut present: Vec<(String, i32, u32, usize)> = Vec::new();
        for (n, (_, residents)) in all.iter().enumerate() {
            views.0.push(node(&format!("n{n}"), all[n].0));
            for (p, (priority, cpu)) in residents.iter().enumerate() {
                let name = format!("p{n}-{p}");
                views.1.push(pod(&name, *priority, *cpu, &format!("n{n}")));
                present.push((name, *priority, *cpu, n));
            }
        }
        let free = |n: usize, without: &BTreeSet<String>| -> i64 {
            let used: u32 = present.iter()
                .filter(|(name, _, _, at)| *at == n && !without.contains(name)).map(|(_, _, cpu, _)| cpu).sum();
            i64::from(all[n].0) - i64::from(used)
        };
        let lower = |n: usize| -> BTreeSet<String> {
            present.iter().filter(|(_, own, _, at)| *at == n && *own < priority).map(|(name, ..)| name.clone()).collect()
        };
        let asked_for = i64::from(asked);
        let fits_now = (0..all.len()).any(|n| free(n, &BTreeSet::new()) >= asked_for);
        let may_fit = (0..all.len()).any(|n| free(n, &lower(n)) >= asked_for);
        let mut cluster = cluster(views.0, views.1);
        add(&mut cluster, pod("preemptor", priority, asked, ""));
        let done = done(&turn(&mut cluster));
        let bound = done.iter().any(|what| what.starts_with("bind"));
        prop_assert_eq!(bound, fits_now);
        let nominated = done.iter().find_map(|what| what.strip_prefix("nominate preemptor n"));
        prop_assert_eq!(nominated.is_some(), !fits_now && may_fit);
        let victims: BTreeSet<String> =
            done.iter().filter_map(|what| what.strip_prefix("delete ")).map(str::to_owned).collect();
        let Some(n) = nominated.map(|n| n.parse::<usize>().expect("a number")) else {
            prop_assert!(victims.is_empty());
            return Ok(());
        };
        prop_assert!(!victims.is_empty() && victims.is_subset(&lower(n)), "{:?}", victims);
        prop_assert!(free(n, &victims) >= asked_for, "the pod fits then");
        for spared in &victims {
            let mut fewer = victims.clone();
            fewer.remove(spared);
            prop_assert!(free(n, &fewer) < asked_for, "{} need not go", spared);
        }
        let highest = |n: usize, victims: &BTreeSet<String>| {
            present.iter().filter(|(name, _, _, at)| *at == n && victims.contains(name)).map(|(_, own, ..)| *own).max()
        };
        // On no node would it have been enough if only less important ones went.
        let most = highest(n, &victims);
        for other in 0..all.len() {
            let less: BTreeSet<String> = present.iter()
                .filter(|(_, own, _, at)| *at == other && Some(*own) < most && *own < priority)
                .map(|(name, ..)| name.clone()).collect();
            prop_assert!(free(other, &less) < asked_for, "n{} would have done less harm", other);
        }
        // Once they are gone it goes where it was nominated.
        for name in &victims {
            let (_, priority, cpu, at) = present.iter().find(|(own, ..)| own == name).expect("present").clone();
            gone(&mut cluster, pod(name, priority, cpu, &format!("n{at}")));
        }
        let binding = format!("bind preemptor n{n}");
        prop_assert_eq!(self::done(&turn(&mut cluster)), [binding]);
    }
}
