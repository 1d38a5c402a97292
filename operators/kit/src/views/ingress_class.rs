//! IngressClass, and which ingresses are of it.
//!
//! As ingress-nginx, the older annotation of an ingress comes first and then its field; both name a class. One without
//! either belongs to the default class: admission gives new ones its name, older ones are served as they are.

use super::{Meta, meta};
use crate::kind::Kind;
use serde::Deserialize;

/// Name of the project's ingress controller in classes.
pub const CONTROLLER: &str = "proa.dev/ingress";
/// Marks the class of ingresses that name none.
pub const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// What named the class before there was a field for it.
const ANNOTATION: &str = "kubernetes.io/ingress.class";

/// A class of ingresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressClassView {
    /// Metadata with annotations.
    #[serde(deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    pub spec: IngressClassSpec,
}

crate::view!(IngressClassView, Kind::cluster("networking.k8s.io", "v1", "IngressClass", "ingressclasses"));

/// Spec of a class.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressClassSpec {
    /// Who serves it.
    pub controller: Box<str>,
}

impl IngressClassView {
    /// Whether the project's ingress controller serves it.
    pub fn is_own(&self) -> bool {
        &*self.spec.controller == CONTROLLER
    }
    /// Whether ingresses without a class are of this one.
    pub fn is_default(&self) -> bool {
        self.metadata.annotations.get(IS_DEFAULT) == Some("true")
    }
}

/// The class that an ingress names, by its annotations or by `spec.ingressClassName`.
pub fn named<'a>(ingress: &'a Meta, field: Option<&'a str>) -> Option<&'a str> {
    ingress.annotations.get(ANNOTATION).filter(|class| !class.is_empty()).or(field)
}
