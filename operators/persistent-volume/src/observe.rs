//! What decisions need: of claims, and of volumes.

pub mod claim;
pub mod volume;
