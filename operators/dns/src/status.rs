//! What the cluster is told about its DNS: the service `kube-dns` and this node's slice of it.
//!
//! Every node applies the same service, so it does not matter who is first. The slice belongs to the node and goes with
//! it. A `kube-dns` that has a selector is somebody else's server: it is left alone, and this node's slice is withdrawn.
//! Queries stay on their node (`internalTrafficPolicy: Local`).
//! Upstream for comparison: cluster/addons/dns/coredns/coredns.yaml.base.

use proa_kit::{
    Action, Change, Error, Filter, Key, ObjectRef, Operator, Plan, Reader, Timestamp, Typed, View, Watch,
    Write,
    views::{EndpointSliceView, NamespaceView, NodeView, ServiceView},
    watch::WatchOf,
};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

const NAMESPACE: &str = "kube-system";
const SERVICE: &str = "kube-dns";
const PORTS: [(&str, &str); 2] = [("dns", "UDP"), ("dns-tcp", "TCP")];
/// Port of the service.
pub(crate) const PORT: u16 = 53;

/// Publishes a node's DNS.
#[derive(Clone, Debug)]
pub struct Announcer {
    /// The node.
    pub node: String,
    /// Address of the service.
    pub service_ip: IpAddr,
    /// Where pods of the node reach the server; not published when they do not.
    pub address: Option<SocketAddr>,
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The service.
    pub service: Option<Arc<ServiceView>>,
    /// This node's slice.
    pub slice: Option<Arc<EndpointSliceView>>,
    /// The node.
    pub node: Option<Arc<NodeView>>,
}

impl Operator for Announcer {
    const NAME: &'static str = "kube-dns";
    type Object = NamespaceView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        watches(&self.node)
    }
    fn writes(&self) -> Vec<Write> {
        writes()
    }
    async fn observe(&self, reader: &Reader, _namespace: &Arc<NamespaceView>) -> Result<Observed, Error> {
        let nodes = reader.cache_of::<NodeView>(&NodeView::KIND, &only(&self.node));
        Ok(Observed {
            service: reader.cache::<ServiceView>().get(&Key::new(NAMESPACE, SERVICE)),
            slice: reader.cache::<EndpointSliceView>().get(&Key::new(NAMESPACE, &slice_name(&self.node))),
            node: nodes.get(&Key::new("", &self.node)),
        })
    }
    fn plan(&self, namespace: &NamespaceView, observed: &Observed, _now: Timestamp) -> Plan {
        plan(self, namespace, observed)
    }
}

/// What it watches.
pub(crate) fn watches(node: &str) -> Vec<Watch> {
    let slice = slice_name(node);
    let is_service = |name: &str| name == SERVICE;
    vec![
        Watch::primary::<NamespaceView>().into(),
        Watch::mapped::<ServiceView>(move |change, _, wake| wake_for(change, is_service, wake)).into(),
        Watch::mapped::<EndpointSliceView>(move |change, _, wake| {
            wake_for(change, |name| name == slice, wake);
        })
        .into(),
        WatchOf::<NodeView>::of(NodeView::KIND)
            .only(only(node))
            .also(|_, _, wake| wake(Key::new("", NAMESPACE)))
            .into(),
    ]
}

/// What it writes.
pub(crate) fn writes() -> Vec<Write> {
    vec![
        Write::to(&ServiceView::KIND, &["create", "patch"]).named(&[SERVICE]),
        Write::to(&EndpointSliceView::KIND, &["create", "patch", "delete"]),
    ]
}

fn only(node: &str) -> Filter {
    Filter::fields(&format!("metadata.name={node}"))
}

fn slice_name(node: &str) -> String {
    format!("{SERVICE}-{node}")
}

fn wake_for<V: View>(change: &Change<V>, is_it: impl Fn(&str) -> bool, wake: &mut dyn FnMut(Key)) {
    let meta = change.latest().map(|object| object.meta());
    if meta.is_some_and(|meta| &*meta.namespace == NAMESPACE && is_it(&meta.name)) {
        wake(Key::new("", NAMESPACE));
    }
}

/// What is to be written.
pub fn plan(announcer: &Announcer, namespace: &NamespaceView, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if &*namespace.metadata.name != NAMESPACE || namespace.metadata.is_deleting() {
        return plan;
    }
    if observed.service.as_ref().is_some_and(|service| !service.spec.selector.is_empty()) {
        let own = observed.slice.as_ref().map(|slice| Action::delete(slice.reference()));
        plan.actions.extend(own);
        return plan;
    }
    if observed.service.as_ref().is_none_or(|service| !is_announced(service, announcer.service_ip)) {
        let target = ObjectRef::new(ServiceView::KIND, NAMESPACE, SERVICE);
        plan.push(Action::apply(target, service(announcer.service_ip)));
    }
    if let (Some(address), Some(node)) = (announcer.address, &observed.node) {
        let wanted = slice(node, address);
        if observed.slice.as_ref().is_none_or(|slice| !is_published(slice, node, address)) {
            let target = ObjectRef::new(EndpointSliceView::KIND, NAMESPACE, &slice_name(&announcer.node));
            plan.push(Action::apply(target, wanted));
        }
    }
    plan
}

fn service(ip: IpAddr) -> Value {
    let ports = PORTS.map(
        |(name, protocol)| json!({"name": name, "protocol": protocol, "port": PORT, "targetPort": PORT}),
    );
    json!({
        "metadata": {"labels": {"k8s-app": SERVICE, "kubernetes.io/cluster-service": "true",
            "kubernetes.io/name": "KubeDNS"}},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "internalTrafficPolicy": "Local",
            "ports": ports},
    })
}

fn is_announced(service: &ServiceView, ip: IpAddr) -> bool {
    let spec = &service.spec;
    let has = |(name, protocol): (&str, &str)| {
        let mut ports = spec.ports.iter();
        ports.any(|p| &*p.name == name && &*p.protocol == protocol && p.port == i32::from(PORT))
    };
    *spec.cluster_ip == *ip.to_string()
        && &*spec.internal_traffic_policy == "Local"
        && service.metadata.labels.get("k8s-app") == Some(SERVICE)
        && PORTS.into_iter().all(has)
}

fn slice(node: &NodeView, address: SocketAddr) -> Value {
    let ports =
        PORTS.map(|(name, protocol)| json!({"name": name, "protocol": protocol, "port": address.port()}));
    let name = &node.metadata.name;
    json!({
        "metadata": {
            "labels": {"kubernetes.io/service-name": SERVICE, "k8s-app": SERVICE,
                "endpointslice.kubernetes.io/managed-by": Announcer::NAME},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}],
        },
        "addressType": family(address),
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}, "nodeName": name}],
        "ports": ports,
    })
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn is_published(slice: &EndpointSliceView, node: &NodeView, address: SocketAddr) -> bool {
    let [endpoint] = &*slice.endpoints else { return false };
    let has = |(name, protocol): (&str, &str)| {
        slice.ports.iter().any(|port| {
            port.name.as_deref() == Some(name)
                && port.protocol.as_deref() == Some(protocol)
                && port.port == Some(i32::from(address.port()))
        })
    };
    slice.metadata.labels.get(crate::index::SERVICE_NAME) == Some(SERVICE)
        && slice.metadata.owners.iter().any(|owner| owner.uid == node.metadata.uid)
        && &*slice.address_type == family(address)
        && matches!(&*endpoint.addresses, [own] if **own == *address.ip().to_string())
        && endpoint.node_name.as_deref() == Some(&*node.metadata.name)
        && endpoint.conditions.ready != Some(false)
        && PORTS.into_iter().all(has)
}
