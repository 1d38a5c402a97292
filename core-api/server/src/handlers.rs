//! What answers a request that the filters let pass: resources, plain paths, or another API server.

pub(crate) mod body;
mod documents;
mod read;
mod resource;
mod write;

use crate::{
    aggregation,
    api::{Body, Request, Response, Server},
    filters::{self, trace::Trace},
    metrics::Labels,
    query::Query,
    request_info::RequestInfo,
    respond,
    upgrade::Switch,
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
    if let Some(service) = aggregation::concerned(server, &info) {
        trace.is_served(Labels::default());
        trace.mark(&mut request.headers);
        return pass(server, &service, request, &user).await;
    }
    if !info.is_resource {
        if request.method == Method::HEAD {
            request.method = Method::GET;
        }
        trace.is_served(Labels::default());
        return documents::answer(server, request, &info, query);
    }
    let catalogue = server.config.registry.catalogue();
    let Some(kind) = catalogue.find(&info.group, &info.version, &info.resource).cloned() else {
        return nothing_at(server, &info.path);
    };
    drop(catalogue);
    let body_size = request.body.len();
    resource::Call { server, request, info, query, kind, user, trace, body_size }.answer().await
}

/// 404: a `Status` below what is built in, a text everywhere else.
fn nothing_at(server: &Server, path: &str) -> ApiResult<Response> {
    let catalogue = server.config.registry.catalogue();
    let is_built_in = |group: &str| {
        let versions = catalogue.group(group).into_iter().flat_map(|group| &group.versions);
        versions.flat_map(|version| version.kinds.values()).any(|kind| !kind.def.custom)
    };
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("api" | "version"), _) => Err(ApiError::no_such_resource()),
        (Some("apis"), Some(group)) if is_built_in(group) => Err(ApiError::no_such_resource()),
        _ => Ok(respond::no_such_path()),
    }
}

/// Lets the API server that answers for the request's group do so.
async fn pass(server: &Server, service: &str, request: &mut Request, user: &User) -> ApiResult<Response> {
    let Some(aggregation) = &server.config.aggregation else { return Ok(respond::no_such_path()) };
    let switch = request.switch;
    only_as_offered(aggregation.pass(service, request.take(), user).await?, switch)
}

/// An answer that does not leave HTTP unasked.
fn only_as_offered(response: Response, switch: Switch) -> ApiResult<Response> {
    match response.body {
        Body::Upgrade(_) if switch != Switch::Offered => {
            Err(ApiError::internal("an upgrade was answered that nobody asked for"))
        }
        _ => Ok(response),
    }
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
