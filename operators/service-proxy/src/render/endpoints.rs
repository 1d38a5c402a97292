//! Which endpoints of a service port are used. Pure.
//!
//! Ready ones, or, where there are none, those that are going but still serve. An endpoint that several slices name is
//! as ready as the readiest of them says.
//! Upstream: pkg/proxy/topology.go (CategorizeEndpoints), pkg/proxy/endpointslicecache.go.

use super::part::{Protocol, port};
use proa_kit::views::{
    EndpointSliceView,
    endpoint_slice::{Endpoint, EndpointPort},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
};

/// Addresses to send to, in order.
pub type Addresses = BTreeSet<SocketAddrV4>;

/// The endpoints of one service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// To be used by those who go everywhere.
    pub anywhere: Addresses,
    /// To be used by those who stay on this node.
    pub here: Addresses,
    /// Ready ones of this node.
    pub ready_here: BTreeSet<Ipv4Addr>,
}

/// How an endpoint is; the greater the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Not ready, but it serves while it goes.
    Leaving,
    Ready,
}

/// The endpoints of the port with this name and protocol.
pub fn endpoints(slices: &[&EndpointSliceView], name: &str, protocol: Protocol, node: &str) -> Endpoints {
    let mut all: BTreeMap<SocketAddrV4, (State, bool)> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| matches!(&*slice.address_type, "IPv4" | "")) {
        for port in slice.ports.iter().filter_map(|own| number(own, name, protocol)) {
            for (endpoint, state) in slice.endpoints.iter().filter_map(|own| Some((own, state(own)?))) {
                let Some(address) = address(endpoint) else { continue };
                let is_here = endpoint.node_name.as_deref() == Some(node);
                let known = all.entry(SocketAddrV4::new(address, port)).or_insert((state, is_here));
                *known = (*known).max((state, is_here));
            }
        }
    }
    let best = |of: &dyn Fn(bool) -> bool| {
        let best = all.values().filter(|(_, here)| of(*here)).map(|(state, _)| *state).max();
        let chosen = all.iter().filter(|(_, (state, here))| of(*here) && Some(*state) == best);
        chosen.map(|(address, _)| *address).collect()
    };
    let ready_here = all.iter().filter(|(_, (state, here))| *here && *state == State::Ready);
    Endpoints {
        anywhere: best(&|_| true),
        here: best(&|here| here),
        ready_here: ready_here.map(|(address, _)| *address.ip()).collect(),
    }
}

fn number(own: &EndpointPort, name: &str, protocol: Protocol) -> Option<u16> {
    let is_it = own.name.as_deref().unwrap_or("") == name
        && Protocol::of(own.protocol.as_deref().unwrap_or("")) == Some(protocol);
    if is_it { port(own.port?) } else { None }
}

/// `None` when it is not to be used. What a slice leaves out is taken to be well.
fn state(endpoint: &Endpoint) -> Option<State> {
    let conditions = &endpoint.conditions;
    let serves = conditions.serving.unwrap_or(true);
    if conditions.ready.unwrap_or(true) {
        Some(State::Ready)
    } else {
        (serves && conditions.terminating.unwrap_or(false)).then_some(State::Leaving)
    }
}

fn address(endpoint: &Endpoint) -> Option<Ipv4Addr> {
    endpoint.addresses.first()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn slice(endpoints: &Value) -> EndpointSliceView {
        let slice = json!({
            "metadata": {"name": "a", "namespace": "shop"}, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 53}],
        });
        serde_json::from_str(&slice.to_string()).expect("a slice")
    }

    fn of(slices: &[EndpointSliceView]) -> (Vec<String>, Vec<String>) {
        let found = endpoints(&slices.iter().collect::<Vec<_>>(), "http", Protocol::Tcp, "one");
        let texts = |from: &Addresses| from.iter().map(ToString::to_string).collect();
        (texts(&found.anywhere), texts(&found.here))
    }

    #[test]
    fn ready_ones_are_used_and_what_is_not_said_is_well() {
        let slice = slice(&json!([
            {"addresses": ["10.0.0.1"], "nodeName": "one"},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.4"], "conditions": {"ready": false, "serving": true, "terminating": true}},
        ]));
        let (anywhere, here) = of(&[slice]);
        assert_eq!(anywhere, ["10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(here, ["10.0.0.1:8080"]);
    }

    #[test]
    fn those_that_are_going_are_used_where_none_is_ready() {
        let leaving = json!({"ready": false, "serving": true, "terminating": true});
        let slice = slice(&json!([
            {"addresses": ["10.0.0.1"], "conditions": leaving, "nodeName": "one"},
            {"addresses": ["10.0.0.2"], "nodeName": "two"},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": false, "terminating": true}},
        ]));
        let (anywhere, here) = of(&[slice]);
        assert_eq!(anywhere, ["10.0.0.2:8080"], "someone is ready elsewhere");
        assert_eq!(here, ["10.0.0.1:8080"]);
    }

    #[test]
    fn the_readiest_slice_counts_and_other_families_do_not() {
        let one = slice(&json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": false}}]));
        let two = slice(
            &json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}, {"addresses": ["fd00::1"]}]),
        );
        let mut names = slice(&json!([{"addresses": ["10.0.0.9"]}]));
        names.address_type = "FQDN".into();
        assert_eq!(of(&[one, two, names]).0, ["10.0.0.1:8080"]);
    }
}
