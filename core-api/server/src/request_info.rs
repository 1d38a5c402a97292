//! What a request's path means.
//!
//! Pure. Owns the split into verb, group, version, namespace, resource, subresource and name, or the verdict that the
//! path names no resource. Whether such a resource is served is not decided here.
//! Upstream: apiserver `pkg/endpoints/request/requestinfo.go`.

use crate::query::Query;
use http::Method;
use proa_meta::{ApiError, ApiResult};

/// A parsed path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Names a resource, not a plain path.
    pub is_resource: bool,
    /// Decoded path.
    pub path: String,
    /// API verb; for plain paths the lower-case HTTP method.
    pub verb: &'static str,
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace; for `namespaces/NAME` the name.
    pub namespace: String,
    /// Resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Object name, also when a list or watch selects one object by `metadata.name`.
    pub name: String,
    /// The name stands in the path.
    pub named_by_path: bool,
    /// Path behind the subresource, with its leading slash; empty without one.
    pub parts_after_subresource: String,
    /// Path of the deprecated form `/api/v1/watch/...`.
    pub watch_prefix: bool,
    /// Field selector of a list, watch or deletecollection that the query alone tells.
    pub field_selector: String,
    /// Label selector of the same.
    pub label_selector: String,
}

/// What follows `namespaces/NAME/` without being a namespaced resource.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Whether it may stay open for long: no deadline, no seat in the queue.
    pub fn is_long_running(&self) -> bool {
        matches!(self.verb, "watch" | "proxy")
            || matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward")
    }
    /// Whether it changes nothing.
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch" | "head" | "options")
    }
}

/// Parses method and path; the query decides between list and watch and may name the object.
///
/// # Errors
/// A path that starts with a special verb and ends there.
pub(crate) fn parse(method: &Method, path: &str, query: &Query<'_>) -> ApiResult<RequestInfo> {
    let path = decode_path(path);
    let mut info = RequestInfo { verb: plain_verb(method), ..RequestInfo::default() };
    let trimmed = path.trim_matches('/');
    let prefix_end = trimmed.find('/').unwrap_or(trimmed.len());
    let grouped = match &trimmed[..prefix_end] {
        "api" => false,
        "apis" => true,
        _ => return Ok(plain(info, path)),
    };
    let mut parts = trimmed.split('/').skip(1).peekable();
    let count = trimmed.split('/').count();
    if count < if grouped { 4 } else { 3 } {
        return Ok(plain(info, path));
    }
    if grouped {
        parts.next().unwrap_or_default().clone_into(&mut info.group);
    }
    parts.next().unwrap_or_default().clone_into(&mut info.version);
    info.is_resource = true;
    info.verb = resource_verb(method);
    if let Some(special @ ("watch" | "proxy")) = parts.peek().copied() {
        parts.next();
        if parts.peek().is_none() {
            let text = format!("unable to determine kind and namespace from url, {path}");
            return Err(ApiError::bad_request(text));
        }
        info.watch_prefix = special == "watch";
        info.verb = if info.watch_prefix { "watch" } else { "proxy" };
    }
    fill_parts(&mut info, parts.collect::<Vec<_>>().as_slice());
    refine_verb(&mut info, query);
    // The deprecated form does not select everywhere.
    if matches!(info.verb, "list" | "watch" | "deletecollection") && !info.watch_prefix {
        query.text("fieldSelector").unwrap_or_default().clone_into(&mut info.field_selector);
        query.text("labelSelector").unwrap_or_default().clone_into(&mut info.label_selector);
    }
    info.path = path;
    Ok(info)
}

fn plain(info: RequestInfo, path: String) -> RequestInfo {
    RequestInfo { path, ..info }
}

fn fill_parts(info: &mut RequestInfo, mut parts: &[&str]) {
    if let ["namespaces", namespace, rest @ ..] = parts {
        (*namespace).clone_into(&mut info.namespace);
        if rest.first().is_some_and(|next| !NAMESPACE_SUBRESOURCES.contains(next)) {
            parts = rest;
        }
    }
    if let Some(subresource) = parts.get(2).filter(|_| info.verb != "proxy") {
        (*subresource).clone_into(&mut info.subresource);
    }
    if let Some(name) = parts.get(1) {
        (*name).clone_into(&mut info.name);
        info.named_by_path = !name.is_empty();
    }
    if let Some(resource) = parts.first() {
        (*resource).clone_into(&mut info.resource);
    }
    if let Some(rest) = parts.get(3..).filter(|rest| !rest.is_empty()) {
        info.parts_after_subresource = format!("/{}", rest.join("/"));
    }
}

/// Without a name, `get` is `list` or `watch` and `delete` is `deletecollection`.
fn refine_verb(info: &mut RequestInfo, query: &Query<'_>) {
    if !info.name.is_empty() {
        return;
    }
    match info.verb {
        "get" => {
            info.verb = if query.flag("watch") == Some(true) { "watch" } else { "list" };
            name_of_selector(info, query);
        }
        "delete" => info.verb = "deletecollection",
        _ => {}
    }
}

/// A field selector that pins `metadata.name` names the object, so that a role with resourceNames can allow it.
fn name_of_selector(info: &mut RequestInfo, query: &Query<'_>) {
    let Some(selector) = query.text("fieldSelector") else { return };
    let pinned = selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value))
    });
    if let Some(name) = pinned.filter(|n| is_path_segment(n)) {
        name.clone_into(&mut info.name);
    }
}

fn is_path_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '%', '\\'])
}

fn plain_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        Method::CONNECT => "connect",
        Method::TRACE => "trace",
        _ => "",
    }
}

fn resource_verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

fn decode_path(path: &str) -> String {
    if path.contains('%') {
        percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, target: &str) -> RequestInfo {
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        parse(method, path, &Query::parse(query)).unwrap()
    }

    #[test]
    fn selectors_belong_to_what_selects() {
        let query = "?fieldSelector=spec.nodeName%3Dn&labelSelector=a";
        for (want, method, path) in [
            (true, Method::GET, "/api/v1/pods"),
            (true, Method::DELETE, "/api/v1/namespaces/d/pods"),
            (false, Method::GET, "/api/v1/namespaces/d/pods/p"),
            (false, Method::POST, "/api/v1/namespaces/d/pods"),
            (false, Method::GET, "/api/v1/watch/pods"),
        ] {
            let info = of(&method, &format!("{path}{query}"));
            let wanted = if want { ("spec.nodeName=n", "a") } else { ("", "") };
            assert_eq!(
                (info.field_selector.as_str(), info.label_selector.as_str()),
                wanted,
                "{method} {path}"
            );
        }
    }

    /// method, target, then verb, group, version, namespace, resource, subresource, name
    type Row = (Method, &'static str, [&'static str; 7]);

    #[test]
    fn resource_paths() {
        let table: &[Row] = &[
            (Method::GET, "/api/v1/namespaces", ["list", "", "v1", "", "namespaces", "", ""]),
            (Method::GET, "/api/v1/namespaces/other", ["get", "", "v1", "other", "namespaces", "", "other"]),
            (Method::GET, "/api/v1/namespaces/other/pods", ["list", "", "v1", "other", "pods", "", ""]),
            (Method::HEAD, "/api/v1/namespaces/other/pods/a", ["get", "", "v1", "other", "pods", "", "a"]),
            (Method::GET, "/api/v1/pods", ["list", "", "v1", "", "pods", "", ""]),
            (Method::GET, "/api/v1/pods?watch=1", ["watch", "", "v1", "", "pods", "", ""]),
            (Method::GET, "/api/v1/pods?watch=false", ["list", "", "v1", "", "pods", "", ""]),
            (Method::POST, "/api/v1/pods", ["create", "", "v1", "", "pods", "", ""]),
            (
                Method::PUT,
                "/apis/apps/v1/namespaces/n/deployments/d/status",
                ["update", "apps", "v1", "n", "deployments", "status", "d"],
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/n/status",
                ["update", "", "v1", "n", "namespaces", "status", "n"],
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/n/finalize",
                ["update", "", "v1", "n", "namespaces", "finalize", "n"],
            ),
            (
                Method::DELETE,
                "/apis/apps/v1/deployments",
                ["deletecollection", "apps", "v1", "", "deployments", "", ""],
            ),
            (Method::DELETE, "/api/v1/nodes/n1", ["delete", "", "v1", "", "nodes", "", "n1"]),
            (Method::GET, "/api/v1/watch/namespaces/n/pods", ["watch", "", "v1", "n", "pods", "", ""]),
            (Method::GET, "/api/v1/proxy/namespaces/n/pods/p/x", ["proxy", "", "v1", "n", "pods", "", "p"]),
            (
                Method::GET,
                "/api/v1/pods?fieldSelector=metadata.name%3Da",
                ["list", "", "v1", "", "pods", "", "a"],
            ),
            (
                Method::GET,
                "/api/v1/pods?fieldSelector=metadata.name!%3Da",
                ["list", "", "v1", "", "pods", "", ""],
            ),
            (Method::PATCH, "/api/v1/namespaces/n/pods/a%3Ab/", ["patch", "", "v1", "n", "pods", "", "a:b"]),
        ];
        for (method, target, want) in table {
            let info = of(method, target);
            let got = [
                info.verb,
                info.group.as_str(),
                &info.version,
                &info.namespace,
                &info.resource,
                &info.subresource,
                &info.name,
            ];
            assert!(info.is_resource, "{target}");
            assert_eq!(&got, want, "{method} {target}");
        }
    }

    #[test]
    fn plain_paths() {
        for (target, path) in [
            ("/", "/"),
            ("/healthz", "/healthz"),
            ("/api", "/api"),
            ("/api/v1", "/api/v1"),
            ("/api/v1/", "/api/v1/"),
            ("/apis/apps/v1", "/apis/apps/v1"),
            ("/openapi/v3/apis/apps/v1", "/openapi/v3/apis/apps/v1"),
            ("/foo/v1/pods", "/foo/v1/pods"),
        ] {
            let info = of(&Method::GET, target);
            assert!(!info.is_resource, "{target}");
            assert_eq!((info.verb, info.path.as_str()), ("get", path));
        }
    }

    #[test]
    fn paths_behind_a_subresource_are_kept() {
        let info = of(&Method::GET, "/api/v1/namespaces/n/services/s/proxy/a/b");
        assert_eq!((info.subresource.as_str(), info.parts_after_subresource.as_str()), ("proxy", "/a/b"));
        assert!(info.is_long_running());
    }

    #[test]
    fn a_special_verb_needs_a_resource() {
        assert!(parse(&Method::GET, "/api/v1/watch", &Query::default()).is_err());
    }
}
