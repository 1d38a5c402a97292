//! What answers a request that the filters let pass: resources, or plain paths.

pub(crate) mod body;
mod documents;
mod read;
mod resource;
mod write;

use crate::{
    api::{Request, Response, Server},
    filters::{self, trace::Trace},
    metrics::Labels,
    query::Query,
    request_info::RequestInfo,
    respond,
};
use http::Method;
use proa_meta::{ApiError, ApiResult, Reason, User};
use std::sync::Arc;

/// Answers a request.
pub(crate) async fn answer(
    server: &Arc<Server>,
    request: &mut Request,
    info: RequestInfo,
    query: &Query<'_>,
    user: Arc<User>,
    trace: &mut Trace,
) -> ApiResult<Response> {
    if !info.is_resource {
        if request.method == Method::HEAD {
            request.method = Method::GET;
        }
        trace.is_served(Labels::default());
        return documents::answer(server, request, &info, query);
    }
    let catalogue = server.config.registry.catalogue();
    let Some(kind) = catalogue.find(&info.group, &info.version, &info.resource).cloned() else {
        return Ok(respond::no_such_path());
    };
    drop(catalogue);
    let body_size = request.body.len();
    resource::Call { server, request, info, query, kind, user, trace, body_size }.answer().await
}

/// 405 with upstream's text for paths that exist.
fn method_not_allowed() -> ApiError {
    const WHY: &str = "the server does not allow this method on the requested resource";
    ApiError::new(Reason::MethodNotAllowed, WHY).with_details(Default::default())
}

/// The question whether the user may also create what an update or apply would make.
async fn may_create(server: &Server, info: &RequestInfo, user: &Arc<User>) -> ApiResult<()> {
    let mut attributes = filters::authz::attributes(info, user);
    attributes.verb = "create".to_owned();
    filters::authz::decide(server, &attributes).await
}
