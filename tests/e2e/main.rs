//! The binary as users run it, driven by unmodified kubectl and by kube-rs over TLS.
//!
//! One file per topic. Every test has servers of its own: a free port, a name, a data directory, all gone afterwards.
//! Nothing sleeps: tests wait with kubectl or on a watch. The target belongs to the package `proa`, so that cargo
//! builds the binary under test with it and never twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed test says where"
)]

mod access;
mod aggregation;
mod audit;
mod autoscaling;
mod background;
mod certificates;
mod changes;
mod claims;
mod client;
mod custom;
mod deleting;
mod dockercoins;
mod durability;
mod examples;
mod faults;
mod ingress;
mod kept;
#[allow(dead_code, reason = "the tests of other clients use more of it")]
mod kubectl;
mod limits;
mod node;
mod nodes;
mod operators;
mod policies;
mod preempting;
mod reading;
mod refusals;
mod rollouts;
mod scheduled;
mod server;
mod stateful;
mod stored;
mod streams;
mod webhooks;
mod workloads;
mod writing;
