//! Admission policies: expressions that ValidatingAdmissionPolicies and MutatingAdmissionPolicies hold requests to.
//!
//! Reads top-down: `source` has the policies that are bound, compiled, of the published state; `matching` says whether a
//! policy or a binding is about a request, `params` which objects parameterise it, `facts` and `authority` what its
//! expressions are told (webhooks' match conditions too); `evaluation` evaluates conditions and validations, `patch` mutations; `validating` and
//! `mutating` are the plugins; `access` keeps users from reading what they may not by way of parameters.
//! Invariants: without policies a request costs a look at an empty list; an expression is compiled once for each version
//! of its policy; policies are as new as the published state; they are never asked about policies and bindings, nor about
//! reviews of access and tokens. Audit annotations are checked and dropped: there is no audit log.
//! Upstream: apiserver `pkg/admission/plugin/policy`.

mod access;
pub(super) mod authority;
pub(super) mod evaluation;
pub(super) mod facts;
mod matching;
mod mutating;
mod params;
mod patch;
mod source;
mod validating;

pub use access::ParamAccess;
pub use mutating::MutatingAdmissionPolicy;
pub use validating::ValidatingAdmissionPolicy;
