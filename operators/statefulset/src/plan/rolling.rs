//! Rolling replacement of pods of other revisions, from the last to the first, down to the partition.

use super::{Draft, wanted};
use crate::build::REVISION;
use proa_kit::{rollout::Round, views::PodView};

impl<'a> Draft<'a> {
    pub(super) fn roll(&mut self) {
        let missing = wanted(self.set) - self.replicas.len();
        let unavailable = missing + self.replicas.values().filter(|pod| self.is_unavailable(pod)).count();
        let budget = self.max_unavailable().saturating_sub(unavailable);
        let old: Vec<&'a PodView> = self.old_pods();
        let leaves = if self.is_ordered() {
            old.into_iter().take(budget).collect()
        } else {
            // What is not available anyhow goes first and costs nothing.
            let (well, unwell): (Vec<_>, Vec<_>) = old.into_iter().partition(|pod| self.is_available(pod));
            unwell.into_iter().chain(well.into_iter().take(budget)).collect::<Vec<_>>()
        };
        for pod in leaves {
            self.remove(pod);
            let was_current = pod.metadata.labels.get(REVISION) == Some(&self.history.current.name);
            self.status.current_replicas -= i32::from(was_current);
        }
    }
    /// Pods of other revisions that neither ended nor go, the last first.
    fn old_pods(&self) -> Vec<&'a PodView> {
        let limits = self.set.spec.update_strategy.rolling_update.as_ref();
        let partition = limits.and_then(|limits| limits.partition).unwrap_or(0);
        let kept = usize::try_from(partition).unwrap_or(0);
        let update = Some(&*self.history.update.name);
        let rolled = self.replicas.range(kept..).rev().map(|(_, pod)| *pod);
        let is_old = |pod: &&PodView| pod.metadata.labels.get(REVISION) != update;
        rolled.filter(|pod| pod.is_active()).filter(is_old).collect()
    }
    fn max_unavailable(&self) -> usize {
        let limits = self.set.spec.update_strategy.rolling_update.as_ref();
        let most = limits.and_then(|limits| limits.max_unavailable.as_ref());
        let most = most.and_then(|most| most.scaled(self.set.spec.replicas(), Round::Down));
        usize::try_from(most.unwrap_or(1)).unwrap_or(0).max(1)
    }
}
