//! The node-ipam operator: gives each node that has none its share of the pods' network.
//!
//! Watches: nodes. Writes: `spec.podCIDR` and `spec.podCIDRs`, once for each node. Guarantees: no two nodes get shares
//! that overlap; what nodes have already, whoever gave it to them, is kept and never given to another; a share is free
//! again when its node is gone. Plans are made one after the other, and a share counts as taken from the plan on, so a
//! cache that lags gives nothing away twice. A node for which none is left gets an event, and its share when one becomes
//! free. Deliberately absent: IPv6, shares of several sizes, routes between machines.
//! Upstream: `pkg/controller/nodeipam/ipam/{range_allocator.go,cidrset}`.

pub mod index;
pub mod plan;

use index::Shares;
use ipnet::Ipv4Net;
use proa_kit::{
    Change, Client, Error, Plan, Results, RunConfig, Timestamp, Typed, Watch, Write,
    decide::{self, Decider, Feed},
    queue::Queue,
    rbac::rbac_rules,
    views::NodeView,
};
use serde_json::Value;
use std::sync::Arc;

/// The pods' network and how it is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodNetwork {
    /// Addresses of all pods.
    pub network: Ipv4Net,
    /// Prefix length of a node's share.
    pub node_bits: u8,
    /// Shares at the begin of the network that are given last: those of nodes that choose their own.
    pub reserved: usize,
}

#[derive(Clone, Copy, Debug)]
struct NodeIpam(PodNetwork);

impl Decider for NodeIpam {
    const NAME: &'static str = "node-ipam-controller";
    type Index = Shares;
    type Item = Arc<str>;

    fn index(&self) -> Shares {
        Shares::new(self.0)
    }
    fn feeds(&self) -> Vec<Watch<Feed<Shares, Arc<str>>>> {
        let take_in = |shares: &mut Shares, change: &Change<NodeView>, wake: &Queue<Arc<str>>| {
            shares.node(change, wake);
        };
        vec![decide::feed(NodeView::KIND, take_in).into()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::to(&NodeView::KIND, &["patch"])]
    }
    fn plan(&self, node: &Arc<str>, shares: &mut Shares, _: Timestamp) -> Plan {
        plan::plan(node, shares)
    }
    /// A share whose write was refused is free again; one that may have been written stays the node's.
    fn settle(&self, node: &Arc<str>, shares: &mut Shares, results: &Results, wake: &Queue<Arc<str>>) {
        let refused = |code: u16| (400..500).contains(&code);
        if results.error().and_then(Error::code).is_some_and(refused) {
            shares.take_back(node, wake);
        }
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let network = PodNetwork { network: Ipv4Net::default(), node_bits: 24, reserved: 0 };
    let operator = NodeIpam(network);
    rbac_rules(operator.feeds().iter().map(Watch::watched), &operator.reads(), &operator.writes())
}

/// Runs it until shutdown. Without a network there is nothing to give.
pub async fn run(client: Client, config: RunConfig, network: Option<PodNetwork>) {
    match network {
        Some(network) => decide::decide(NodeIpam(network), client, config).await,
        None => {
            tracing::warn!("no --cluster-cidr was given; nodes get no pod addresses");
            config.shutdown.cancelled().await;
        }
    }
}
