//! Kinds of the group `autoscaling`.
//!
//! Deliberately absent: whatever acts on them. Nothing measures pods yet.

pub(crate) mod horizontal_pod_autoscaler;
