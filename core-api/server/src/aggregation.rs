//! Versions of groups that other API servers answer for: what this crate has to know of them, and the seam to whoever
//! asks them.
//!
//! Owns [`Outline`], from which discovery and OpenAPI show both sorts as one, and which requests go elsewhere. They have
//! passed all filters by then, as any other. Deliberately absent: connections, and how the outline comes to be
//! (`proa-relay`). Upstream: kube-aggregator `pkg/apiserver/{apiserver,handler_proxy,handler_discovery}.go`.

pub use crate::openapi::swagger::Swagger;
use crate::{
    api::{Request, Response, Server},
    request_info::RequestInfo,
};
use futures::future::BoxFuture;
use proa_meta::{ApiResult, User};
pub use proa_registry::registry::Priority;
use serde_json::{Map, Value};
use std::{collections::HashMap, sync::Arc};

/// A version of a group that another server answers for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remote {
    /// Group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Resources, as the aggregated discovery document has them.
    pub resources: Arc<Vec<Value>>,
    /// The server was not reached when it was last asked what it serves.
    pub stale: bool,
    /// Its part of the OpenAPI document of version 2.
    pub swagger: Arc<Swagger>,
    /// Its OpenAPI documents of version 3, as `/openapi/v3` shows them: by path, without what is others' to say.
    pub documents: Arc<Map<String, Value>>,
}

impl Remote {
    /// Name of its APIService.
    pub fn service_name(&self) -> String {
        format!("{}.{}", self.version, self.group)
    }
}

/// What else than this server's own kinds is served, and in which order all of it is shown.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Grows with every change.
    pub generation: u64,
    /// What others answer for.
    pub remotes: Vec<Remote>,
    /// By APIService, where it is not `usual`.
    pub priorities: HashMap<String, Priority>,
    /// Of all others.
    pub usual: Option<Priority>,
}

impl Outline {
    /// The server of a version of a group, when it is not this one.
    pub fn remote(&self, group: &str, version: &str) -> Option<&Remote> {
        self.remotes.iter().find(|remote| remote.group == group && remote.version == version)
    }
    /// Of a version of a group.
    pub fn priority(&self, group: &str, version: &str) -> Priority {
        let own = self.priorities.get(&format!("{version}.{group}")).copied();
        own.or(self.usual).unwrap_or(Priority { group: 0, version: 0 })
    }
    /// Whose OpenAPI document is at a path such as `apis/GROUP/VERSION`.
    fn documented(&self, path: &str) -> Option<&Remote> {
        self.remotes.iter().find(|remote| remote.documents.contains_key(path))
    }
}

/// Asks other API servers.
pub trait Aggregate: Send + Sync {
    /// What there is now.
    fn outline(&self) -> Arc<Outline>;
    /// Passes a request on to the server of an APIService, in the name of `user`.
    fn pass<'a>(
        &'a self,
        service: &'a str,
        request: Request,
        user: &'a User,
    ) -> BoxFuture<'a, ApiResult<Response>>;
}

/// What another server answers for, when the request is about such.
pub(crate) fn concerned(server: &Server, info: &RequestInfo) -> Option<String> {
    let outline = server.config.aggregation.as_ref()?.outline();
    if outline.remotes.is_empty() {
        return None;
    }
    let remote = if info.is_resource {
        outline.remote(&info.group, &info.version)
    } else {
        of_path(&outline, info.path.trim_matches('/'))
    };
    remote.map(Remote::service_name)
}

fn of_path<'a>(outline: &'a Outline, path: &str) -> Option<&'a Remote> {
    if let Some(document) = path.strip_prefix("openapi/v3/") {
        return outline.documented(document);
    }
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => outline.remote("", version),
        ["apis", group, version] => outline.remote(group, version),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_others_are_known() {
        let documents = Map::from_iter([("apis/a.io/v1".to_owned(), Value::Null)]);
        let of = |group: &str, documents| Remote {
            group: group.to_owned(),
            version: "v1".to_owned(),
            documents: Arc::new(documents),
            ..Remote::default()
        };
        let outline =
            Outline { remotes: vec![of("a.io", documents), of("", Map::new())], ..Outline::default() };
        let found = |path: &str| of_path(&outline, path).map(Remote::service_name);
        assert_eq!(found("apis/a.io/v1").as_deref(), Some("v1.a.io"));
        assert_eq!(found("openapi/v3/apis/a.io/v1").as_deref(), Some("v1.a.io"));
        assert_eq!(found("api/v1").as_deref(), Some("v1."));
        for other in ["apis/a.io", "apis/a.io/v2", "apis/b.io/v1", "openapi/v3/api/v1", "openapi/v3", ""] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
