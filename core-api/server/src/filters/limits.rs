//! Bounds on what one request carries. Upstream: apiserver `pkg/endpoints/handlers/rest.go` `limitedReadBody`.

use crate::api::{Limits, Request};
use proa_meta::{ApiError, ApiResult};

pub(super) fn check(request: &Request, limits: &Limits) -> ApiResult<()> {
    if request.body.len() > limits.body_bytes {
        return Err(body_too_large(limits.body_bytes));
    }
    Ok(())
}

/// 413 with upstream's text; also for transports that stop reading before the body is complete.
pub(crate) fn body_too_large(limit: usize) -> ApiError {
    ApiError::too_large(format!("Request entity too large: limit is {limit}"))
}
