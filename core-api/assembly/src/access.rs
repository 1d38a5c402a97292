//! Who is believed beside those that every cluster knows, and who decides what they may do.

use proa_policy::{
    authorizers::config::Mode, bootstrap::FrontProxies, jwt::Issuer, tokens::webhook::TokenWebhook,
};
use proa_server::{Anonymous, RequestHeaders};
use std::sync::Arc;

/// Everything that a cluster's administrator may configure of authentication and authorization. By default there is
/// nothing of it: anonymous requests are answered, nodes and roles are authorized.
pub struct Access {
    /// Front proxies, which say in headers whom a request comes from; none: nobody is one.
    pub request_headers: Option<Arc<RequestHeaders>>,
    /// The same for extension servers, which may believe this server's own front proxy, too.
    pub front_proxies: FrontProxies,
    /// Who need not say who they are.
    pub anonymous: Anonymous,
    /// Whose tokens are believed.
    pub issuers: Vec<Arc<Issuer>>,
    /// A webhook that knows tokens.
    pub token_webhook: Option<TokenWebhook>,
    /// Who decides, in order; none: nodes, then roles.
    pub authorizers: Option<Vec<Mode>>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            request_headers: None,
            front_proxies: FrontProxies::default(),
            anonymous: Anonymous::Everywhere,
            issuers: Vec::new(),
            token_webhook: None,
            authorizers: None,
        }
    }
}
