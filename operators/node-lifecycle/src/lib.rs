//! The node lifecycle operator: what happens when a node stops answering, is tainted, or goes.
//!
//! Owns: the conditions of nodes that no longer report (`Unknown`), the taints that follow from conditions, the eviction
//! of pods that do not tolerate a `NoExecute` taint, and the deletion of pods whose node is gone. A node answers by
//! renewing its lease or posting its status; when it did is taken from this process's clock, so that clocks may differ.
//! Guarantees: a timer exists only while a deadline does; nodes of a zone are tainted for eviction one by one, more slowly
//! when much of the zone fails at once, and not at all when all nodes of all zones do, for then it is likely the control
//! plane that is cut off. Deliberately absent: the limit on the number of ended pods
//! (terminated-pod-gc-threshold); copying `kubernetes.io/{os,arch}` into their beta labels. A node that is missing from
//! the watch for the whole quarantine is believed gone, without asking the server again. Silence is measured by this
//! machine's clock, so a clock that is set forward by more than the grace period counts as silence.
//! Upstream: pkg/controller/{nodelifecycle,tainteviction,podgc}.

pub mod index;
pub mod plan;

use index::{Item, Nodes};
use proa_kit::{
    Change, Client, Filter, Plan, RunConfig, Timestamp, Typed, Watch, Write,
    decide::{self, Decider, Feed},
    rbac::rbac_rules,
    views::{LeaseView, NodeView, PodView},
};
use serde_json::Value;

/// Namespace of the nodes' leases.
const LEASES: &str = "kube-node-lease";

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeLifecycle;

impl Decider for NodeLifecycle {
    const NAME: &'static str = "node-controller";
    type Index = Nodes;
    type Item = Item;

    fn index(&self) -> Nodes {
        Nodes::default()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Nodes, Item>>> {
        let leases = Filter { namespace: LEASES.into(), ..Filter::default() };
        vec![
            decide::feed(NodeView::KIND, |nodes: &mut Nodes, change: &Change<NodeView>, wake| {
                nodes.node(change, wake);
            })
            .into(),
            decide::feed(LeaseView::KIND, |nodes: &mut Nodes, change: &Change<LeaseView>, wake| {
                nodes.lease(change, wake);
            })
            .only(leases)
            .into(),
            decide::feed(PodView::KIND, |nodes: &mut Nodes, change: &Change<PodView>, wake| {
                nodes.pod(change, wake);
            })
            .into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&NodeView::KIND, &["patch"]),
            Write::sub(&NodeView::KIND, "status", &["patch"]),
            Write::to(&PodView::KIND, &["delete"]),
            Write::sub(&PodView::KIND, "status", &["patch"]),
        ]
    }
    fn plan(&self, item: &Item, nodes: &mut Nodes, now: Timestamp) -> Plan {
        match item {
            Item::Node(name) => plan::node::plan(name, nodes, now),
            Item::Pod(key) => plan::pod::plan(key, nodes, now),
        }
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let feeds = NodeLifecycle.feeds();
    rbac_rules(feeds.iter().map(Watch::watched), &NodeLifecycle.reads(), &NodeLifecycle.writes())
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    decide::decide(NodeLifecycle, client, config).await;
}
