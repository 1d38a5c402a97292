//! Host ports that are taken.
//!
//! Upstream: pkg/scheduler/framework/plugins/nodeports/node_ports.go.

use crate::index::ports::HostPort;

pub(super) const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

/// Whether every port is free.
pub fn fits(wanted: &[HostPort], taken: &[HostPort]) -> bool {
    wanted.iter().all(|port| !taken.iter().any(|other| port.conflicts(other)))
}
