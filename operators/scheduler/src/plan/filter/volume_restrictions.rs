//! Claims that one pod has for itself (`ReadWriteOncePod`).
//!
//! Deliberately absent: making the pod that has it go for a more important one; disks of clouds that only one pod may use.
//! Upstream: pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go.

use crate::index::storage::PodClaims;

pub(super) const REASON: &str = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already \
                                 in-use by another pod";

/// Whether no other pod has a claim of this one for itself.
pub fn fits(claims: &PodClaims) -> bool {
    !claims.is_taken
}
