//! Admission: what may change or refuse a write after authorization.
//!
//! Mutation and validation are different traits, so that nothing changes an object after it was validated.
//! Upstream: apiserver `pkg/admission/interfaces.go`.

mod annotations;
mod notes;
mod shown;

pub use annotations::{Annotations, annotate, annotate_contents};
pub use notes::{Notes, Rounds};

use crate::{
    kind::KindDef,
    registry::Registry,
    request::{DeleteOptions, WriteOptions},
};
use futures::future::BoxFuture;
use proa_meta::{ApiResult, User};
use serde_json::Value;
use std::sync::Arc;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change, by PUT or PATCH.
    Update,
    /// A removal.
    Delete,
    /// A call to a connecting subresource (exec, proxy).
    Connect,
}

/// The options of a request, in the form of its operation.
#[derive(Clone, Copy)]
pub enum Options<'a> {
    /// Of a create, an update or a patch.
    Write(&'a WriteOptions),
    /// Of a delete.
    Delete(&'a DeleteOptions),
    /// A connection has none but its object.
    None,
}

/// A write, as admission sees it. `decide` may run again after a conflict: plugins must be repeatable.
pub struct AdmissionRequest<'a> {
    /// Where other objects can be looked up.
    pub registry: &'a Registry,
    /// Kind of the object.
    pub kind: &'a KindDef,
    /// Subresource, empty for the object itself.
    pub subresource: &'a str,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Name, empty for a create that generates it.
    pub name: &'a str,
    /// Operation.
    pub operation: Operation,
    /// Who asks.
    pub user: &'a Arc<User>,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// The object before, on update and delete.
    pub old: Option<&'a Value>,
    /// How it was asked.
    pub options: Options<'a>,
    /// What the answer says besides the object.
    pub notes: &'a Notes,
    /// Whether this is the second round of mutation, and what the first one left.
    pub rounds: &'a Rounds,
}

/// Changes objects on their way in.
pub trait Mutate: Send + Sync {
    /// Plugin name, as upstream spells it.
    fn name(&self) -> &'static str;
    /// Whether the plugin looks at such requests at all; cheap.
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool;
    /// Changes the object or refuses the request.
    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>>;
}

/// Refuses objects on their way in.
pub trait Validate: Send + Sync {
    /// Plugin name, as upstream spells it.
    fn name(&self) -> &'static str;
    /// Whether the plugin looks at such requests at all; cheap.
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool;
    /// Refuses the request or lets it pass; `object` is null on delete.
    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>>;
}
