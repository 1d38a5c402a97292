//! What the agent says of its node: the Node object, its status, its lease.
//!
//! Flow: the Node is registered at once, whatever the runtime does; its status is written when something in it changes
//! (runtime, pressure, images, somebody else's write) and otherwise every five minutes; its lease every ten seconds.
//! Invariants: the status is a pure function of what was observed; transition times come from what the API holds, so a
//! restart moves none. A Node that somebody deletes stays away until the agent starts anew, as upstream. Deliberately
//! absent: taints (the node-lifecycle operator's), cloud providers, device plugins.
//! Upstream: `pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus/setters.go`.

mod facts;
mod health;
mod lease;
mod register;
mod report;
mod status;
#[cfg(test)]
mod tests;

use crate::{AgentConfig, eviction::Pressure};
use health::Health;
use proa_kit::{Client, Kind, ObjectRef, Timestamp, action::Action, events::Recorder};
use proa_runtime_shim::Runtime;
use report::Reporter;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use facts::{meminfo, process_ids};

/// Version of the node's API level, as `/version` says it.
pub(crate) const VERSION: &str = "v1.37.2+proa.0";
/// Field manager of what the agent writes to its Node and Lease.
const MANAGER: &str = "kubelet";
/// How long a runtime may be silent before the node is not ready, so that a restart of it goes unnoticed; upstream's.
pub(crate) const RUNTIME_GRACE: Duration = Duration::from_secs(30);

const NODE: Kind = Kind::cluster("", "v1", "Node", "nodes");

/// Why the node cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// The machine does not tell what it is.
    #[error("read what the machine is")]
    Machine(#[source] std::io::Error),
    /// The Node exists for other pod addresses than this agent hands out, and they cannot be changed.
    #[error(
        "node {node:?} was registered with podCIDR {registered}, but this agent hands out {wanted}: delete the node or start the agent with {registered}"
    )]
    PodCidr {
        /// Name of the node.
        node: String,
        /// What the API holds.
        registered: String,
        /// What the agent was told.
        wanted: String,
    },
}

/// What the rest of the agent tells about the node.
pub(crate) struct Inputs {
    /// Port of the agent's server.
    pub(crate) port: u16,
    /// What the node runs short of.
    pub(crate) pressure: watch::Receiver<Pressure>,
    /// Woken when images came or went.
    pub(crate) images: Arc<Notify>,
    /// How long a runtime that answered before may be silent; [`RUNTIME_GRACE`] but in tests.
    pub(crate) runtime_grace: Duration,
}

/// Registers the node and keeps its status and lease until shutdown.
///
/// # Errors
/// The machine cannot be read, or the Node in the API belongs to other pod addresses.
pub(crate) async fn run<R: Runtime>(
    client: Client,
    runtime: R,
    config: &AgentConfig,
    inputs: Inputs,
    recorder: Recorder,
    shutdown: CancellationToken,
) -> Result<(), NodeError> {
    let facts = facts::Facts::read(&config.root).map_err(NodeError::Machine)?;
    let (tell, health) = watch::channel(Health::default());
    let news = News::new(&config.node, recorder);
    news.tell("Starting", "Starting kubelet.");
    let follow = health::follow(runtime.clone(), tell, inputs.runtime_grace);
    let keep = async {
        let mut reporter = Reporter { client: client.clone(), runtime, config, facts, health, inputs, news };
        let node = reporter.register().await?;
        let uid = node.metadata.uid.clone().unwrap_or_default();
        futures::join!(lease::keep(client, &config.node, &uid), reporter.run(node));
        Ok(())
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = follow => Ok(()),
        result = keep => result,
    }
}

/// Events about the node.
#[derive(Clone)]
struct News {
    regarding: Arc<ObjectRef>,
    node: Box<str>,
    recorder: Recorder,
}

impl News {
    /// Upstream refers to the node by its name in place of a uid, and clients look for that.
    fn new(node: &str, recorder: Recorder) -> Self {
        let regarding = Arc::new(ObjectRef::new(NODE, "", node).with_uid(node));
        Self { regarding, node: node.into(), recorder }
    }
    fn tell(&self, reason: &str, note: &str) {
        self.record(Action::normal(&self.regarding, reason, note));
    }
    fn warn(&self, reason: &str, note: &str) {
        self.record(Action::warning(&self.regarding, reason, note));
    }
    fn record(&self, action: Action) {
        if let Action::Event(event) = action {
            self.recorder.record(event);
        }
    }
    fn became(&self, reason: &str) {
        self.tell(reason, &format!("Node {} status is now: {reason}", self.node));
    }
}

/// The time, to the second as the API keeps it.
fn now() -> Timestamp {
    proa_meta::time::Time::new(Timestamp::now()).timestamp()
}
