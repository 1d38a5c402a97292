//! Writing a pod's status: only what differs, one write at a time, after failures again.

use super::Worker;
use crate::{
    observe::Probed,
    plan::{
        Plan, Situation,
        memory::{Ground, Job},
    },
    status::{self, Basis, patch},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use proa_kit::{
    Error,
    action::{Action, PatchKind},
};
use proa_runtime_shim::Runtime;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// Pause before the same difference is written again.
const CIRCLE: SignedDuration = SignedDuration::from_secs(2);

impl<R: Runtime> Worker<R> {
    /// Publishes the pod's status, and writes it if the API has another.
    pub(super) fn report(&mut self, probes: &BTreeMap<String, Probed>, plan: &mut Plan, now: Timestamp) {
        let none = PodStatus::default();
        let node = &self.shop.node;
        let basis = Basis {
            old: self.pod.status.as_ref().unwrap_or(&none),
            host: node.config.address,
            runtime: &node.runtime_name,
        };
        let situation = Situation {
            pod: &self.pod,
            is_gone: self.is_gone,
            observed: &self.observed,
            probes,
            memory: &self.memory,
            now,
        };
        let status = status::status(&situation, plan, basis);
        let patch = patch::between(basis.old, &status);
        self.publish(status, plan.is_stopped && self.memory.ground == Ground::Released);
        let Some(patch) = patch.filter(|_| !self.is_gone && !self.memory.is_busy(&Job::Report)) else {
            return;
        };
        if let Some(until) = self.jobs.paused(&Job::Report, now) {
            plan.wake = Some(plan.wake.map_or(until, |wake| wake.min(until)));
            return;
        }
        if self.last_patch.as_ref() == Some(&patch) {
            // The API took it and still says something else: not a reason to write in a circle.
            self.last_patch = None;
            self.jobs.rest(Job::Report, now + CIRCLE);
            plan.wake = Some(plan.wake.map_or(now + CIRCLE, |wake| wake.min(now + CIRCLE)));
            return;
        }
        self.last_patch = Some(patch.clone());
        let (writer, target) = (node.writer.clone(), self.teller.reference().clone());
        self.jobs.report(async move {
            let patch = json!({"status": patch});
            let action = Action::patch(target, "status", PatchKind::Strategic, patch);
            writer.ask::<Pod>(&action).await.map(Box::new)
        });
    }
    /// Takes in what came of a write.
    pub(super) fn reported(&mut self, result: Result<Box<Pod>, Error>, now: Timestamp) {
        match result {
            Ok(mut pod) => {
                pod.metadata.managed_fields = None;
                self.jobs.succeeded(&Job::Report);
                self.take_pod(Arc::from(pod));
            }
            // The watch will say that it is gone.
            Err(error) if error.is_not_found() => self.jobs.failed(Job::Report, now),
            Err(error) => {
                self.last_patch = None;
                tracing::warn!(%error, "status was not written; it is tried again");
                self.jobs.failed(Job::Report, now);
            }
        }
    }
}
