//! Golden cases of the disruption operator.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{
    Plan, Timestamp,
    testing::golden::{self, Case},
    views::{PodDisruptionBudgetView, PodView},
};
use proa_operator_disruption::{
    observe::{Observed, Scale},
    plan::{plan, stale},
};
use serde_json::{Value, json};

fn observed(case: &Case) -> Observed {
    let scale = match case.observed::<Option<String>>("failure") {
        Some(why) => Err(why),
        None => Ok(Scale { expected: case.observed("scale"), unmanaged: case.observed("unmanaged") }),
    };
    Observed { pods: case.observed::<Vec<PodView>>("pods").into_iter().map(Into::into).collect(), scale }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<PodDisruptionBudgetView>(), &observed(case), case.now)
    });
}

fn decode<V: serde::de::DeserializeOwned>(value: &Value) -> V {
    serde_json::from_str(&value.to_string()).unwrap()
}

#[test]
fn a_status_that_is_current_is_not_written_again() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut budget = json!({"metadata": {"name": "b", "generation": 3}, "spec": {"minAvailable": 1}});
    let pods =
        [json!({"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})];
    let observed = || Observed {
        pods: pods.iter().map(|pod| std::sync::Arc::new(decode(pod))).collect(),
        scale: Ok(Scale::default()),
    };
    budget["status"] = plan(&decode(&budget), &observed(), now).status.unwrap();
    assert_eq!(plan(&decode(&budget), &observed(), now), Plan::default());
}

#[test]
fn a_pod_that_was_not_disrupted_says_so_after_a_while() {
    let pod = |reason: &str, phase: &str| -> PodView {
        decode(&json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "4"},
            "status": {"phase": phase, "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason,
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
    };
    let at = |second: i64| Timestamp::from_second(1_767_225_600 + second).unwrap();
    let waiting = stale::plan(&pod("EvictionByEvictionAPI", "Running"), at(30));
    assert_eq!((waiting.actions.len(), waiting.requeue_after.unwrap().as_secs()), (0, 90));
    assert_eq!(stale::plan(&pod("EvictionByEvictionAPI", "Running"), at(120)).actions.len(), 1);
    assert_eq!(stale::plan(&pod("TerminationByKubelet", "Running"), at(999)), Plan::default());
    assert_eq!(stale::plan(&pod("EvictionByEvictionAPI", "Failed"), at(999)), Plan::default());
}
