//! Scaling outside a rollout step: one set takes it all; several, in the middle of a rollout, take it in proportion.

use super::Draft;
use crate::{
    build::{DESIRED_REPLICAS, MAX_REPLICAS},
    plan::sets::{Set, max_surge},
};

impl Draft<'_> {
    pub(super) fn scale(&mut self) {
        let desired = self.deployment.spec.replicas();
        if let Some(at) = self.active_or_latest() {
            self.sets.scale(at, desired);
        } else if self.is_saturated() {
            for at in self.sets.active_old() {
                self.sets.scale(at, 0);
            }
        } else if !self.deployment.spec.recreates() {
            self.scale_in_proportion();
        }
    }
    /// The only set with pods; without any, the current or the youngest one. `None` when several have pods.
    fn active_or_latest(&self) -> Option<usize> {
        let active: Vec<usize> =
            (0..self.sets.list.len()).filter(|at| self.sets.list[*at].is_active()).collect();
        match active[..] {
            [] => self.sets.new.or(self.sets.old().last().copied()),
            [only] => Some(only),
            _ => None,
        }
    }
    /// Whether the current set has all its pods already.
    fn is_saturated(&self) -> bool {
        let desired = self.deployment.spec.replicas();
        self.sets.new_set().is_some_and(|set| {
            set.replicas == desired
                && set.number(DESIRED_REPLICAS) == Some(desired)
                && set.view.status.available_replicas == desired
        })
    }
    fn scale_in_proportion(&mut self) {
        let desired = self.deployment.spec.replicas();
        let allowed = if desired > 0 { desired + max_surge(self.deployment) } else { 0 };
        let wanted = allowed - self.sets.total();
        let mut order: Vec<usize> =
            (0..self.sets.list.len()).filter(|at| self.sets.list[*at].is_active()).collect();
        // The largest first; of equal ones the youngest grows and the oldest shrinks first.
        if wanted > 0 {
            order.reverse();
        }
        order.sort_by_key(|at| std::cmp::Reverse(self.sets.list[*at].replicas));
        let mut sizes: Vec<i32> = Vec::with_capacity(order.len());
        let mut added = 0;
        for &at in &order {
            let share = self.proportion(&self.sets.list[at], wanted, added);
            sizes.push(self.sets.list[at].replicas + share);
            added += share;
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + wanted - added).max(0);
        }
        for (at, size) in order.into_iter().zip(sizes) {
            self.sets.note_size(at);
            self.sets.scale(at, size);
        }
    }
    fn proportion(&self, set: &Set<'_>, wanted: i32, added: i32) -> i32 {
        if set.replicas == 0 || wanted == added {
            return 0;
        }
        let (share, rest) = (self.share(set), wanted - added);
        if wanted > 0 { share.min(rest) } else { share.max(rest) }
    }
    /// By how much a set changes when its part of the whole stays the same.
    fn share(&self, set: &Set<'_>) -> i32 {
        let desired = self.deployment.spec.replicas();
        if desired == 0 {
            return -set.replicas;
        }
        let before =
            set.number(MAX_REPLICAS).filter(|most| *most != 0).unwrap_or(self.deployment.status.replicas);
        if before == 0 {
            return 0;
        }
        let most = desired + max_surge(self.deployment);
        let size = f64::from(set.replicas) * f64::from(most) / f64::from(before);
        #[expect(clippy::cast_possible_truncation, reason = "sizes are 32-bit, and casts saturate")]
        let size = size.round() as i32;
        size - set.replicas
    }
}
