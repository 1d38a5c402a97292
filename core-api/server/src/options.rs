//! Query parameters and bodies as a verb's options.
//!
//! Pure. Every option that a verb knows is parsed and validated with upstream's texts; one that it cannot honour is
//! refused. Upstream: apimachinery `pkg/apis/meta/internalversion/validation`, `pkg/apis/meta/v1/validation`.

mod delete;
mod list;
mod write;

pub(crate) use delete::delete_options;
pub(crate) use list::{collection_selection, list_options, watch_options};
pub(crate) use write::{patch_options, write_options};

use crate::query::Query;
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, GroupKind};
use proa_store::Revision;
use serde_json::{Value, json};

/// 422 about an options object such as `ListOptions`.
fn refuse(kind: &'static str, errors: &FieldErrors) -> ApiResult<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors))
}

/// `resourceVersion` of reads; absent and empty are `None`.
pub(crate) fn resource_version(query: &Query<'_>) -> ApiResult<Option<Revision>> {
    let Some(text) = query.text("resourceVersion") else { return Ok(None) };
    let well_formed = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| well_formed).map(|n| Some(Revision(n))).ok_or_else(|| {
        let why = if well_formed { "value out of range" } else { "invalid syntax" };
        ApiError::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {text:?}: \
             strconv.ParseUint: parsing {text:?}: {why}"
        ))
    })
}

/// `dryRun`: only `All` is a value.
fn dry_run(values: &[&str], errors: &mut FieldErrors) -> bool {
    if values.iter().any(|v| *v != "All") {
        let shown: Vec<Value> = values.iter().map(|v| json!(v)).collect();
        errors.not_supported(&FieldPath::root("dryRun"), &Value::Array(shown), &["All"]);
    }
    !values.is_empty()
}
