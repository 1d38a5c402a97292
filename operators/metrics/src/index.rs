//! What tells the cluster of the API: how it should be, and how it is.

use proa_kit::{
    Kind, Meta,
    cache::Filter,
    view,
    views::{ConfigMapView, ServiceView, null_as_default},
};
use serde::Deserialize;
use std::sync::Arc;

/// Name of the APIService.
pub const API_SERVICE: &str = "v1beta1.metrics.k8s.io";
/// Namespace and name of the Service.
pub const SERVICE: (&str, &str) = ("kube-system", "proa-metrics");
/// The role that lets viewers read metrics; of the same name as metrics-server's.
pub const ROLE: &str = "system:aggregated-metrics-reader";
/// Where the cluster says which front proxy to believe.
pub const AUTHENTICATION: (&str, &str) = ("kube-system", "extension-apiserver-authentication");

/// One object.
pub fn named(namespace: &str, name: &str) -> Filter {
    Filter { namespace: namespace.into(), ..Filter::fields(&format!("metadata.name={name}")) }
}

/// How it should be, and how it is.
#[derive(Debug, Default)]
pub struct Publication {
    /// Where the server listens; nothing is published before it does.
    pub place: Option<Place>,
    /// The APIService.
    pub api_service: Option<Arc<ApiServiceView>>,
    /// The Service.
    pub service: Option<Arc<ServiceView>>,
    /// The role.
    pub role: Option<Arc<RoleView>>,
    /// Which front proxy to believe.
    pub authentication: Option<Arc<ConfigMapView>>,
}

/// Where the server listens, and by which authority it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Port on this machine.
    pub port: u16,
    /// PEM of the authority, as base64.
    pub authority: String,
}

/// An APIService.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ApiServiceView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: ApiServiceSpec,
}

view!(ApiServiceView, Kind::cluster("apiregistration.k8s.io", "v1", "APIService", "apiservices"));

/// Who answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiServiceSpec {
    /// The Service.
    pub service: Option<ServiceReference>,
    /// By which authority it is known.
    #[serde(deserialize_with = "null_as_default")]
    pub ca_bundle: String,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServiceReference {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Port.
    pub port: u16,
}

/// A cluster role.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RoleView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
}

view!(RoleView, Kind::cluster("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"));
