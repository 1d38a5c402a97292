//! Recreating: all old pods gone first, then all new ones.

use super::{Collision, Draft, Step};
use proa_kit::views::PodView;
use std::sync::Arc;

impl Draft<'_> {
    pub(super) fn recreate(&mut self, pods: &[Arc<PodView>]) -> Result<Step, Collision> {
        self.refresh_new_set();
        let old = self.sets.active_old();
        for &at in &old {
            self.sets.scale(at, 0);
        }
        if !old.is_empty() {
            return Ok(Step::Scaled);
        }
        if self.old_pods_run(pods) {
            return Ok(Step::Waiting);
        }
        let at = self.ensure_new_set(|draft| draft.deployment.spec.replicas())?;
        self.sets.scale(at, self.deployment.spec.replicas());
        Ok(Step::Settled)
    }
    fn old_pods_run(&self, pods: &[Arc<PodView>]) -> bool {
        let counted: i32 = self.sets.old().iter().map(|at| self.sets.list[*at].view.status.replicas).sum();
        let new = self.sets.new_set().map(|set| &*set.view.metadata.uid);
        counted > 0 || pods.iter().any(|pod| new.is_none_or(|uid| !pod.metadata.is_controlled_by(uid)))
    }
}
