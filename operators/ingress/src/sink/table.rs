//! The table that requests are served from: routes, endpoints, certificates.
//!
//! Invariant: a table is never changed, only followed by another one, so a request sees one state of everything. Endpoints
//! that stay keep their connections.

use super::{
    tls::{Certificate, Certificates},
    upstream::Upstream,
};
use crate::{
    index::views::BackendPort,
    render::{
        Change,
        routes::{Routes, Target, Vhost},
    },
};
use proa_kit::Key;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Ports of one service.
type Ports = BTreeMap<BackendPort, Arc<Upstream>>;

/// What requests are served from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Where paths lead.
    pub(crate) routes: Routes,
    /// Certificates by host.
    pub(crate) certificates: Certificates,
    services: imbl::HashMap<Key, Arc<Ports>>,
}

impl Table {
    /// The table after a change.
    pub(crate) fn after(present: &Self, change: Change) -> Self {
        let mut next = if change.is_whole { Self::default() } else { present.clone() };
        for (host, vhost) in change.hosts {
            next.certify(present, &host, vhost.as_deref());
            next.routes.set(&host, vhost);
        }
        for (key, ports) in change.services {
            if ports.is_empty() {
                next.services.remove(&key);
            } else {
                let before = present.services.get(&key);
                next.services.insert(key, Arc::new(upstreams(ports, before.map(|before| &**before))));
            }
        }
        next
    }
    /// The endpoints of a route.
    pub(crate) fn upstream(&self, target: &Target) -> Option<&Arc<Upstream>> {
        self.services.get(&target.service)?.get(&target.port)
    }
    fn certify(&mut self, present: &Self, host: &str, vhost: Option<&Vhost>) {
        let Some(secret) = vhost.and_then(Vhost::certificate) else {
            self.certificates.remove(host);
            return;
        };
        let before = present.certificates.get(host).filter(|before| Arc::ptr_eq(&before.secret, secret));
        let certificate = before.cloned().unwrap_or_else(|| Certificate::read(secret));
        self.certificates.insert(host.into(), certificate);
    }
}

fn upstreams(ports: BTreeMap<BackendPort, Vec<SocketAddr>>, before: Option<&Ports>) -> Ports {
    let upstream = |port: &BackendPort, addresses: &[SocketAddr]| {
        Arc::new(Upstream::new(addresses, before.and_then(|before| before.get(port)).map(|own| &**own)))
    };
    ports
        .into_iter()
        .map(|(port, addresses)| {
            let own = upstream(&port, &addresses);
            (port, own)
        })
        .collect()
}
