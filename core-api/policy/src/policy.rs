//! All of policy, put together for one registry.
//!
//! Owns: the wiring of authorizers, plugins and actions. The binary calls [`Policy::new`], installs
//! [`Policy::plugins`] in the registry, gives [`Policy::authorizer`] and [`Policy::verifier`] to the server, runs
//! [`crate::bootstrap::run`] once and [`crate::aggregation::run`] as a task.

use crate::{
    actions::{self, Dependencies},
    admission,
    authorizers::Chain,
    node::NodeAuthorizer,
    rbac::{Rbac, escalation::Escalation},
    tokens::{key::SigningKey, verifier::TokenVerifier},
};
use proa_registry::{Authorizer, Registry, registry::Plugins};
use std::sync::Arc;

/// Settings of policy.
pub struct Settings {
    /// Issuer of service account tokens.
    pub issuer: String,
    /// Audiences that mean the API server; usually the issuer alone.
    pub audiences: Vec<String>,
    /// Signs and verifies tokens.
    pub key: Arc<SigningKey>,
}

/// Authorizers, plugins and actions of one registry.
pub struct Policy {
    /// Decides requests.
    pub authorizer: Arc<dyn Authorizer>,
    /// Verifies service account tokens.
    pub verifier: Arc<TokenVerifier>,
    rbac: Arc<Rbac>,
    settings: Settings,
}

impl Policy {
    /// Policy over the registry's published state.
    pub fn new(registry: &Arc<Registry>, settings: Settings) -> Self {
        let rbac = Rbac::new(registry.clone());
        let authorizer: Arc<dyn Authorizer> =
            Chain::new(vec![NodeAuthorizer::new(registry.clone()), rbac.clone()]);
        let keys = vec![settings.key.public().clone()];
        let issuers = vec![settings.issuer.clone()];
        let verifier = TokenVerifier::new(registry.clone(), issuers, settings.audiences.clone(), keys);
        Self { authorizer, verifier, rbac, settings }
    }

    /// What takes part in writes. The mutating and validating webhooks come behind the plugins; they are the caller's.
    pub fn plugins(&self) -> Plugins {
        let mut validators = admission::validators();
        validators.push(Arc::new(Escalation::new(self.rbac.clone(), self.authorizer.clone())));
        let actions = actions::actions(&Dependencies {
            authorizer: self.authorizer.clone(),
            verifier: self.verifier.clone(),
            key: self.settings.key.clone(),
            issuer: self.settings.issuer.clone(),
        });
        Plugins { mutators: admission::mutators(), validators, actions }
    }
}
