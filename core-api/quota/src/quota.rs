//! A ResourceQuota, as far as charging and counting need it.

use crate::{Item, amounts::Amounts, names};
use proa_meta::GroupResource;
use serde::Deserialize;

/// A quota.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Its name.
    pub metadata: Named,
    /// What is wanted.
    pub spec: Spec,
    /// What holds.
    pub status: Status,
}

/// Metadata of a quota.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Name.
    pub name: String,
}

/// `spec` of a quota.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Limits.
    pub hard: Amounts,
    /// Scopes that an object must all be in.
    pub scopes: Vec<String>,
    /// More of them.
    pub scope_selector: ScopeSelector,
}

/// Scopes with operators.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScopeSelector {
    /// All must hold.
    pub match_expressions: Vec<Requirement>,
}

/// A scope that an object must be in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requirement {
    /// The scope.
    pub scope_name: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values, for the scopes that have any.
    pub values: Vec<String>,
}

/// `status` of a quota.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Limits that are enforced.
    pub hard: Amounts,
    /// What is used up of them.
    pub used: Amounts,
}

impl Spec {
    /// Whether the quota is about an object, by its scopes.
    pub fn covers(&self, item: &Item) -> bool {
        let exists = |scope: &String| Requirement {
            scope_name: scope.clone(),
            operator: "Exists".to_owned(),
            values: Vec::new(),
        };
        self.scopes.iter().all(|scope| item.is_in(&exists(scope)))
            && self.scope_selector.match_expressions.iter().all(|scope| item.is_in(scope))
    }
}

/// The part of a resource list that objects of a kind use up.
pub fn tracked(list: &Amounts, resource: &GroupResource) -> Amounts {
    let own = list.iter().filter(|(name, _)| names::tracked_by(name).as_ref() == Some(resource));
    own.map(|(name, quantity)| (name.clone(), *quantity)).collect()
}
