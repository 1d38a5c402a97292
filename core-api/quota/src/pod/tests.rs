use super::*;
use serde_json::{Value, json};

fn priced(pod: &Value) -> Priced {
    read(pod).unwrap()
}

fn text(list: &Amounts) -> String {
    crate::amounts::text(list)
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_pod_costs_what_its_containers_ask_for_at_once() {
    let pod = priced(&json!({"spec": {
        "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "500m", "example.com/gpu": "2"}, "limits": {"cpu": "1"}}},
            {"name": "b", "resources": {"requests": {"memory": "1Gi"}}}],
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
            {"name": "init", "resources": {"requests": {"cpu": "2", "hugepages-2Mi": "4Mi"}}}],
        "overhead": {"cpu": "10m"}}}));
    assert_eq!(
        text(&pod.usage(now())),
        "count/pods=1,cpu=2110m,hugepages-2Mi=4Mi,limits.cpu=1010m,memory=1Gi,pods=1,requests.cpu=2110m,\
         requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi,requests.memory=1Gi"
    );
}

#[test]
fn resources_of_the_whole_pod_take_the_containers_place() {
    let pod = priced(&json!({"spec": {
        "resources": {"requests": {"cpu": "3"}},
        "containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}}}]}}));
    assert_eq!(
        text(&pod.compute),
        "cpu=3,ephemeral-storage=1Gi,pods=1,requests.cpu=3,requests.ephemeral-storage=1Gi"
    );
    assert!(pod.unset.is_empty(), "containers need not say anything then");
}

#[test]
fn a_resize_counts_for_the_larger_of_old_and_new() {
    let pod = |phase: &str, reason: &str| {
        priced(&json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {"phase": phase, "conditions": [{"type": "PodResizePending", "reason": reason}],
            "containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "2"},
                "resources": {"requests": {"cpu": "500m"}}}]}}))
    };
    assert_eq!(pod("Running", "Deferred").compute["cpu"].to_string(), "2");
    let larger =
        priced(&json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "3"}}}]},
        "status": {"conditions": [{"type": "PodResizePending", "reason": "Infeasible"}],
            "containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "2"}}]}}));
    assert_eq!(larger.compute["cpu"].to_string(), "2", "what cannot be given is not counted");
}

#[test]
fn what_has_ended_costs_only_its_place() {
    let of = |metadata: Value, phase: &str| {
        let pod = priced(&json!({"metadata": metadata, "status": {"phase": phase}}));
        text(&pod.usage(now()))
    };
    assert_eq!(of(json!({}), "Failed"), "count/pods=1");
    assert_eq!(of(json!({}), "Running"), "count/pods=1,pods=1");
    let until = "2025-12-31T23:59:50Z";
    let going = |seconds: i64| json!({"deletionTimestamp": until, "deletionGracePeriodSeconds": seconds});
    assert_eq!(of(going(30), "Running"), "count/pods=1,pods=1");
    assert_eq!(of(going(5), "Running"), "count/pods=1", "a pod that is stuck does not hold quota for ever");
}

#[test]
fn containers_must_say_what_they_want_of_limited_resources() {
    let pod = priced(&json!({"spec": {
        "containers": [{"name": "b"}, {"name": "a", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}}],
        "initContainers": [{"name": "c"}]}}));
    let limited =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), ())).collect::<BTreeMap<_, _>>();
    assert_eq!(
        pod.must_specify(&limited(&["memory", "limits.cpu", "pods", "ephemeral-storage"])),
        Err("must specify limits.cpu for: b,c; memory for: a,b,c".to_owned())
    );
    assert_eq!(pod.must_specify(&limited(&["pods", "requests.ephemeral-storage"])), Ok(()));
}

#[test]
fn scopes_are_seen() {
    let pod = |spec: Value| priced(&json!({ "spec": spec }));
    assert!(
        pod(json!({"containers": [{"resources": {"requests": {"cpu": "0", "example.com/a": "1"}}}]}))
            .best_effort
    );
    assert!(!pod(json!({"initContainers": [{"resources": {"limits": {"memory": "1"}}}]})).best_effort);
    assert!(pod(json!({"activeDeadlineSeconds": 0})).terminating);
    let near = |term: Value| {
        pod(json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 1, "podAffinityTerm": term}]}}}))
    };
    assert!(near(json!({"namespaceSelector": {}})).cross_namespace);
    assert!(near(json!({"namespaces": ["a"]})).cross_namespace);
    assert!(!near(json!({"topologyKey": "zone"})).cross_namespace);
}
