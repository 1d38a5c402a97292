//! Requests that the API server passes on: to node agents (logs, exec, attach, port-forward), to pods, services and
//! nodes (proxies), to other API servers (aggregation); and those that it makes itself, to webhooks.
//!
//! Reads top-down: [`outside`] is the table of what is served; `log`, `stream` and `proxy` say where a request goes;
//! `forward` sends it there and brings the answer back, `webhook` asks a question of its own, `dial` makes the
//! connection. Invariants: authorization is over before anything is dialled; credentials of the client are never passed on; answers stream, nothing is held whole; a
//! client that goes away ends the connection behind it. Deliberately absent: what is spoken on a connection that has left
//! HTTP (bytes go both ways as they are), kept connections but those to webhooks (each other request dials).
//! Upstream: `pkg/registry/core/{pod,service,node}`, `pkg/kubelet/client`, apimachinery `pkg/util/proxy`.

mod aggregator;
mod containers;
mod dial;
mod forward;
mod headers;
mod log;
mod node;
mod objects;
mod proxy;
mod stream;
mod tls;
mod webhook;

pub use aggregator::Aggregator;
pub use tls::{ClientIdentity, RelayError};

use dial::Dialer;
use proa_registry::{Authorizer, Registry, webhook::CallWebhook};
use proa_server::connect::Connectors;
use std::{net::IpAddr, sync::Arc};
use tls::Trust;

/// How requests are passed on.
pub struct RelayConfig {
    /// The API server's client certificate towards node agents, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    /// Who signs the agents' serving certificates, PEM; none: they are not verified, as upstream without
    /// `--kubelet-certificate-authority`.
    pub agent_ca: Option<String>,
    /// What other API servers know this one by; none: nothing, so they do not believe whom a request comes from.
    pub front_proxy: Option<ClientIdentity>,
    /// Types of node addresses, best first.
    pub address_types: Vec<String>,
    /// Where an address of a pod, an endpoint or a node is reached by proxies; none: it may not be reached.
    pub reach: fn(IpAddr) -> Option<IpAddr>,
    /// Where connections are driven.
    pub runtime: tokio::runtime::Handle,
}

impl RelayConfig {
    /// Upstream's address types and limits. To be called inside the runtime that drives the connections.
    pub fn new(certificate: String, key: String, agent_ca: Option<String>) -> Self {
        Self {
            certificate,
            key,
            agent_ca,
            front_proxy: None,
            address_types: ["InternalIP", "ExternalIP", "Hostname"].map(str::to_owned).to_vec(),
            reach: |address| proxy::is_global_unicast(address).then_some(address),
            runtime: tokio::runtime::Handle::current(),
        }
    }
}

/// What every connector needs.
pub(crate) struct Relay {
    registry: Arc<Registry>,
    authorizer: Arc<dyn Authorizer>,
    trust: Trust,
    dialer: Dialer,
    address_types: Vec<String>,
    reach: fn(IpAddr) -> Option<IpAddr>,
}

/// What the relay gives a server.
pub struct Outside {
    /// The connectors of everything that is passed on.
    pub connectors: Connectors,
    /// Who calls webhooks.
    pub webhooks: Arc<dyn CallWebhook>,
    /// Who asks other API servers. Its `run` is to be driven.
    pub aggregator: Arc<Aggregator>,
}

/// Makes the relay.
///
/// # Errors
/// The certificates or the key cannot be used.
pub fn outside(
    registry: Arc<Registry>,
    authorizer: Arc<dyn Authorizer>,
    config: RelayConfig,
) -> Result<Outside, RelayError> {
    let relay = Arc::new(Relay {
        registry,
        authorizer,
        trust: Trust::new(
            &config.certificate,
            &config.key,
            config.agent_ca.as_deref(),
            config.front_proxy.as_ref(),
        )?,
        dialer: Dialer::new(config.runtime),
        address_types: config.address_types,
        reach: config.reach,
    });
    let stream = |kind| Arc::new(stream::Stream { relay: Arc::clone(&relay), kind });
    let proxy = |to| Arc::new(proxy::Proxy { relay: Arc::clone(&relay), to });
    let connectors = Connectors::default()
        .with("", "pods", "log", Arc::new(log::Log { relay: Arc::clone(&relay) }))
        .with("", "pods", "exec", stream(stream::Kind::Exec))
        .with("", "pods", "attach", stream(stream::Kind::Attach))
        .with("", "pods", "portforward", stream(stream::Kind::PortForward))
        .with("", "pods", "proxy", proxy(proxy::To::Pod))
        .with("", "services", "proxy", proxy(proxy::To::Service))
        .with("", "nodes", "proxy", proxy(proxy::To::Node));
    let aggregator = Arc::new(Aggregator::new(relay.clone()));
    Ok(Outside { connectors, webhooks: Arc::new(webhook::Webhooks::new(relay)), aggregator })
}
