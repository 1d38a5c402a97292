//! What a pod's containers ask for together, and what of it counts.
//!
//! Owns: sums over containers (all that run at once, or the peak while the pod initialises), resources of the pod as a
//! whole, overhead, and what a resize in place leaves allocated. Upstream: component-helpers `resource/helpers.go`,
//! `pkg/quota/v1/evaluator/core/pods.go`, `pkg/apis/core/v1/helper/qos/qos.go`.

use crate::{
    amounts::{Amounts, add, raise},
    names,
};
use jiff::{SignedDuration, Timestamp};
use proa_meta::quantity::Quantity;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

mod view;

pub use view::{Container, Deletion, Pod, Resources, Spec, Status};

/// Resources of which each container must say how much it wants, where a quota limits them.
const MUST_BE_SET: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// Requests or limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// What is set aside.
    Requests,
    /// What may be used at most.
    Limits,
}

impl Resources {
    fn list(&self, list: List) -> &Amounts {
        match list {
            List::Requests => &self.requests,
            List::Limits => &self.limits,
        }
    }
    /// Whether there is anything that can be given to a pod as a whole.
    fn is_of_pod(&self) -> bool {
        self.requests.keys().chain(self.limits.keys()).any(|name| is_pod_level(name))
    }
}

fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_pages(name)
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Sums over the containers by what `of` says of each: those that run at once, or the peak while the pod initialises.
fn over_containers<'a>(spec: &'a Spec, of: impl Fn(&'a Container) -> &'a Amounts) -> Amounts {
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, of(container));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in &spec.init_containers {
        let own = of(container);
        if container.restart_policy == "Always" {
            add(&mut total, own);
            add(&mut sidecars, own);
            raise(&mut peak, &sidecars);
        } else {
            let mut together = own.clone();
            add(&mut together, &sidecars);
            raise(&mut peak, &together);
        }
    }
    raise(&mut total, &peak);
    total
}

/// What the spec asks for, without overhead; `whole` says which resources of the pod as a whole take the place of its
/// containers' sums.
pub fn asked(spec: &Spec, list: List, whole: fn(&str) -> bool) -> Amounts {
    let mut total = over_containers(spec, |container| container.resources.list(list));
    replace_by_whole(&mut total, spec, list, whole);
    total
}

fn replace_by_whole(total: &mut Amounts, spec: &Spec, list: List, whole: fn(&str) -> bool) {
    let Some(resources) = &spec.resources else { return };
    for (name, quantity) in resources.list(list).iter().filter(|(name, _)| whole(name)) {
        total.insert(name.clone(), *quantity);
    }
}

/// What a node says of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    /// Set aside for it.
    Allocated,
    /// In force.
    Actual,
}

/// The sums by what the node has given; what it says nothing about counts as asked for.
fn given(spec: &Spec, status: &Status, list: List, given: Given) -> Amounts {
    let of = |container: &Container| {
        let own = status.of(&container.name);
        let actual = own.and_then(|own| own.resources.as_ref()).map(|resources| resources.list(list));
        let actual = actual.filter(|list| given == Given::Actual && !list.is_empty());
        let allocated = own.and_then(|own| own.allocated_resources.as_ref());
        let found = actual.or(allocated.filter(|_| list == List::Requests));
        let asked = (!status.is_infeasible()).then(|| container.resources.list(list));
        container.with(list, found.or(asked).cloned().unwrap_or_default())
    };
    let changed = Spec {
        containers: spec.containers.iter().map(of).collect(),
        init_containers: spec.init_containers.iter().map(of).collect(),
        ..Spec::default()
    };
    over_containers(&changed, |container| container.resources.list(list))
}

/// What counts: the larger of what is asked for and what the node has given, with overhead.
fn counted(spec: &Spec, status: &Status, list: List) -> Amounts {
    let mut total = Amounts::new();
    if !status.is_infeasible() {
        total = over_containers(spec, |container| container.resources.list(list));
    }
    if !status.is_empty() {
        raise(&mut total, &given(spec, status, list, Given::Allocated));
        raise(&mut total, &given(spec, status, list, Given::Actual));
    }
    replace_by_whole(&mut total, spec, list, is_pod_level);
    match list {
        List::Requests => add(&mut total, &spec.overhead),
        List::Limits => {
            let limited =
                spec.overhead.iter().filter(|(name, _)| total.get(*name).is_some_and(|q| !q.is_zero()));
            let limited: Amounts = limited.map(|(name, quantity)| (name.clone(), *quantity)).collect();
            add(&mut total, &limited);
        }
    }
    total
}

/// What quotas have to know of a pod: nothing else of it matters to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Priced {
    /// Compute resources while it counts, `pods` among them.
    pub compute: Amounts,
    /// It has ended.
    pub finished: bool,
    /// When it stops to count although it is still there: it was to be gone by then.
    pub overdue: Option<Timestamp>,
    /// It has a deadline.
    pub terminating: bool,
    /// It asks for no cpu and no memory.
    pub best_effort: bool,
    /// Its priority class; empty without one.
    pub priority_class: String,
    /// It wants to be near (or away from) pods of other namespaces.
    pub cross_namespace: bool,
    /// Containers that do not say how much they want, by resource.
    pub unset: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Priced {
    /// Prices a pod.
    pub fn of(deletion: Deletion, spec: &Spec, status: &Status) -> Self {
        let sum = |list| counted(spec, status, list);
        Self {
            compute: compute(&sum(List::Requests), &sum(List::Limits)),
            finished: matches!(&*status.phase, "Succeeded" | "Failed"),
            overdue: deletion.overdue(),
            terminating: spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0),
            best_effort: is_best_effort(spec, status),
            priority_class: spec.priority_class_name.clone(),
            cross_namespace: spec.affinity.is_cross_namespace(),
            unset: unset(spec),
        }
    }
    /// What it costs at a time.
    pub fn usage(&self, now: Timestamp) -> Amounts {
        let mut usage = Amounts::from([("count/pods".to_owned(), one())]);
        if !self.finished && self.overdue.is_none_or(|overdue| now <= overdue) {
            add(&mut usage, &self.compute);
        }
        usage
    }
    /// Why it cannot be charged to a quota that limits these resources.
    ///
    /// # Errors
    /// `must specify cpu for: a,b; memory for: a`.
    pub fn must_specify<V>(&self, limited: &BTreeMap<String, V>) -> Result<(), String> {
        let missing = self.unset.iter().filter(|(name, _)| limited.contains_key(**name));
        let missing: Vec<_> = missing
            .map(|(name, containers)| {
                let containers: Vec<_> = containers.iter().map(String::as_str).collect();
                format!("{name} for: {}", containers.join(","))
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("must specify {}", missing.join("; "))) }
    }
}

fn one() -> Quantity {
    Quantity::milli(1000)
}

/// Requests and limits under the names that quotas have for them.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut all = Amounts::from([(names::PODS.to_owned(), one())]);
    for (name, quantity) in requests {
        let is_compute = names::COMPUTE.contains(&&**name);
        if is_compute || is_huge_pages(name) {
            all.insert(name.clone(), *quantity);
        }
        if is_compute || is_huge_pages(name) || names::is_extended(name) {
            all.insert(format!("requests.{name}"), *quantity);
        }
    }
    for (name, quantity) in limits.iter().filter(|(name, _)| names::COMPUTE.contains(&&***name)) {
        all.insert(format!("limits.{name}"), *quantity);
    }
    all
}

fn unset(spec: &Spec) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut unset: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    if spec.resources.as_ref().is_some_and(Resources::is_of_pod) {
        return unset;
    }
    for container in spec.containers.iter().chain(&spec.init_containers) {
        let set = compute(&container.resources.requests, &container.resources.limits);
        for name in MUST_BE_SET.iter().filter(|name| !set.contains_key(**name)) {
            unset.entry(name).or_default().insert(container.name.clone());
        }
    }
    unset
}

fn is_best_effort(spec: &Spec, status: &Status) -> bool {
    if !status.qos_class.is_empty() {
        return status.qos_class == "BestEffort";
    }
    let asks = |resources: &Resources| {
        let mut all = resources.requests.iter().chain(&resources.limits);
        all.any(|(name, quantity)| matches!(&**name, "cpu" | "memory") && *quantity > Quantity::ZERO)
    };
    match spec.resources.as_ref().filter(|resources| resources.is_of_pod()) {
        Some(resources) => !asks(resources),
        None => !spec.containers.iter().chain(&spec.init_containers).any(|c| asks(&c.resources)),
    }
}

impl Deletion {
    /// The grace that the deletion's time has in it already counts once more, as upstream.
    fn overdue(self) -> Option<Timestamp> {
        let grace = SignedDuration::from_secs(self.deletion_grace_period_seconds?);
        self.deletion_timestamp?.checked_add(grace).ok()
    }
}

/// Reads a pod.
///
/// # Errors
/// It is not one.
pub fn read<'de, D: serde::Deserializer<'de>>(pod: D) -> Result<Priced, D::Error> {
    Pod::deserialize(pod).map(|pod| Priced::of(pod.metadata, &pod.spec, &pod.status))
}

#[cfg(test)]
mod tests;
