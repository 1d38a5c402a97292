//! Subresources that answer with something other than an object: logs, proxies, connections that leave HTTP.
//!
//! Owns the table of them. A connector runs after authorization like every handler and gets the request as it came.
//! Upstream: apiserver `pkg/registry/rest` `Connecter`, `ResourceStreamer`.

use crate::{
    api::{Request, Response},
    filters,
    request_info::RequestInfo,
};
use futures::future::BoxFuture;
use proa_meta::{ApiResult, User};
use proa_registry::Attributes;
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// A request for a connector.
pub struct ConnectRequest {
    /// As it came, body included.
    pub request: Request,
    /// What its path means; `info.parts_after_subresource` is the path behind a proxy.
    pub info: RequestInfo,
    /// Who asks.
    pub user: Arc<User>,
}

impl ConnectRequest {
    /// The question that was asked of the authorizer.
    pub fn attributes(&self) -> Attributes {
        filters::authz::attributes(&self.info, &self.user)
    }
}

/// Answers one subresource.
pub trait Connect: Send + Sync {
    /// The request's options as an object, for those that admission is asked about: `PodExecOptions` and its sisters.
    /// None: what answers is only read (logs).
    fn options(&self, request: &ConnectRequest) -> Option<Value>;
    /// The answer, of any content type.
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, ApiResult<Response>>;
}

/// Connectors by group, resource and subresource.
#[derive(Clone, Default)]
pub struct Connectors(HashMap<(&'static str, &'static str, &'static str), Arc<dyn Connect>>);

impl Connectors {
    /// Adds one.
    #[must_use]
    pub fn with(
        mut self,
        group: &'static str,
        resource: &'static str,
        subresource: &'static str,
        connector: Arc<dyn Connect>,
    ) -> Self {
        self.0.insert((group, resource, subresource), connector);
        self
    }
    /// The connector of a request.
    pub(crate) fn find(&self, info: &RequestInfo) -> Option<&Arc<dyn Connect>> {
        if self.0.is_empty() || info.subresource.is_empty() {
            return None;
        }
        let key = (info.group.as_str(), info.resource.as_str(), info.subresource.as_str());
        self.0.iter().find(|(k, _)| **k == key).map(|(_, v)| v)
    }
}
