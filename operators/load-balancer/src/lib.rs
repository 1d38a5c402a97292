//! The load balancer operator: addresses for Services of type LoadBalancer on machines without a cloud.
//!
//! Watches: services, and without a pool also nodes, ingresses and their classes, and all pods (for host ports) and all
//! endpoint slices (for the policy `Local` and the API servers), which costs memory for each of them. Writes:
//! `status.loadBalancer` of each service of type LoadBalancer without a `loadBalancerClass`, with `ipMode: VIP`, because it
//! is the service proxy of the nodes that takes what arrives there.
//! With a pool of addresses (`--load-balancer-addresses`) a service gets one of each family for itself; whoever sets up the
//! network routes them to the nodes. Without one it gets the addresses of nodes, where its ports must be free: of two
//! services with one port the first has it, and what programs of the node have (host ports, ingresses of this project's
//! controller, the API server, the agent, node ports of other services) no service has. Whether a node is ready does not
//! matter. Guarantees: no two services have the same port of an address; what a service has it keeps, also over a restart,
//! as long as it may; who gets nothing is told why by an event, and gets it once it is free.
//! Plans are made one after the other, and what is decided counts at once, so a cache that lags gives nothing away twice;
//! what a service loses is offered to others once its status no longer shows it.
//! Deliberately absent: pods that listen, announcements of addresses (ARP, NDP, BGP), a finalizer, since nothing outlives
//! the service; ports of programs that the API does not know, such as SSH: a service with such a port has the node's.
//! Upstream: cloud-provider `controllers/service/controller.go`; after k3s' ServiceLB.

pub mod index;
pub mod plan;

pub use index::pool::Pool;

use index::Index;
use proa_kit::{
    Change, Client, Key, Plan, Results, RunConfig, Timestamp, Typed, View, Watch, Write,
    decide::{self, Decider, Feed},
    queue::Queue,
    rbac::rbac_rules,
    views::{EndpointSliceView, IngressClassView, NodeView, PodView, ServiceView},
};
use serde_json::Value;

#[derive(Clone, Debug, Default)]
struct LoadBalancer(Option<Pool>);

impl Decider for LoadBalancer {
    const NAME: &'static str = "service-controller";
    type Index = Index;
    type Item = Key;

    fn index(&self) -> Index {
        Index::new(self.0.clone())
    }
    fn feeds(&self) -> Vec<Watch<Feed<Index, Key>>> {
        let services = feed(Index::service);
        if self.0.is_some() {
            return vec![services];
        }
        let nodes = [feed::<NodeView>(Index::node), feed::<EndpointSliceView>(Index::slice)];
        let programs = [
            feed::<PodView>(Index::pod),
            feed::<index::IngressView>(Index::ingress),
            feed::<IngressClassView>(Index::class),
        ];
        [services].into_iter().chain(nodes).chain(programs).collect()
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::sub(&ServiceView::KIND, "status", &["patch"])]
    }
    fn plan(&self, service: &Key, index: &mut Index, _: Timestamp) -> Plan {
        plan::plan(service, index)
    }
    fn settle(&self, service: &Key, index: &mut Index, results: &Results, wake: &Queue<Key>) {
        if results.error().is_none() {
            index.settle(service, wake);
        }
    }
}

fn feed<V: Typed + View>(take_in: fn(&mut Index, &Change<V>, &Queue<Key>)) -> Watch<Feed<Index, Key>> {
    decide::feed(V::KIND, take_in).into()
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let operator = LoadBalancer::default();
    rbac_rules(operator.feeds().iter().map(Watch::watched), &operator.reads(), &operator.writes())
}

/// Runs it until shutdown, with the addresses of the pool or else those of the nodes.
pub async fn run(client: Client, config: RunConfig, pool: Option<Pool>) {
    decide::decide(LoadBalancer(pool), client, config).await;
}
