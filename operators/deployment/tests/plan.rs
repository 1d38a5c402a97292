//! Golden cases of the deployment operator, and its status after failed writes.

use proa_kit::{
    Error, Operator, Results, Timestamp,
    testing::golden::{self, Case},
    views::{DeploymentView, PodView, ReplicaSetView},
};
use proa_operator_deployment::{DeploymentOperator, observe::Observed, plan::plan};
use serde_json::json;

fn observed(case: &Case) -> Observed {
    let flag = |part: &str| case.observed.get(part).is_some_and(|value| value == true);
    Observed {
        sets: case.observed::<Vec<ReplicaSetView>>("sets").into_iter().map(Into::into).collect(),
        pods: case.observed::<Vec<PodView>>("pods").into_iter().map(Into::into).collect(),
        may_adopt: flag("mayAdopt"),
        name_taken: flag("nameTaken"),
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<DeploymentView>(), &observed(case), case.now)
    });
}

#[test]
fn a_refused_replica_set_shows_in_the_progress() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let deployment: DeploymentView = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"replicas": 2, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {}}},
    }))
    .unwrap();
    let observed = Observed::default();
    let plan = plan(&deployment, &observed, now);
    let status = kube::core::Status {
        code: 403,
        message: "exceeded quota: q".to_owned(),
        ..kube::core::Status::default()
    };
    let refused = Error::api("create replicasets", kube::Error::Api(status.boxed()));
    let results = Results(vec![Err(refused)]);
    let status = DeploymentOperator.settle(&deployment, &observed, &plan, &results, now).unwrap();
    let condition = &status["conditions"][0];
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("ReplicaSetCreateError"))
    );
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.starts_with("Failed to create new replica set \"web-")
            && message.ends_with("\": exceeded quota: q"),
        "{message}"
    );
}
