//! A node as it would be with some pods gone and others there: what preemption and nominations ask about.
//!
//! Upstream: pkg/scheduler/framework/runtime/framework.go (RunFilterPluginsWithNominatedPods).

use super::filter::{
    self, Rejection,
    pod_rules::{Domains, Shift},
};
use crate::index::{
    Candidate,
    nodes::{Load, Node},
    storage::PodClaims,
};

/// A node as it would be for a pod.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    pod: &'a Candidate,
    node: &'a Node,
    domains: &'a Domains<'a>,
    load: Load,
    shift: Shift,
}

impl<'a> Trial<'a> {
    /// The node as it is.
    pub fn new(pod: &'a Candidate, node: &'a Node, domains: &'a Domains<'a>) -> Self {
        Self { pod, node, domains, load: node.load.clone(), shift: Shift::default() }
    }
    /// One of its pods goes.
    pub fn remove(&mut self, other: &Candidate) {
        self.load.remove(other);
        self.domains.step(&mut self.shift, self.node, other, -1);
    }
    /// A pod comes, or comes back.
    pub fn add(&mut self, other: &Candidate) {
        self.load.add(other);
        self.domains.step(&mut self.shift, self.node, other, 1);
    }
    /// Whether there is a place for the pod: beside the nominated pods for which room must be left, and without them,
    /// since they may go elsewhere after all.
    pub fn fits(&self) -> Result<(), Rejection> {
        let mut reserved = self.node.reserved(self.pod).peekable();
        if reserved.peek().is_some() {
            let mut beside = self.clone();
            reserved.for_each(|other| beside.add(other));
            beside.fits_as_it_is()?;
        }
        self.fits_as_it_is()
    }
    fn fits_as_it_is(&self) -> Result<(), Rejection> {
        filter::room(self.pod, self.node, &self.load)?;
        self.domains.allow(self.node, &self.shift)
    }
}

/// Whether a node takes a pod, now.
pub fn fits(
    pod: &Candidate,
    claims: &PodClaims,
    node: &Node,
    domains: &Domains<'_>,
) -> Result<(), Rejection> {
    filter::fixed(pod, node)?;
    if node.nominated.is_empty() {
        filter::room(pod, node, &node.load)?;
        filter::volumes(claims, node)?;
        return domains.allow(node, &Shift::default());
    }
    Trial::new(pod, node, domains).fits()?;
    filter::volumes(claims, node)
}

/// Whether a node may take a pod once all its pods of lower priority are gone (if those count), by what they take alone:
/// whether it is worth to try again.
pub fn may_fit(pod: &Candidate, node: &Node, preempts: bool) -> bool {
    if filter::fixed(pod, node).is_err() {
        return false;
    }
    let mut load = std::borrow::Cow::Borrowed(&node.load);
    for other in node.reserved(pod) {
        load.to_mut().add(other);
    }
    if preempts {
        for other in node.lower(pod) {
            load.to_mut().remove(other);
        }
    }
    filter::room(pod, node, &load).is_ok()
}
