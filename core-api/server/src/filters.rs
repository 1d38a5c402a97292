//! What every request passes, in upstream's order.
//!
//! [`run`] is the request path: read it downwards. Each stage is one function; the first that refuses ends the
//! request. Upstream: apiserver `pkg/server/config.go` `DefaultBuildHandlerChain`.

mod audit;
pub(crate) mod authz;
mod deadline;
mod fairness;
mod impersonation;
mod limits;
pub(crate) mod trace;

use crate::{
    api::{Request, Response, Server},
    authn, handlers,
    query::Query,
    request_info, respond,
};
use futures::FutureExt;
use proa_meta::{ApiError, ApiResult};
use std::{panic::AssertUnwindSafe, sync::Arc};

/// Answers a request. A panic below ends in a 500, not in a lost connection.
pub(crate) async fn run(server: &Arc<Server>, mut request: Request) -> Response {
    let mut trace = trace::Trace::begin(&request);
    let stages = AssertUnwindSafe(stages(server, &mut request, &mut trace)).catch_unwind();
    let answer = stages.await.unwrap_or_else(|panic| Err(trace.panicked(panic.as_ref())));
    let response = answer.unwrap_or_else(|error| {
        trace.failed(&error);
        respond::error(&error, &request.headers, request.uri.query(), &*server.config.docs)
    });
    trace.end(server, response).await
}

async fn stages(
    server: &Arc<Server>,
    request: &mut Request,
    trace: &mut trace::Trace,
) -> ApiResult<Response> {
    let uri = request.uri.clone();
    let query = Query::parse(uri.query());
    let info = request_info::parse(&request.method, uri.path(), &query)?;
    trace.is_about(&info, &query);
    let deadline = deadline::of(&info, &query, server.config.limits.timeout)?;
    let rest = async {
        limits::check(request, &server.config.limits)?;
        let asking = match authn::identify(server, request, &info).await {
            Ok(user) => user,
            Err(why) => {
                audit::refused(server, trace, request, &info).await;
                return Err(why);
            }
        };
        audit::received(server, trace, request, &info, &asking).await;
        let annotations = trace.annotations();
        audit::within(annotations, async {
            let user = impersonation::apply(server, request, asking.clone()).await?;
            trace.acts_as(&asking, &user);
            let seat = fairness::enter(server, &info, &query, &user, trace).await?;
            authz::check(server, &info, &user).await?;
            let answer = handlers::answer(server, request, info, &query, user, trace).await;
            drop(seat);
            answer
        })
        .await
    };
    deadline::within(deadline, rest).await
}

/// The error of a request that took too long.
fn too_slow() -> ApiError {
    const WHY: &str =
        "Timeout: request did not complete within requested timeout - context deadline exceeded";
    ApiError::timeout(WHY)
}
