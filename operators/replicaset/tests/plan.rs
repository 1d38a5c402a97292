//! Golden cases of the replica set operator, and its status after failed writes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed test says where"
)]

use proa_kit::{
    Error, Operator, Results, Timestamp,
    testing::golden::{self, Case},
    views::{PodView, ReplicaSetView, ReplicationControllerView},
};
use proa_operator_replicaset::{ReplicaSetOperator, observe::Observed, plan::plan};
use serde_json::{Value, json};

fn observed(case: &Case) -> Observed {
    let value = |part: &str| -> bool { case.observed.get(part).is_none_or(|value| value == true) };
    Observed {
        pods: case.observed::<Vec<PodView>>("pods").into_iter().map(Into::into).collect(),
        related: case.observed::<Vec<PodView>>("related").into_iter().map(Into::into).collect(),
        may_adopt: value("mayAdopt"),
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<ReplicaSetView>(), &observed(case), case.now)
    });
}

fn set(status: &Value) -> ReplicaSetView {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {}}},
        "status": status,
    }))
    .unwrap()
}

fn refused(code: u16, message: &str) -> Error {
    let status = kube::core::Status { code, message: message.to_owned(), ..kube::core::Status::default() };
    Error::api("create pods", kube::Error::Api(status.boxed()))
}

#[test]
fn a_refused_creation_shows_as_a_condition_until_one_succeeds() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let (set, observed) = (set(&json!({})), Observed::default());
    let plan = plan(&set, &observed, now);
    let results = Results(vec![Err(refused(403, "exceeded quota: q")), Err(Error::Skipped)]);
    let status = ReplicaSetOperator::default().settle(&set, &observed, &plan, &results, now).unwrap();
    let condition = &status["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["reason"], &condition["message"]),
        (&json!("ReplicaFailure"), &json!("FailedCreate"), &json!("exceeded quota: q"))
    );
    let failed = self::set(&status);
    let status = ReplicaSetOperator::default().plan(&failed, &observed, now).status.unwrap();
    assert!(status.get("conditions").is_none(), "{status}");
}

#[test]
fn a_replication_controller_is_run_by_the_same_code() {
    let rc = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "rc-1", "generation": 1},
        "spec": {"replicas": 2, "selector": {"app": "web"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {}}},
    });
    let pod = json!({
        "metadata": {"name": "a", "namespace": "ns", "uid": "a", "labels": {"app": "web"},
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"uid": "rc-1", "controller": true}]},
        "status": {"phase": "Running"},
    });
    let rc: ReplicationControllerView = serde_json::from_str(&rc.to_string()).unwrap();
    let pod: PodView = serde_json::from_str(&pod.to_string()).unwrap();
    let observed = Observed { pods: vec![pod.into()], ..Observed::default() };
    let plan = serde_json::to_value(plan(&rc, &observed, Timestamp::UNIX_EPOCH)).unwrap();
    let creations = &plan["actions"][0]["batch"]["actions"];
    assert_eq!(creations.as_array().map(Vec::len), Some(2));
    let metadata = &creations[0]["create"]["object"]["metadata"];
    assert_eq!(metadata["ownerReferences"][0]["kind"], "ReplicationController");
    assert_eq!(metadata["ownerReferences"][0]["apiVersion"], "v1");
    // The kind's status has no count of pods that are going.
    assert_eq!(plan["status"], json!({"replicas": 0, "observedGeneration": 1}));
}
