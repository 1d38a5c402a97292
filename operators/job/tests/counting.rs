//! Random jobs against a model of the API server and nodes, with the operator stopped between any two writes: every pod is
//! counted once, and every job ends as it must.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed test says where"
)]

use proa_kit::{
    Action, Timestamp,
    action::{Batch, Create, Delete, Patch},
    views::{JobView, PodView},
};
use proa_operator_job::{observe::Observed, plan::plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const TRACKING: &str = "batch.kubernetes.io/job-tracking";

struct World {
    job: Value,
    pods: Vec<Value>,
    now: Timestamp,
    made: usize,
    ended: (i64, i64),
}

impl World {
    fn new(spec: Value) -> Self {
        let job = json!({"metadata": {"name": "j", "namespace": "ns", "uid": "job", "generation": 1}, "spec": spec});
        Self { job, pods: Vec::new(), now: "2026-01-01T00:00:00Z".parse().unwrap(), made: 0, ended: (0, 0) }
    }
    /// One pass of the operator, stopped after so many writes. Whether it wrote.
    fn pass(&mut self, writes: usize) -> bool {
        let job: JobView = serde_json::from_str(&self.job.to_string()).unwrap();
        let pod = |pod: &Value| Arc::new(serde_json::from_str::<PodView>(&pod.to_string()).unwrap());
        let observed = Observed { pods: self.pods.iter().map(pod).collect(), ..Observed::default() };
        let plan = plan(&job, &observed, self.now);
        if let Some(delay) = plan.requeue_after {
            self.now += delay.min(Duration::from_secs(700));
        }
        let mut left = writes;
        for action in &plan.actions {
            self.write(action, &mut left);
        }
        if let Some(status) = plan.status.as_ref().filter(|_| left > 0) {
            self.job["status"] = status.clone();
        }
        plan.status.is_some() || plan.actions.iter().any(|action| !matches!(action, Action::Event(_)))
    }
    fn write(&mut self, action: &Action, left: &mut usize) {
        if let Action::Batch(Batch { actions, .. }) = action {
            return actions.iter().for_each(|action| self.write(action, left));
        }
        if matches!(action, Action::Event(_)) || *left == 0 {
            return;
        }
        *left -= 1;
        match action {
            Action::Create(Create { object, .. }) => {
                let mut pod = object.clone();
                self.made += 1;
                pod["metadata"]["name"] = json!(format!("p{}", self.made));
                pod["metadata"]["namespace"] = json!("ns");
                pod["metadata"]["uid"] = json!(format!("u{}", self.made));
                pod["metadata"]["creationTimestamp"] = json!(self.now.to_string());
                pod["status"] = json!({"phase": "Running"});
                self.pods.push(pod);
            }
            Action::Patch(Patch { target, .. }) => self.untrack(&target.name),
            Action::Delete(Delete { target, .. }) => {
                let now = self.now.to_string();
                if let Some(pod) = self.pods.iter_mut().find(|pod| pod["metadata"]["name"] == *target.name) {
                    pod["metadata"]["deletionTimestamp"] = json!(now);
                }
            }
            other => panic!("{other:?}"),
        }
        self.collect();
    }
    fn untrack(&mut self, name: &str) {
        if let Some(pod) = self.pods.iter_mut().find(|pod| pod["metadata"]["name"] == name) {
            pod["metadata"]["finalizers"] = json!([]);
        }
    }
    /// What is going and no longer held is gone.
    fn collect(&mut self) {
        let held = |pod: &Value| {
            pod["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|f| f == TRACKING))
        };
        let running = |pod: &Value| pod["status"]["phase"] == "Running";
        self.pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null() || held(pod) || running(pod));
    }
    /// A running pod ends.
    fn end(&mut self, which: usize, phase: &str) {
        let now = self.now.to_string();
        let mut running: Vec<&mut Value> =
            self.pods.iter_mut().filter(|pod| pod["status"]["phase"] == "Running").collect();
        if running.is_empty() {
            return;
        }
        let at = which % running.len();
        running[at]["status"] = json!({"phase": phase, "containerStatuses": [
            {"name": "c", "state": {"terminated": {"exitCode": i32::from(phase == "Failed"), "finishedAt": now}}}]});
        let counter = if phase == "Failed" { &mut self.ended.1 } else { &mut self.ended.0 };
        *counter += 1;
        self.collect();
    }
    fn condition(&self, kind: &str) -> Option<&Value> {
        self.job["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
    }
    fn number(&self, field: &str) -> i64 {
        self.job["status"][field].as_i64().unwrap_or(0)
    }
    fn is_finished(&self) -> bool {
        self.condition("Complete").or(self.condition("Failed")).is_some()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn every_pod_is_counted_once_whatever_is_interrupted(
        completions in 1..6i64,
        parallelism in 1..5i64,
        indexed in any::<bool>(),
        steps in prop::collection::vec((0..10usize, 0..6usize), 0..60),
    ) {
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        let mut world = World::new(json!({"completions": completions, "parallelism": parallelism, "backoffLimit": 1000,
            "completionMode": mode, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}}));
        for (what, which) in steps {
            match what {
                0 => world.end(which, "Failed"),
                1..4 => world.end(which, "Succeeded"),
                4..7 => drop(world.pass(which)),
                _ => drop(world.pass(usize::MAX)),
            }
            let active = world.pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
            prop_assert!(active as i64 <= parallelism, "{} run", active);
        }
        for _ in 0..200 {
            world.end(0, "Succeeded");
            if world.is_finished() {
                break;
            }
            world.pass(usize::MAX);
        }
        prop_assert!(world.condition("Complete").is_some(), "{}", world.job);
        prop_assert_eq!(world.number("failed"), world.ended.1);
        prop_assert!(world.number("succeeded") >= completions);
        if indexed {
            let want = if completions == 1 { "0".to_owned() } else if completions == 2 { "0,1".to_owned() } else { format!("0-{}", completions - 1) };
            prop_assert_eq!(world.job["status"]["completedIndexes"].as_str(), Some(want.as_str()));
        } else {
            prop_assert_eq!(world.number("succeeded"), world.ended.0);
        }
        prop_assert!(world.pods.iter().all(|pod| pod["metadata"]["finalizers"] == json!([])));
        prop_assert!(!world.pass(usize::MAX), "a finished job is left alone");
    }

    #[test]
    fn a_job_fails_at_its_limit(limit in 0..4i64, parallelism in 1..4i64) {
        let mut world = World::new(json!({"completions": 50, "parallelism": parallelism, "backoffLimit": limit,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}}));
        for _ in 0..200 {
            world.end(0, "Failed");
            if world.is_finished() {
                break;
            }
            world.pass(usize::MAX);
        }
        let reason = world.condition("Failed").map(|condition| condition["reason"].clone());
        prop_assert_eq!(reason, Some(json!("BackoffLimitExceeded")));
        prop_assert!(world.condition("FailureTarget").is_some());
        prop_assert!(world.number("failed") > limit);
        prop_assert_eq!(world.number("active"), 0);
    }
}
