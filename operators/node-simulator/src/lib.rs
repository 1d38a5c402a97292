//! Simulated nodes: pods bound to them run without containers, as annotations and delays say.
//!
//! Watches: pods (all in one watch, however many nodes are simulated). Writes: its nodes and their leases, status of
//! their pods, the deletion of pods that have stopped. Guarantees: what a pod does follows from the pod and the time
//! alone, so an agent that starts anew goes on where the last one ended (N3).
//! Upstream: `pkg/kubelet` (`kubelet_pods.go`, `status/status_manager.go`, `kubelet_node_status.go`).

mod containers;
mod index;
mod node;
mod plan;
mod status;

pub use containers::Delays;
pub use index::SimulatedPod;

use containers::Simulated;
use index::Nodes;
use proa_kit::{
    Client, Key, Plan, RunConfig, Timestamp, Watch, Write,
    decide::{self, Decider, Feed},
    views::{Typed as _, node::NodeView},
};
use std::net::Ipv4Addr;
use tokio_util::sync::CancellationToken;

/// Which nodes to simulate and how their pods behave.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// How many nodes.
    pub nodes: u32,
    /// First part of their names; a number follows.
    pub name_prefix: String,
    /// How long the steps of a pod take.
    pub delays: Delays,
    /// Network of pod addresses: address and prefix length.
    pub pods: (Ipv4Addr, u8),
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            nodes: 1,
            name_prefix: "sim".to_owned(),
            delays: Delays::default(),
            pods: (Ipv4Addr::new(10, 244, 0, 0), 16),
        }
    }
}

impl Simulation {
    /// Names of the nodes.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.nodes).map(|i| format!("{}-{i}", self.name_prefix))
    }
}

/// Runs simulated nodes until shutdown.
pub async fn simulate(client: Client, simulation: Simulation, shutdown: CancellationToken) {
    let config = RunConfig { shutdown: shutdown.clone(), workers: 64, ..RunConfig::default() };
    let nodes = node::keep(client.clone(), simulation.names().collect(), shutdown);
    futures::join!(nodes, decide::decide(Agent { simulation }, client, config));
}

/// RBAC rules of an agent of simulated nodes.
pub fn rules() -> serde_json::Value {
    let agent = Agent { simulation: Simulation::default() };
    let watches = agent.feeds();
    let mut writes = agent.writes();
    writes.push(Write::to(&NodeView::KIND, &["create", "get", "patch"]));
    writes.push(Write::sub(&NodeView::KIND, "status", &["patch"]));
    proa_kit::rbac::rbac_rules(watches.iter().map(Watch::watched), &[], &writes)
}

struct Agent {
    simulation: Simulation,
}

impl Decider for Agent {
    const NAME: &'static str = "node-agent";
    type Index = Nodes;
    type Item = Key;

    fn index(&self) -> Nodes {
        Nodes::new(self.simulation.names(), self.simulation.pods)
    }
    fn feeds(&self) -> Vec<Watch<Feed<Nodes, Key>>> {
        vec![decide::feed(SimulatedPod::KIND, index::take_in).into()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&SimulatedPod::KIND, &["delete"]),
            Write::sub(&SimulatedPod::KIND, "status", &["patch"]),
        ]
    }
    fn plan(&self, pod: &Key, nodes: &mut Nodes, now: Timestamp) -> Plan {
        let Some(pod) = nodes.pod(pod) else { return Plan::default() };
        let address = nodes.address(&pod.metadata.uid);
        plan::plan(&pod, address, Simulated { delays: self.simulation.delays }, now)
    }
    /// A pod's next state does not depend on the cache having seen the last write.
    fn catches_up(&self) -> bool {
        false
    }
}
