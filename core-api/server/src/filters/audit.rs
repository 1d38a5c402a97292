//! Where auditing takes place: after authentication, before impersonation, so that the impersonator is recorded.
//!
//! The record stays with `trace`, which writes what comes of the request. Upstream: apiserver
//! `pkg/endpoints/filters/{audit,authn_audit}.go`.

use super::trace::Trace;
use crate::{
    api::{Request, Server},
    audit::{Record, Stage},
    request_info::RequestInfo,
};
use proa_meta::User;
use proa_registry::admission::Annotations;
use std::sync::Arc;

/// Somebody asks.
pub(super) async fn received(
    server: &Server,
    trace: &mut Trace,
    request: &Request,
    info: &RequestInfo,
    user: &Arc<User>,
) {
    trace.record = record(server, trace, request, info, Some(user));
    if let Some(record) = &mut trace.record {
        record.reach(Stage::RequestReceived).await;
    }
}

/// Somebody's credentials were refused: one event tells all there is to tell.
pub(super) async fn refused(server: &Server, trace: &Trace, request: &Request, info: &RequestInfo) {
    if let Some(mut record) = record(server, trace, request, info, None) {
        record.refused(request);
        record.complete(Stage::ResponseStarted).await;
    }
}

/// Answers a request, and takes what others have to say about it.
pub(super) async fn within<T>(annotations: Option<Arc<Annotations>>, work: impl Future<Output = T>) -> T {
    match annotations {
        Some(annotations) => annotations.gather(Box::pin(work)).await,
        None => work.await,
    }
}

fn record(
    server: &Server,
    trace: &Trace,
    request: &Request,
    info: &RequestInfo,
    user: Option<&Arc<User>>,
) -> Option<Box<Record>> {
    let audit = server.config.audit.as_ref()?;
    let id = match trace.audit_id() {
        "" => uuid::Uuid::new_v4().to_string(),
        id => id.to_owned(),
    };
    audit.record(request, info, user, id, trace.received())
}
