//! An object as quotas see it.

use crate::{
    amounts::Amounts,
    claim,
    names::{self, CLAIMS, PODS, SERVICES},
    pod,
    quota::Requirement,
    service,
};
use jiff::Timestamp;
use proa_meta::{
    GroupResource,
    quantity::{Format, Quantity},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// What quotas have to know of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A pod.
    Pod(Box<pod::Priced>),
    /// A service.
    Service(service::Priced),
    /// A persistent volume claim.
    Claim(claim::Priced),
    /// Any other object: it is only counted, under these names.
    Counted(Vec<String>),
}

impl Item {
    /// Reads an object of a kind.
    ///
    /// # Errors
    /// It is not of that kind.
    pub fn read(resource: &GroupResource, object: &Value) -> Result<Self, serde_json::Error> {
        Ok(match (&*resource.group, &*resource.resource) {
            ("", PODS) => Self::Pod(Box::new(pod::read(object)?)),
            ("", SERVICES) => Self::Service(service::read(object)?),
            ("", CLAIMS) => Self::Claim(claim::read(object)?),
            _ => Self::counted(resource),
        })
    }
    /// An object that is only counted.
    pub fn counted(resource: &GroupResource) -> Self {
        let mut names = vec![names::count(resource)];
        // A plain name belongs to the core group's kind alone.
        if resource.group.is_empty() {
            names.push(resource.resource.to_string());
        }
        Self::Counted(names)
    }
    /// What it costs at a time.
    pub fn usage(&self, now: Timestamp) -> Amounts {
        match self {
            Self::Pod(pod) => pod.usage(now),
            Self::Service(service) => service.usage(),
            Self::Claim(claim) => claim.usage(),
            Self::Counted(names) => {
                let one = Quantity::new(1, Format::DecimalSi);
                names.iter().map(|name| (name.clone(), one)).collect()
            }
        }
    }
    /// When it will cost less although nothing changes.
    pub fn cheaper_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pod(pod) if !pod.finished => pod.overdue,
            _ => None,
        }
    }
    /// Whether it is in a scope. Only pods and claims are in any.
    pub fn is_in(&self, scope: &Requirement) -> bool {
        let one = |name: &str| (!name.is_empty()).then(|| name.to_owned()).into_iter().collect();
        match (self, &*scope.scope_name) {
            (Self::Pod(pod), "Terminating") => pod.terminating,
            (Self::Pod(pod), "NotTerminating") => !pod.terminating,
            (Self::Pod(pod), "BestEffort") => pod.best_effort,
            (Self::Pod(pod), "NotBestEffort") => !pod.best_effort,
            (Self::Pod(pod), "CrossNamespacePodAffinity") => pod.cross_namespace,
            (Self::Pod(pod), "PriorityClass") => scope.holds(&one(&pod.priority_class)),
            (Self::Claim(claim), "VolumeAttributesClass") => scope.holds(&claim.attributes_classes),
            _ => false,
        }
    }
    /// Whether a change of the object can be one of what it costs, or of who pays.
    pub fn is_charged_on_update(&self, old: &Self) -> bool {
        match (self, old) {
            (Self::Pod(new), Self::Pod(old)) => new.terminating != old.terminating,
            (Self::Service(_), _) | (Self::Claim(_), _) => true,
            _ => false,
        }
    }
}

impl Requirement {
    /// Whether one of the values an object has for the scope fits.
    fn holds(&self, values: &BTreeSet<String>) -> bool {
        let listed = |value: &String| self.values.contains(value);
        match &*self.operator {
            "Exists" => !values.is_empty(),
            "DoesNotExist" => values.is_empty(),
            "In" => values.iter().any(listed),
            "NotIn" => values.is_empty() || values.iter().any(|value| !listed(value)),
            _ => false,
        }
    }
}
