//! Who may do what: the question and the answer.
//!
//! Upstream: apiserver `pkg/authorization/authorizer/interfaces.go`.

use futures::future::BoxFuture;
use proa_meta::{
    User,
    selector::{FieldRequirement, FieldSelector, Requirement, Selector},
};
use std::sync::Arc;

/// One question to an authorizer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Who asks.
    pub user: Arc<User>,
    /// API verb (`get`, `list`, `create`, ..., or the lower-case HTTP method for plain paths).
    pub verb: String,
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Resource; empty for plain paths.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace; empty for cluster-wide.
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// Path, for requests that name no resource.
    pub path: String,
    /// Names a resource, not a plain path.
    pub is_resource: bool,
    /// What the objects' fields must be; only of verbs that select (list, watch, deletecollection).
    pub fields: Vec<FieldRequirement>,
    /// What the objects' labels must be.
    pub labels: Vec<Requirement>,
}

impl Attributes {
    /// With the selectors of a query; an empty one selects nothing. One that cannot be read is left out, which asks for
    /// more than is wanted and so never allows too much.
    #[must_use]
    pub fn selecting(mut self, fields: &str, labels: &str) -> Self {
        if !fields.is_empty() {
            self.fields =
                FieldSelector::parse(fields).map_or_else(|_| Vec::new(), |s| s.requirements().to_vec());
        }
        if !labels.is_empty() {
            self.labels = Selector::parse(labels).map_or_else(|_| Vec::new(), |s| s.requirements().to_vec());
        }
        self
    }

    /// Whether only objects are selected whose field has this value.
    pub fn selects_field(&self, field: &str, value: &str) -> bool {
        self.fields.iter().any(|r| !r.negated && r.field == field && r.value == value)
    }
}

/// An authorizer's answer, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let pass.
    Allow(String),
    /// Refuse, whatever others say.
    Deny(String),
    /// Ask the next one.
    NoOpinion(String),
}

/// Decides requests. Must answer from memory where it can: it runs on every request.
pub trait Authorizer: Send + Sync {
    /// The decision.
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision>;
    /// The rules that apply to a user in a namespace: `(resourceRules, nonResourceRules, incomplete)`,
    /// in the form of SelfSubjectRulesReview's status.
    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, serde_json::Value>;
}
