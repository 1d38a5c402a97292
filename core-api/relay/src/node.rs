//! Where a node's agent is reached.
//!
//! Upstream: `pkg/kubelet/client/kubelet_client.go`, `pkg/util/node/node.go`.

use crate::{
    Relay,
    dial::Target,
    objects::{self, NODES, Node},
};
use proa_meta::{ApiError, ApiResult, Reason};

/// The agents' port where a node does not say.
const DEFAULT_PORT: u16 = 10250;

/// Host and port of an agent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Relay {
    /// The agent of a node.
    ///
    /// # Errors
    /// 404 when there is no such node, 500 when it has no usable address.
    pub(crate) fn agent(&self, node: &str) -> ApiResult<Agent> {
        find(&objects::get(&self.registry, &NODES, "", node)?, &self.address_types)
    }

    /// The agent, with the API server's own certificate shown to it.
    pub(crate) fn to_agent(&self, agent: Agent) -> Target {
        Target { tls: Some(self.trust.agents.clone()), host: agent.host, port: agent.port, name: None }
    }
}

fn find(node: &Node, types: &[String]) -> ApiResult<Agent> {
    let addresses = &node.status.addresses;
    let preferred = types.iter().find_map(|kind| addresses.iter().find(|address| address.kind == *kind));
    let Some(address) = preferred else {
        let known: Vec<_> = addresses.iter().map(|a| format!("{{{} {}}}", a.kind, a.address)).collect();
        let why = format!("no preferred addresses found; known addresses: [{}]", known.join(" "));
        return Err(ApiError::new(Reason::Unknown, why));
    };
    let port = match node.status.daemon_endpoints.kubelet_endpoint.port {
        0 => DEFAULT_PORT,
        port => port,
    };
    Ok(Agent { host: address.address.clone(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn preferred_addresses_and_the_nodes_own_port_are_used() {
        let types = ["InternalIP", "Hostname"].map(str::to_owned);
        let node = |addresses: serde_json::Value, port| -> Node {
            let status =
                json!({"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}});
            serde_json::from_value(json!({"status": status})).unwrap()
        };
        let both =
            json!([{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}]);
        let agent = |host: &str, port| Agent { host: host.to_owned(), port };
        assert_eq!(find(&node(both, 7), &types), Ok(agent("10.0.0.1", 7)));
        let name = json!([{"type": "Hostname", "address": "n"}]);
        assert_eq!(find(&node(name, 0), &types), Ok(agent("n", DEFAULT_PORT)));
        let other = json!([{"type": "ExternalDNS", "address": "e"}]);
        let error = find(&node(other, 0), &types).unwrap_err();
        assert_eq!(error.message(), "no preferred addresses found; known addresses: [{ExternalDNS e}]");
    }
}
