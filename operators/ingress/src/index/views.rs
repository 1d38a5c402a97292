//! Views of what routes are made of: Ingress, and secrets with certificates.

use proa_kit::{
    Kind, Meta, view,
    views::{meta, null_as_default, service::LoadBalancerStatus},
};
use serde::Deserialize;

const GROUP: &str = "networking.k8s.io";

/// An ingress.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct IngressView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: IngressSpec,
    /// Status.
    #[serde(default)]
    pub status: IngressStatus,
}

view!(IngressView, Kind::namespaced(GROUP, "v1", "Ingress", "ingresses"));

/// Spec of an ingress.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressSpec {
    /// Whose it is.
    pub ingress_class_name: Option<Box<str>>,
    /// Where requests go that no rule is for.
    pub default_backend: Option<IngressBackend>,
    /// Hosts with certificates.
    #[serde(deserialize_with = "null_as_default")]
    pub tls: Box<[IngressTls]>,
    /// Hosts with paths.
    #[serde(deserialize_with = "null_as_default")]
    pub rules: Box<[IngressRule]>,
}

/// Hosts that share a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressTls {
    /// The hosts; all of the ingress when empty.
    #[serde(deserialize_with = "null_as_default")]
    pub hosts: Box<[Box<str>]>,
    /// Where the certificate is; empty for the default one.
    pub secret_name: Box<str>,
}

/// A host with paths.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressRule {
    /// The host; empty for all that no other rule is for.
    pub host: Box<str>,
    /// Paths; none send everything to the default backend.
    pub http: Option<IngressPaths>,
}

/// Paths of a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressPaths {
    /// The paths.
    #[serde(deserialize_with = "null_as_default")]
    pub paths: Box<[IngressPath]>,
}

/// A path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressPath {
    /// The path; may be empty.
    pub path: Box<str>,
    /// `Exact`, `Prefix` or `ImplementationSpecific`.
    pub path_type: Box<str>,
    /// Where requests go.
    pub backend: IngressBackend,
}

/// Where requests go: a service, or something that only other controllers know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IngressBackend {
    /// The service.
    pub service: Option<BackendService>,
}

/// A port of a service of the ingress's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BackendService {
    /// Name of the service.
    pub name: Box<str>,
    /// Its port.
    pub port: BackendPort,
}

/// Which port: one of both is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(default)]
pub struct BackendPort {
    /// By name.
    pub name: Box<str>,
    /// By number.
    pub number: i32,
}

impl std::fmt::Display for BackendPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() { write!(f, "{}", self.number) } else { f.write_str(&self.name) }
    }
}

/// Status of an ingress.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressStatus {
    /// Where it is reached.
    pub load_balancer: LoadBalancerStatus,
}

/// A secret of type `kubernetes.io/tls`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TlsSecretView {
    /// Metadata.
    pub metadata: Meta,
    /// What it holds.
    pub data: TlsData,
}

view!(TlsSecretView, Kind::namespaced("", "v1", "Secret", "secrets"));

/// A certificate and its key, both PEM in base64.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TlsData {
    /// The certificate, followed by those that signed it.
    #[serde(rename = "tls.crt")]
    pub certificate: Box<str>,
    /// Its key.
    #[serde(rename = "tls.key")]
    pub key: Box<str>,
}

/// Keys are not for logs.
impl std::fmt::Debug for TlsData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsData")
    }
}
