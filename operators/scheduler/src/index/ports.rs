//! Ports of the host that pods take.
//!
//! Upstream: pkg/scheduler/framework/types.go (HostPortInfo), pkg/scheduler/util/utils.go (GetHostPorts).

use super::resources::is_sidecar;
use proa_kit::views::pod_spec::PodSpec;

/// One port of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Address; `0.0.0.0` for all.
    pub ip: Box<str>,
    /// Protocol.
    pub protocol: Box<str>,
    /// Port.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be taken at once.
    pub fn conflicts(&self, other: &Self) -> bool {
        let everywhere = |port: &Self| &*port.ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || everywhere(self) || everywhere(other))
    }
}

/// The host ports of a pod.
pub fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().filter(|container| is_sidecar(container));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    let taken = ports.filter(|port| port.host_port > 0).map(|port| HostPort {
        ip: if port.host_ip.is_empty() { "0.0.0.0".into() } else { port.host_ip.clone() },
        protocol: if port.protocol.is_empty() { "TCP".into() } else { port.protocol.clone() },
        port: port.host_port,
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_port_conflicts_unless_protocol_or_address_differ() {
        let port = |ip: &str, protocol: &str| HostPort { ip: ip.into(), protocol: protocol.into(), port: 80 };
        assert!(port("0.0.0.0", "TCP").conflicts(&port("10.0.0.1", "TCP")));
        assert!(!port("10.0.0.2", "TCP").conflicts(&port("10.0.0.1", "TCP")));
        assert!(!port("0.0.0.0", "UDP").conflicts(&port("0.0.0.0", "TCP")));
    }
}
