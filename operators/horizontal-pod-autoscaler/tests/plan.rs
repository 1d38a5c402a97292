//! Golden cases of the horizontal pod autoscaler.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{
    Action, Error, Key, Kind, Operator, Plan, Results,
    testing::golden::{self, Case},
    views::{HorizontalPodAutoscalerView, PodView},
};
use proa_operator_horizontal_pod_autoscaler::{
    AutoscalerOperator,
    observe::{Observed, Reading, Sample, Scale},
    plan::plan,
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Deserialize)]
struct ScaleCase {
    replicas: i32,
    #[serde(default)]
    present: Option<i32>,
    #[serde(default)]
    selector: Box<str>,
}

/// One of the three.
#[derive(Default, Deserialize)]
struct ReadingCase {
    pods: Option<BTreeMap<Box<str>, Sample>>,
    values: Option<Vec<i64>>,
    error: Option<String>,
}

fn observed(case: &Case) -> Observed {
    let scale = case.observed::<Option<ScaleCase>>("scale").map(|scale| Scale {
        kind: Kind::namespaced("apps", "v1", "Deployment", "deployments"),
        uid: "web-1".into(),
        replicas: scale.replicas,
        present: scale.present.unwrap_or(scale.replicas),
        selector: scale.selector,
    });
    let reading = |reading: ReadingCase| match reading {
        ReadingCase { pods: Some(pods), .. } => Ok(Reading::Pods(pods)),
        ReadingCase { values: Some(values), .. } => Ok(Reading::Values(values)),
        ReadingCase { error, .. } => Err(error.unwrap_or_default()),
    };
    Observed {
        scale: Some(scale.ok_or_else(|| case.observed("failure"))),
        pods: case.observed::<Vec<PodView>>("pods").into_iter().map(Arc::new).collect(),
        selecting: case
            .observed::<Vec<String>>("selecting")
            .iter()
            .map(|name| Key::new("shop", name))
            .collect(),
        readings: case.observed::<Vec<ReadingCase>>("readings").into_iter().map(reading).collect(),
        history: case.observed("history"),
        ..Observed::default()
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<HorizontalPodAutoscalerView>(), &observed(case), case.now)
    });
}

fn above_max() -> Case {
    let json = serde_json::json!({
        "object": {"metadata": {"name": "web", "namespace": "shop", "uid": "a-1", "generation": 2},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}},
            "status": {"currentReplicas": 1, "desiredReplicas": 1, "lastScaleTime": "2025-01-01T00:00:00Z"}},
        "observed": {"scale": {"replicas": 5}}});
    serde_json::from_str(&json.to_string()).unwrap()
}

#[test]
fn a_status_that_is_current_is_not_written_again() {
    let mut case = above_max();
    case.observed = serde_json::json!({"scale": {"replicas": 0}});
    let first = plan(&case.object::<HorizontalPodAutoscalerView>(), &observed(&case), case.now);
    case.object["status"] = first.status.clone().unwrap();
    let second = plan(&case.object::<HorizontalPodAutoscalerView>(), &observed(&case), case.now);
    assert_eq!((second.status, second.actions.len()), (None, 0));
}

#[test]
fn a_scale_that_could_not_be_changed_is_said() {
    let (case, operator) = (above_max(), AutoscalerOperator::default());
    let (autoscaler, observed) = (case.object::<HorizontalPodAutoscalerView>(), observed(&case));
    let plan: Plan = operator.plan(&autoscaler, &observed, case.now);
    assert!(matches!(&*plan.actions, [Action::Patch(patch)] if patch.subresource == "scale"));
    let results = Results(vec![Err(Error::Invalid("no".to_owned()))]);
    let status = operator.settle(&autoscaler, &observed, &plan, &results, case.now).unwrap();
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&5.into(), &1.into()));
    assert_eq!(status["lastScaleTime"], "2025-01-01T00:00:00Z");
    let conditions = status["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 1);
    assert_eq!(conditions[0]["reason"], "FailedUpdateScale");
    assert_eq!(conditions[0]["message"], "the HPA controller was unable to update the target scale: no");
}
