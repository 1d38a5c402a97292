//! What a cluster has to know of the operator, from the code: `webserver-operator manifests`.

use crate::{Settings, WebServerOperator, api::WebServer};
use kube::CustomResourceExt as _;
use proa_kit::operator::operator_rules;
use serde_json::{Value, json};
use std::sync::Arc;

/// One of the manifests.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Manifest {
    /// The definition of the kind
    Crd,
    /// The role of the operator: what it declares to watch and write
    Role,
}

impl Manifest {
    /// As an object.
    pub fn object(self) -> Value {
        match self {
            Self::Crd => json!(WebServer::crd()),
            Self::Role => {
                // What it may do does not depend on what it is told.
                let settings = Settings { domain: String::new(), image: String::new() };
                json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                    "metadata": {"name": "webserver-operator"},
                    "rules": operator_rules(&WebServerOperator(Arc::new(settings)))})
            }
        }
    }
    /// As YAML.
    ///
    /// # Errors
    /// It cannot be written as YAML.
    pub fn yaml(self) -> anyhow::Result<String> {
        Ok(serde_saphyr::to_string(&self.object())?)
    }
}
