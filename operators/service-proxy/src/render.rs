//! What the table shall hold of each service and pod. Pure.
//!
//! A service port has up to three chains: `svc/` leads to all its endpoints, `local/` to those of this node, `ext/` takes
//! what comes from outside and decides between the two. Maps lead from addresses and ports to chains, so a packet costs
//! the same however many services there are.
//! Upstream: pkg/proxy/nftables/proxier.go (syncProxyRules).

pub mod base;
pub mod endpoints;
pub mod part;
mod pod;
mod service;

use crate::index::{Index, Subject};
use ipnet::Ipv4Net;
use part::Part;
use proa_kit::project::Dirty;

/// Where rules are made for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Addresses of all pods.
    pub pod_cidr: Ipv4Net,
}

/// A change of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether this is all there shall be; else what is not named stays.
    pub complete: bool,
    /// Parts, in order; empty ones go.
    pub parts: Vec<(Subject, Part)>,
}

/// The change that brings the table up to date.
pub fn render(index: &Index, dirty: &Dirty<Subject>, place: &Place<'_>) -> Rules {
    let (complete, mut subjects): (bool, Vec<Subject>) = match dirty {
        Dirty::All => (true, index.subjects().collect()),
        Dirty::Keys(keys) => (false, keys.iter().cloned().collect()),
    };
    subjects.sort_unstable();
    let parts = subjects.into_iter().map(|subject| {
        let part = part(index, &subject, place);
        (subject, part)
    });
    Rules { complete, parts: parts.collect() }
}

fn part(index: &Index, subject: &Subject, place: &Place<'_>) -> Part {
    match subject {
        Subject::Service(key) => index
            .service_of(key)
            .map(|view| service::part(view, &index.slices_of(key).collect::<Vec<_>>(), place))
            .unwrap_or_default(),
        Subject::Pod(key) => index.pod_of(key).map(pod::part).unwrap_or_default(),
    }
}
