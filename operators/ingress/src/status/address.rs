//! Where an ingress is reached: each node puts its own address and the ports that it has into the status while it listens,
//! and takes it out when it cannot.
//!
//! Addresses that are no node's are taken out too, so those of nodes that are gone do not stay. Several nodes write the same
//! list; a conflict means that another was faster, and the list is looked at again.

use crate::{
    index::{class::serves, views::IngressView},
    sink::PortState,
};
use proa_kit::{
    Action, Change, Error, Operator, Plan, Reader, Timestamp, Typed, View, Watch, Write,
    action::PatchKind,
    views::{IngressClassView, NodeView, node::Address, service},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// Tells where a node serves.
#[derive(Clone, Debug)]
pub struct Announcer {
    /// Name of the node.
    pub node: Box<str>,
    /// Its address.
    pub address: IpAddr,
    /// What became of its ports: HTTP, HTTPS.
    pub ports: [PortState; 2],
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All classes.
    pub classes: Vec<Arc<IngressClassView>>,
    /// Addresses of all nodes.
    pub nodes: BTreeSet<Box<str>>,
}

impl Operator for Announcer {
    const NAME: &'static str = "ingress-proxy";
    type Object = IngressView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        watches()
    }
    fn writes(&self) -> Vec<Write> {
        writes()
    }
    async fn observe(&self, reader: &Reader, _: &Arc<IngressView>) -> Result<Observed, Error> {
        let nodes = reader.cache::<NodeView>().list();
        let addresses = nodes.iter().flat_map(|node| internal(node).cloned());
        Ok(Observed { classes: reader.cache::<IngressClassView>().list(), nodes: addresses.collect() })
    }
    fn plan(&self, ingress: &IngressView, observed: &Observed, _now: Timestamp) -> Plan {
        plan(self, ingress, observed)
    }
}

/// What it watches.
pub(crate) fn watches() -> Vec<Watch> {
    vec![
        Watch::primary::<IngressView>().into(),
        Watch::mapped::<IngressClassView>(|_, reader, wake| wake_all(reader, wake)).into(),
        Watch::mapped::<NodeView>(|change: &Change<NodeView>, reader, wake| {
            let of = |node: &Option<Arc<NodeView>>| {
                node.as_ref().map(|node| internal(node).cloned().collect::<Vec<_>>()).unwrap_or_default()
            };
            // Nodes report often, and their addresses hardly ever change.
            if of(&change.old) != of(&change.new) {
                wake_all(reader, wake);
            }
        })
        .into(),
    ]
}

/// What it writes.
pub(crate) fn writes() -> Vec<Write> {
    vec![Write::sub(&IngressView::KIND, "status", &["patch"])]
}

fn wake_all(reader: &Reader, wake: &mut dyn FnMut(proa_kit::Key)) {
    reader.cache::<IngressView>().list().iter().for_each(|ingress| wake(ingress.key()));
}

fn internal(node: &NodeView) -> impl Iterator<Item = &Box<str>> {
    let is_internal = |address: &&Address| &*address.kind == "InternalIP";
    node.status.addresses.iter().filter(is_internal).map(|address| &address.address)
}

/// What is to be written.
pub fn plan(announcer: &Announcer, ingress: &IngressView, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if ingress.metadata.is_deleting() || !serves(ingress, observed.classes.iter().map(|class| &**class)) {
        return plan;
    }
    let about = Arc::new(ingress.reference());
    for port in &announcer.ports {
        if let PortState::Failed(why) = port {
            let note = format!("node {} does not serve this ingress: {why}", announcer.node);
            plan.push(Action::warning(&about, "PortNotAvailable", note));
        }
    }
    let present: Vec<(&str, Vec<i32>)> = ingress.status.load_balancer.ingress.iter().map(entry).collect();
    let own = announcer.address.to_string();
    let wanted = addresses(&present, announcer, &own, &observed.nodes);
    if present != wanted.clone().into_iter().collect::<Vec<_>>() {
        let list: Vec<_> = wanted.iter().map(|(address, ports)| shown(address, ports)).collect();
        let target = ingress.reference().at(ingress.metadata.resource_version);
        let patch = json!({"status": {"loadBalancer": {"ingress": list}}});
        plan.push(Action::patch(target, "status", PatchKind::Merge, patch));
    }
    plan
}

fn entry(of: &service::Ingress) -> (&str, Vec<i32>) {
    (&of.ip, of.ports.iter().map(|port| port.port).collect())
}

fn shown(address: &str, ports: &[i32]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port, "protocol": "TCP"})).collect();
    json!({"ip": address, "ports": ports})
}

/// Ports by addresses: what other nodes say, and this one, if it listens.
fn addresses<'a>(
    present: &[(&'a str, Vec<i32>)],
    announcer: &Announcer,
    own: &'a str,
    nodes: &BTreeSet<Box<str>>,
) -> BTreeMap<&'a str, Vec<i32>> {
    let others = present.iter().filter(|(address, _)| *address != own && nodes.contains(*address));
    let mut wanted: BTreeMap<&str, Vec<i32>> = others.cloned().collect();
    if let PortState::Open(_) = announcer.ports[0] {
        let open = |state: &PortState| match state {
            PortState::Open(at) => Some(i32::from(at.port())),
            PortState::Closed | PortState::Failed(_) => None,
        };
        wanted.insert(own, announcer.ports.iter().filter_map(open).collect());
    }
    wanted
}
