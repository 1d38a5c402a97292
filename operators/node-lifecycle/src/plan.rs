//! The decisions, about a node and about a pod. Pure but for the times they note.

pub mod node;
pub mod pod;
