//! Golden cases of the cron job operator, and its status after the writes.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{
    Error, Key, Operator, Results, Timestamp, Typed,
    act::Written,
    testing::golden::{self, Case},
    views::{CronJobView, JobView},
};
use proa_operator_cronjob::{CronJobOperator, observe::Observed, plan::plan};
use serde_json::{Value, json};

fn observed(case: &Case) -> Observed {
    let jobs = |part: &str| case.observed::<Vec<JobView>>(part).into_iter().map(Into::into).collect();
    Observed {
        jobs: jobs("jobs"),
        strangers: jobs("strangers"),
        changed: case.observed("changed"),
        ..Observed::default()
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<CronJobView>(), &observed(case), case.now)
    });
}

fn cron(active: &Value) -> CronJobView {
    let json = json!({
        "metadata": {"name": "night", "namespace": "ns", "uid": "cj", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Replace", "jobTemplate": {"spec": {}}},
        "status": {"active": active, "lastScheduleTime": "2026-01-01T00:00:00Z"},
    });
    serde_json::from_str(&json.to_string()).unwrap()
}

fn job(name: &str) -> JobView {
    let json = json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "3"}});
    serde_json::from_str(&json.to_string()).unwrap()
}

#[test]
fn a_started_job_is_active_and_a_replaced_one_is_not() {
    let now: Timestamp = "2026-01-01T00:01:00.5Z".parse().unwrap();
    let cron = cron(&json!([{"name": "old", "namespace": "ns", "uid": "old"}]));
    let observed = Observed { jobs: vec![job("old").into()], ..Observed::default() };
    let plan = plan(&cron, &observed, now);
    let (kind, operator) = (JobView::KIND, CronJobOperator::default());
    let deleted =
        || Ok(Written::Deleted { kind: kind.clone(), key: Key::new("ns", "old"), uid: "old".into() });
    let created = Written::At {
        kind: kind.clone(),
        key: Key::new("ns", "new"),
        uid: "new".into(),
        resource_version: 7,
    };
    let settle = |results| operator.settle(&cron, &observed, &plan, &Results(results), now).unwrap();
    let status = settle(vec![deleted(), Ok(created)]);
    assert_eq!(
        status,
        json!({
            "active": [{"kind": "Job", "namespace": "ns", "name": "new", "uid": "new", "apiVersion": "batch/v1",
                "resourceVersion": "7"}],
            "lastScheduleTime": "2026-01-01T00:01:00Z",
        })
    );
    // A job that could not be created was not started: it is tried again.
    let status = settle(vec![deleted(), Err(Error::Skipped)]);
    assert_eq!(status, json!({"lastScheduleTime": "2026-01-01T00:00:00Z"}));
}
