//! Golden cases of the scheduler, and what it does over several turns.

use proa_kit::{
    Change, Plan, Timestamp,
    decide::Decider,
    queue::Queue,
    testing::golden::{self, Case},
    views::{
        NamespaceView, NodeView, PersistentVolumeClaimView, PersistentVolumeView, PodDisruptionBudgetView,
        PodView, ReplicaSetView, ServiceView, StorageClassView,
    },
};
use proa_operator_scheduler::{Scheduler, index::Cluster, plan::plan};
use serde_json::{Value, json};
use std::sync::Arc;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("well-formed")
}

fn cluster(nodes: Vec<NodeView>, pods: Vec<PodView>) -> Cluster {
    let mut cluster = Cluster::new(1);
    for node in nodes {
        cluster.node(&Change { old: None, new: Some(Arc::new(node)) });
    }
    for pod in pods {
        cluster.pod(&Change { old: None, new: Some(Arc::new(pod)) });
    }
    cluster
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case: &Case| {
        let mut cluster = cluster(case.observed("nodes"), case.observed("pods"));
        for budget in case.observed::<Vec<PodDisruptionBudgetView>>("budgets") {
            cluster.budget(&Change { old: None, new: Some(Arc::new(budget)) });
        }
        stock(&mut cluster, case.observed("claims"), case.observed("volumes"), case.observed("classes"));
        cluster.pod(&Change { old: None, new: Some(Arc::new(case.object())) });
        plan(0, &mut cluster, case.now)
    });
}

fn stock(
    cluster: &mut Cluster,
    claims: Vec<PersistentVolumeClaimView>,
    volumes: Vec<PersistentVolumeView>,
    classes: Vec<StorageClassView>,
) {
    for class in classes {
        cluster.class(&Change { old: None, new: Some(Arc::new(class)) });
    }
    for volume in volumes {
        cluster.volume(&Change { old: None, new: Some(Arc::new(volume)) });
    }
    for claim in claims {
        cluster.claim(&Change { old: None, new: Some(Arc::new(claim)) });
    }
}

fn claim(annotations: &Value, volume: &str) -> PersistentVolumeClaimView {
    decode(&json!({
        "metadata": {"name": "data", "namespace": "d", "uid": "c", "annotations": annotations},
        "spec": {"storageClassName": "local", "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}}}))
}

fn with_claim(name: &str, cpu: &str) -> PodView {
    let mut pod = pod(name, cpu, "");
    pod.spec.volumes = decode(&json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]));
    pod
}

fn local() -> StorageClassView {
    decode(
        &json!({"metadata": {"name": "local"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer"}),
    )
}

#[test]
fn a_pod_counts_on_its_node_until_its_volumes_are_bound_and_is_bound_then() {
    let mut cluster = cluster(vec![node("n1", "1")], vec![]);
    let unbound = Arc::new(claim(&json!({}), ""));
    stock(&mut cluster, vec![(*unbound).clone()], vec![], vec![local()]);
    add(&mut cluster, with_claim("a", "1"));
    let asked = serde_json::to_value(plan(0, &mut cluster, now())).expect("well-formed");
    let patch = &asked["actions"][0]["patch"]["patch"]["metadata"]["annotations"];
    assert_eq!(patch["volume.kubernetes.io/selected-node"], "n1");
    cluster.settled(0, true);
    add(&mut cluster, pod("b", "1", ""));
    assert_eq!(bound_to(&plan(0, &mut cluster, now())), None, "there is no room beside it");
    cluster.settled(0, true);
    let chosen = json!({"volume.kubernetes.io/selected-node": "n1"});
    let waiting = Arc::new(claim(&chosen, ""));
    cluster.claim(&Change { old: Some(unbound), new: Some(waiting.clone()) });
    assert!(!cluster.has_work());
    let done = json!({"volume.kubernetes.io/selected-node": "n1", "pv.kubernetes.io/bind-completed": "yes"});
    cluster.claim(&Change { old: Some(waiting), new: Some(Arc::new(claim(&done, "v"))) });
    assert!(cluster.has_work());
    assert_eq!(bound_to(&plan(0, &mut cluster, now())).as_deref(), Some("n1"));
}

#[test]
fn a_pod_whose_volume_cannot_be_made_gives_its_place_back() {
    let mut cluster = cluster(vec![node("n1", "1")], vec![]);
    stock(&mut cluster, vec![claim(&json!({}), "")], vec![], vec![local()]);
    add(&mut cluster, with_claim("a", "1"));
    plan(0, &mut cluster, now());
    cluster.settled(0, true);
    let chosen = Arc::new(claim(&json!({"volume.kubernetes.io/selected-node": "n1"}), ""));
    cluster.claim(&Change { old: None, new: Some(chosen.clone()) });
    cluster.claim(&Change { old: Some(chosen), new: Some(Arc::new(claim(&json!({}), ""))) });
    add(&mut cluster, pod("b", "1", ""));
    let plan = serde_json::to_value(plan(0, &mut cluster, now())).expect("well-formed");
    let note =
        "running PreBind plugin \"VolumeBinding\": binding volumes: provisioning failed for PVC \"data\"";
    assert_eq!(plan["actions"][0]["event"]["note"], note);
    assert_eq!(plan["actions"][1]["bind"]["node"], "n1");
}

#[test]
fn a_pod_that_lacks_its_claim_is_tried_again_when_that_comes() {
    let mut cluster = cluster(vec![node("n1", "1")], vec![]);
    cluster.class(&Change { old: None, new: Some(Arc::new(local())) });
    add(&mut cluster, with_claim("a", "1"));
    assert_eq!(bound_to(&plan(0, &mut cluster, now())), None);
    cluster.settled(0, true);
    assert!(!cluster.has_work());
    cluster.claim(&Change { old: None, new: Some(Arc::new(claim(&json!({}), ""))) });
    assert!(cluster.has_work());
}

fn node(name: &str, cpu: &str) -> NodeView {
    decode(
        &json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}}),
    )
}

fn pod(name: &str, cpu: &str, node: &str) -> PodView {
    decode(&json!({
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"schedulerName": "default-scheduler", "nodeName": node,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
}

fn decode<V: serde::de::DeserializeOwned>(value: &Value) -> V {
    serde_json::from_str(&value.to_string()).expect("well-formed")
}

fn add(cluster: &mut Cluster, pod: PodView) {
    cluster.pod(&Change { old: None, new: Some(Arc::new(pod)) });
}

fn bound_to(plan: &Plan) -> Option<String> {
    let plan = serde_json::to_value(plan).expect("well-formed");
    plan["actions"][0]["bind"]["node"].as_str().map(str::to_owned)
}

#[test]
fn a_decided_pod_counts_at_once_and_not_twice_when_seen() {
    let mut cluster = cluster(vec![node("n1", "2")], vec![]);
    for name in ["a", "b", "c"] {
        add(&mut cluster, pod(name, "1", ""));
    }
    assert_eq!(bound_to(&plan(0, &mut cluster, now())).as_deref(), Some("n1"));
    cluster.settled(0, true);
    add(&mut cluster, pod("a", "1", "n1"));
    assert_eq!(bound_to(&plan(0, &mut cluster, now())).as_deref(), Some("n1"));
    cluster.settled(0, true);
    assert_eq!(bound_to(&plan(0, &mut cluster, now())), None);
    assert_eq!((cluster.waiting(), cluster.has_work()), (1, false));
}

#[test]
fn a_failed_binding_gives_the_place_back() {
    let mut cluster = cluster(vec![node("n1", "1")], vec![]);
    add(&mut cluster, pod("a", "1", ""));
    assert!(bound_to(&plan(0, &mut cluster, now())).is_some());
    cluster.settled(0, false);
    assert_eq!(plan(0, &mut cluster, now()).requeue_after.map(|after| after.as_secs()), Some(1));
    let later = "2026-01-01T00:00:01Z".parse().expect("well-formed");
    assert!(bound_to(&plan(0, &mut cluster, later)).is_some());
}

#[test]
fn a_misfit_is_tried_again_only_when_a_node_changed_so_that_it_fits() {
    let mut cluster = cluster(vec![node("n1", "1")], vec![pod("big", "1", "n1")]);
    add(&mut cluster, pod("a", "1", ""));
    let queue = Queue::default();
    let turn = |cluster: &mut Cluster| {
        let plan = Scheduler.plan(&0, cluster, now());
        Scheduler.settle(&0, cluster, &proa_kit::Results::default(), &queue);
        plan
    };
    assert_eq!(bound_to(&turn(&mut cluster)), None);
    assert_eq!(queue.try_next(), None);
    cluster.node(&Change { old: None, new: Some(Arc::new(node("small", "500m"))) });
    assert!(turn(&mut cluster).actions.is_empty(), "a node that does not help wakes no pod");
    let gone = Change { old: Some(Arc::new(pod("big", "1", "n1"))), new: None };
    cluster.pod(&gone);
    assert!(cluster.has_work());
    assert_eq!(bound_to(&turn(&mut cluster)).as_deref(), Some("n1"));
}

#[test]
fn a_pod_may_come_before_its_node() {
    let mut cluster = cluster(vec![], vec![pod("early", "1", "n1")]);
    cluster.node(&Change { old: None, new: Some(Arc::new(node("n1", "1"))) });
    add(&mut cluster, pod("a", "1", ""));
    assert_eq!(bound_to(&plan(0, &mut cluster, now())), None);
}

#[test]
fn gated_foreign_and_going_pods_are_left_alone() {
    let mut cluster = cluster(vec![node("n1", "1")], vec![]);
    for change in [
        json!({"spec": {"schedulerName": "mine"}}),
        json!({"spec": {"schedulerName": "default-scheduler", "schedulingGates": [{"name": "wait"}]}}),
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"schedulerName": "default-scheduler"}}),
    ] {
        add(&mut cluster, decode(&change));
    }
    assert!(plan(0, &mut cluster, now()).actions.is_empty() && cluster.waiting() == 0);
}

fn labelled(name: &str, node: &str, extra: &Value) -> PodView {
    let mut spec =
        json!({"schedulerName": "default-scheduler", "nodeName": node, "containers": [{"name": "c"}]});
    for (key, value) in extra.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    decode(
        &json!({"metadata": {"name": name, "namespace": "d", "uid": name, "labels": {"app": "web"}}, "spec": spec}),
    )
}

fn zoned(name: &str, zone: &str) -> NodeView {
    decode(&json!({"metadata": {"name": name, "labels": {"zone": zone, "kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}}))
}

fn rule(kind: &str, topology: &str) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": topology}]}}})
}

/// Places pods of one kind one after the other: where each goes.
fn place(extra: &Value, nodes: Vec<NodeView>, pods: usize) -> Vec<Option<String>> {
    let mut cluster = cluster(nodes, vec![]);
    let places = (0..pods).map(|n| {
        add(&mut cluster, labelled(&format!("p{n}"), "", extra));
        let place = bound_to(&plan(0, &mut cluster, now()));
        cluster.settled(0, true);
        place
    });
    places.collect()
}

#[test]
fn anti_affinity_keeps_pods_apart_both_ways() {
    let nodes = || vec![zoned("a", "z1"), zoned("b", "z1"), zoned("c", "z2")];
    let mut places = place(&rule("podAntiAffinity", "kubernetes.io/hostname"), nodes(), 4);
    assert_eq!(places.pop(), Some(None));
    places.sort();
    assert_eq!(places, [Some("a".to_owned()), Some("b".to_owned()), Some("c".to_owned())]);
    let by_zone = place(&rule("podAntiAffinity", "zone"), nodes(), 3);
    assert_eq!(by_zone.iter().flatten().count(), 2);
    let mut cluster =
        cluster(vec![zoned("a", "z1")], vec![labelled("x", "a", &rule("podAntiAffinity", "zone"))]);
    add(&mut cluster, labelled("plain", "", &json!({})));
    let said = serde_json::to_string(&plan(0, &mut cluster, now())).expect("a plan");
    assert!(said.contains("1 node(s) didn't satisfy existing pods anti-affinity rules."), "{said}");
    cluster.pod(&Change { old: Some(Arc::new(labelled("x", "a", &json!({})))), new: None });
    assert_eq!(bound_to(&plan(0, &mut cluster, now())).as_deref(), Some("a"));
}

#[test]
fn affinity_starts_anywhere_and_then_stays_near() {
    let places =
        place(&rule("podAffinity", "zone"), vec![zoned("a", "z1"), zoned("b", "z2"), zoned("c", "z3")], 3);
    assert!(places[0].is_some());
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
}

#[test]
fn a_spread_that_must_hold_fills_domains_evenly() {
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let nodes = vec![zoned("a", "z1"), zoned("b", "z1"), zoned("c", "z2")];
    let places = place(&spread, nodes, 6);
    assert_eq!(places.iter().flatten().filter(|node| *node == "c").count(), 3, "{places:?}");
}

#[test]
fn domains_follow_the_labels_of_nodes() {
    let apart = rule("podAntiAffinity", "zone");
    let mut cluster = cluster(vec![zoned("a", "z1"), zoned("b", "z1")], vec![labelled("x", "a", &apart)]);
    add(&mut cluster, labelled("y", "", &apart));
    assert_eq!(bound_to(&plan(0, &mut cluster, now())), None);
    let moved = Change { old: Some(Arc::new(zoned("b", "z1"))), new: Some(Arc::new(zoned("b", "z2"))) };
    cluster.node(&moved);
    assert_eq!(bound_to(&plan(0, &mut cluster, now())).as_deref(), Some("b"));
}

fn preference(kind: &str, weight: i32, topology: &str) -> Value {
    json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm":
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": topology}}]}}})
}

/// Where a pod goes when this one is on node `a`, out of two zones.
fn beside(resident: &Value, newcomer: &Value) -> Option<String> {
    let nodes = vec![zoned("a", "z1"), zoned("b", "z1"), zoned("c", "z2")];
    let mut cluster = cluster(nodes, vec![labelled("resident", "a", resident)]);
    add(&mut cluster, labelled("newcomer", "", newcomer));
    bound_to(&plan(0, &mut cluster, now()))
}

#[test]
fn pods_that_like_each_other_come_together() {
    let (near, away, plain) = (
        preference("podAffinity", 100, "kubernetes.io/hostname"),
        preference("podAntiAffinity", 100, "zone"),
        json!({}),
    );
    assert_eq!(beside(&plain, &near).as_deref(), Some("a"));
    assert_eq!(beside(&plain, &away).as_deref(), Some("c"));
    // What is there has its wishes too.
    assert_eq!(beside(&near, &plain).as_deref(), Some("a"));
    assert_eq!(beside(&away, &plain).as_deref(), Some("c"));
    assert_eq!(beside(&rule("podAffinity", "kubernetes.io/hostname"), &plain).as_deref(), Some("a"));
    assert_eq!(beside(&plain, &plain).as_deref(), Some("b"), "else the emptiest node");
}

#[test]
fn wishes_go_with_the_pods_that_have_them() {
    let near = preference("podAffinity", 100, "kubernetes.io/hostname");
    let nodes = vec![zoned("a", "z1"), zoned("b", "z1")];
    let mut cluster =
        cluster(nodes, vec![labelled("resident", "a", &near), labelled("other", "b", &json!({}))]);
    cluster.pod(&Change { old: Some(Arc::new(labelled("resident", "a", &near))), new: None });
    add(&mut cluster, labelled("newcomer", "", &json!({})));
    assert_eq!(bound_to(&plan(0, &mut cluster, now())).as_deref(), Some("a"), "the empty node");
}

#[test]
fn a_spread_that_should_hold_does_where_it_can() {
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let nodes = vec![zoned("a", "z1"), zoned("b", "z1"), zoned("c", "z2")];
    let places = place(&spread, nodes, 6);
    assert_eq!(places.iter().flatten().filter(|node| *node == "c").count(), 3, "{places:?}");
    let unlabelled = vec![node("plain", "4")];
    assert_eq!(place(&spread, unlabelled, 2).iter().flatten().count(), 2, "nothing is kept away");
}

fn namespace(labels: &Value) -> Arc<NamespaceView> {
    Arc::new(decode(&json!({"metadata": {"name": "d", "labels": labels}})))
}

#[test]
fn rules_select_namespaces_by_labels() {
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone",
         "namespaceSelector": {"matchLabels": {"team": "red"}}}]}}});
    let mut cluster = cluster(vec![zoned("a", "z1")], vec![labelled("resident", "a", &json!({}))]);
    let red = namespace(&json!({"team": "red"}));
    cluster.namespace(&Change { old: None, new: Some(red.clone()) });
    add(&mut cluster, labelled("newcomer", "", &apart));
    assert_eq!(bound_to(&plan(0, &mut cluster, now())), None);
    cluster.namespace(&Change { old: Some(red), new: Some(namespace(&json!({"team": "blue"}))) });
    let later = "2026-01-01T00:01:00Z".parse().expect("well-formed");
    assert_eq!(bound_to(&plan(0, &mut cluster, later)).as_deref(), Some("a"));
}

/// Names of the nodes where the pods of a selection go, one after the other, out of three nodes in two zones. The node
/// of the second zone is the fullest.
fn spread_by_default(labels: &Value, owner: &Value, pods: usize) -> Vec<String> {
    let zoned = |name: &str, zone: &str| -> NodeView {
        decode(&json!({
            "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": "40", "memory": "80Gi", "pods": "100"}}}))
    };
    let nodes = vec![zoned("a", "z1"), zoned("b", "z1"), zoned("c", "z2")];
    let mut cluster = cluster(nodes, vec![pod("full", "8", "c")]);
    let service: ServiceView = decode(&json!({"metadata": {"name": "web", "namespace": "d"},
        "spec": {"selector": {"app": "web"}}}));
    cluster.service(&Change { old: None, new: Some(Arc::new(service)) });
    let set: ReplicaSetView = decode(&json!({"metadata": {"name": "set", "namespace": "d"},
        "spec": {"selector": {"matchLabels": {"set": "one"}}}}));
    cluster.replica_set(&Change { old: None, new: Some(Arc::new(set)) });
    let places = (0..pods).map(|n| {
        let name = format!("p{n}");
        add(&mut cluster, decode(&json!({
            "metadata": {"name": name, "namespace": "d", "uid": name, "labels": labels, "ownerReferences": owner},
            "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "c"}]}})));
        let place = bound_to(&plan(0, &mut cluster, now())).expect("a node");
        cluster.settled(0, true);
        place
    });
    places.collect()
}

#[test]
fn pods_that_say_nothing_are_spread_over_zones_with_those_of_their_service_or_controller() {
    let set = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": "s", "controller": true}]);
    for (labels, owner) in [(json!({"app": "web"}), json!([])), (json!({"set": "one"}), set)] {
        let places = spread_by_default(&labels, &owner, 4);
        assert!(places[..2].contains(&"c".to_owned()), "the second zone is not left out: {places:?}");
    }
    let alone = spread_by_default(&json!({"app": "other"}), &json!([]), 4);
    assert!(!alone.contains(&"c".to_owned()), "what nothing selects goes where room is: {alone:?}");
}

#[test]
fn a_node_that_has_the_image_is_preferred_unless_few_have_it() {
    let with_images = |name: &str, size: i64| -> NodeView {
        decode(&json!({"metadata": {"name": name}, "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
            "images": [{"names": ["web@sha256:0", "web:latest"], "sizeBytes": size}]}}))
    };
    let place = |others: usize, size: i64| {
        let mut nodes = vec![node("empty", "4"), with_images("full", size)];
        nodes.extend((0..others).map(|n| node(&format!("other-{n}"), "1")));
        let mut cluster = cluster(nodes, vec![]);
        let mut pod = pod("a", "100m", "");
        pod.spec.containers[0].image = "web".into();
        add(&mut cluster, pod);
        bound_to(&plan(0, &mut cluster, now()))
    };
    assert_eq!(place(0, 500 << 20).as_deref(), Some("full"));
    assert_eq!(place(0, 10 << 20).as_deref(), Some("empty"), "too small to count");
    assert_eq!(place(30, 500 << 20).as_deref(), Some("empty"), "too few have it");
}

#[test]
fn only_pods_that_a_change_of_storage_concerns_are_tried_again() {
    let mut cluster = cluster(vec![node("n1", "1")], vec![]);
    cluster.class(&Change { old: None, new: Some(Arc::new(local())) });
    add(&mut cluster, with_claim("a", "1"));
    plan(0, &mut cluster, now());
    cluster.settled(0, true);
    let mut other = claim(&json!({}), "");
    other.metadata.name = "other".into();
    cluster.claim(&Change { old: None, new: Some(Arc::new(other)) });
    assert!(plan(0, &mut cluster, now()).actions.is_empty(), "another claim");
    cluster.settled(0, true);
    assert_eq!(plan(0, &mut cluster, now()).actions.len(), 0);
    cluster.claim(&Change { old: None, new: Some(Arc::new(claim(&json!({}), ""))) });
    assert!(!plan(0, &mut cluster, now()).actions.is_empty(), "its own");
}
