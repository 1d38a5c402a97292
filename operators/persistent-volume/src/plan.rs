//! The decisions: pure, one file each.

pub mod claim;
pub mod ephemeral;
pub mod protection;
pub mod volume;
