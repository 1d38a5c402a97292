//! Who may do what: the question and the answer.
//!
//! Upstream: apiserver `pkg/authorization/authorizer/interfaces.go`.

use futures::future::BoxFuture;
use proa_meta::User;
use std::sync::Arc;

/// One question to an authorizer.
#[derive(Clone, Debug, Default)]
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
