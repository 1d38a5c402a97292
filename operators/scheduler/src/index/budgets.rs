//! Disruption budgets, and which of the pods that are to go would break one.
//!
//! Upstream: pkg/scheduler/framework/preemption/util.go (FilterVictimsWithPDBViolation).

use super::Candidate;
use proa_kit::{
    Change,
    views::{Meta, PodDisruptionBudgetView, PodView},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Whether a pod that goes must be taken from a budget. An empty selector guards nothing here, as upstream.
fn counts(budget: &PodDisruptionBudgetView, pod: &PodView) -> bool {
    budget.spec.selector.as_ref().is_some_and(|selector| !selector.is_empty())
        && budget.guards(pod)
        && !budget.status.disrupted_pods.contains_key(&pod.metadata.name)
}

/// All budgets, by namespace and name.
#[derive(Debug, Default)]
pub struct Budgets(HashMap<Box<str>, BTreeMap<Box<str>, Arc<PodDisruptionBudgetView>>>);

impl Budgets {
    /// Takes in a change of a budget.
    pub(super) fn change(&mut self, change: &Change<PodDisruptionBudgetView>) {
        let Some(latest) = change.latest() else { return };
        let Meta { namespace, name, .. } = &latest.metadata;
        if let Some(budget) = &change.new {
            self.0.entry(namespace.clone()).or_default().insert(name.clone(), budget.clone());
        } else if let Some(own) = self.0.get_mut(namespace) {
            own.remove(name);
            if own.is_empty() {
                self.0.remove(namespace);
            }
        }
    }
    /// Splits pods that would go, in this order, into those that would break a budget and the others.
    pub fn split(&self, pods: Vec<Arc<Candidate>>) -> (Vec<Arc<Candidate>>, Vec<Arc<Candidate>>) {
        let mut taken: HashMap<(&str, &str), i32> = HashMap::new();
        pods.into_iter().partition(|pod| self.is_broken_by(&pod.view, &mut taken))
    }
    /// Takes a pod from the budgets that guard it, up to the first that has nothing left.
    fn is_broken_by<'a>(&'a self, pod: &PodView, taken: &mut HashMap<(&'a str, &'a str), i32>) -> bool {
        if pod.metadata.labels.is_empty() {
            return false;
        }
        let Some((namespace, budgets)) = self.0.get_key_value(&pod.metadata.namespace) else { return false };
        for (name, budget) in budgets.iter().filter(|(_, budget)| counts(budget, pod)) {
            let taken = taken.entry((namespace, name)).or_default();
            *taken += 1;
            if *taken > budget.status.disruptions_allowed {
                return true;
            }
        }
        false
    }
}
