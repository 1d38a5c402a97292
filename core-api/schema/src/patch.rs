//! Patches: RFC 6902 JSON patch, RFC 7386 merge patch and Kubernetes' strategic merge patch.
//!
//! Owns: what a patch does to a JSON document, and the errors that clients see when it cannot be done.
//! Invariants: no patch panics; a failed patch leaves nothing behind that a caller could store.
//! Deliberately absent: server-side apply ([`crate::apply`]), decoding and defaulting of the result, and the choice
//! of patch types per kind (custom kinds answer 415 to a strategic patch).
//! Upstream: apiserver `pkg/endpoints/handlers/patch.go`, `gopkg.in/evanphx/json-patch.v4`, apimachinery
//! `pkg/util/strategicpatch`.

pub(crate) mod go_text;
pub mod json_patch;
pub mod merge;
pub mod strategic;

pub use json_patch::{JsonPatch, json_kind, json_patch};
pub use merge::{merge, merge_patch};
pub use strategic::strategic;

use proa_meta::{ApiError, Reason, status::Details};

/// 422 as upstream answers a well-formed patch that does not fit the object.
fn unprocessable() -> ApiError {
    ApiError::new(Reason::Invalid, "the server rejected our request due to an error in our request")
        .with_details(Details::default())
}
