//! Rolling: new pods up to the surge, unhealthy old pods away, then healthy ones as far as availability allows.
//!
//! Stricter than upstream, which trusts the status of a replica set that was scaled a moment ago, and so can fall below
//! the bound when templates change quickly.

use super::{Collision, Draft, Step};
use crate::plan::sets::{max_surge, max_unavailable};

impl Draft<'_> {
    pub(super) fn roll(&mut self) -> Result<Step, Collision> {
        let at = self.ensure_new_set(|draft| draft.room_for_new(0))?;
        if self.grow_new(at) || self.shrink_old(at) {
            return Ok(Step::Scaled);
        }
        Ok(Step::Settled)
    }
    /// Size of a new set that now has `replicas`, within replicas + maxSurge.
    fn room_for_new(&self, replicas: i32) -> i32 {
        let desired = self.deployment.spec.replicas();
        let room = desired + max_surge(self.deployment) - self.sets.total();
        replicas + room.min(desired - replicas).max(0)
    }
    fn grow_new(&mut self, at: usize) -> bool {
        let (now, desired) = (self.sets.list[at].replicas, self.deployment.spec.replicas());
        if now == desired {
            return false;
        }
        let to = if now > desired { desired } else { self.room_for_new(now) };
        self.sets.scale(at, to)
    }
    fn shrink_old(&mut self, new: usize) -> bool {
        let old = self.sets.active_old();
        if old.is_empty() {
            return false;
        }
        let least = self.deployment.spec.replicas() - max_unavailable(self.deployment);
        let set = &self.sets.list[new];
        let coming = set.replicas - set.certainly_available();
        let spare = self.sets.total() - least - coming;
        if spare <= 0 {
            return false;
        }
        let unhealthy = self.shrink_unhealthy(&old, spare);
        let healthy = self.shrink_healthy(&old, least);
        unhealthy + healthy > 0
    }
    /// Pods that are not available are missed by no one. Returns how many went.
    fn shrink_unhealthy(&mut self, old: &[usize], most: i32) -> i32 {
        let mut gone = 0;
        for &at in old {
            let going = self.sets.list[at].certainly_unhealthy().min(most - gone);
            if going > 0 {
                self.sets.scale(at, self.sets.list[at].replicas - going);
                gone += going;
            }
        }
        gone
    }
    fn shrink_healthy(&mut self, old: &[usize], least: i32) -> i32 {
        let spare = self.sets.certainly_available() - least;
        let mut gone = 0;
        for &at in old {
            let going = self.sets.list[at].replicas.min(spare - gone);
            if going > 0 {
                self.sets.scale(at, self.sets.list[at].replicas - going);
                gone += going;
            }
        }
        gone
    }
}
