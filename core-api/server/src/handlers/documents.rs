//! Plain paths: discovery, OpenAPI, version, health, metrics, and the list of them.
//!
//! Upstream: apiserver `pkg/server/routes`.

use super::{method_not_allowed, nothing_at};
use crate::{
    api::{Request, Response, Server},
    discovery,
    negotiate::{self, Form},
    openapi,
    query::Query,
    request_info::RequestInfo,
    respond,
};
use http::{Method, StatusCode};
use proa_meta::ApiResult;
use serde_json::json;

pub(super) fn answer(
    server: &Server,
    request: &Request,
    info: &RequestInfo,
    query: &Query<'_>,
) -> ApiResult<Response> {
    let path = match info.path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let Some(answer) = find(server, request, path, query) else { return nothing_at(server, &info.path) };
    if request.method != Method::GET {
        return Err(method_not_allowed());
    }
    answer
}

fn find(server: &Server, request: &Request, path: &str, query: &Query<'_>) -> Option<ApiResult<Response>> {
    if let Some(document) = server.config.documents.get(path) {
        return Some(Ok(document()));
    }
    Some(match path {
        "/" => Ok(paths(server, request)),
        "/version" => version(server, request),
        "/metrics" => Ok(server.metrics.answer(server)),
        "/debug/api_priority_and_fairness/dump_priority_levels" => Ok(server.flows.dump_levels()),
        "/debug/api_priority_and_fairness/dump_queues" => Ok(server.flows.dump_queues()),
        "/healthz" | "/livez" | "/readyz" => return server.config.health.answer(path, query).map(Ok),
        _ if path.starts_with("/api") => return discovery::answer(server, request, path),
        _ if path.starts_with("/openapi/") => return openapi::answer(server, request, path, query),
        _ => return server.config.health.answer(path, query).map(Ok),
    })
}

/// Indented, as upstream writes it for people.
fn version(server: &Server, request: &Request) -> ApiResult<Response> {
    if !negotiate::accepts_json(&request.headers) {
        return Err(negotiate::unroutable("application/json"));
    }
    let mut body = serde_json::to_vec_pretty(&server.config.version).unwrap_or_default();
    body.push(b'\n');
    Ok(respond::json(StatusCode::OK, body))
}

fn paths(server: &Server, request: &Request) -> Response {
    let catalogue = server.config.registry.catalogue();
    let outline = server.outline();
    let mut paths: Vec<String> = Vec::new();
    for group in discovery::merged::groups(&catalogue, outline.as_deref()) {
        if group.name.is_empty() {
            paths.extend(group.versions.iter().map(|v| format!("/api/{}", v.name())));
        } else {
            paths.push(format!("/apis/{}", group.name));
            paths.extend(group.versions.iter().map(|v| format!("/apis/{}/{}", group.name, v.name())));
        }
    }
    let fixed = [
        "/api",
        "/apis",
        "/debug/api_priority_and_fairness/dump_priority_levels",
        "/debug/api_priority_and_fairness/dump_queues",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    paths.extend(fixed.map(str::to_owned));
    paths.extend(server.config.documents.keys().cloned());
    paths.sort_unstable();
    let form = negotiate::text(&request.headers, request.uri.query()).unwrap_or_default();
    let (content_type, bytes) =
        respond::render(&json!({"paths": paths}), Form { pretty: true, ..form }, &*server.config.docs);
    respond::with_value(StatusCode::OK, content_type, crate::api::Body::Whole(bytes))
}
