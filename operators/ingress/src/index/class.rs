//! Which ingresses are this controller's. Pure.
//!
//! As ingress-nginx, the older annotation comes first and then the field; both name an IngressClass of this controller.
//! One without either belongs to the default class: admission gives new ones its name, older ones are served as they are.

use super::views::{IngressClassView, IngressView};

/// Name of this controller in IngressClasses.
pub const CONTROLLER: &str = "proa.dev/ingress";
/// The class that the operator makes.
pub const CLASS: &str = "proa";
/// What named the class before there was a field for it.
pub const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Marks the class of ingresses that name none.
pub const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// Whether a class is this controller's.
pub fn is_own(class: &IngressClassView) -> bool {
    &*class.spec.controller == CONTROLLER
}

/// Whether ingresses without a class are of this one.
pub fn is_default(class: &IngressClassView) -> bool {
    class.metadata.annotations.get(IS_DEFAULT) == Some("true")
}

/// The class that an ingress names.
pub fn named(ingress: &IngressView) -> Option<&str> {
    let annotation = ingress.metadata.annotations.get(CLASS_ANNOTATION).filter(|class| !class.is_empty());
    annotation.or(ingress.spec.ingress_class_name.as_deref())
}

/// Whether an ingress is to be served here.
pub fn serves<'a>(ingress: &IngressView, mut classes: impl Iterator<Item = &'a IngressClassView>) -> bool {
    match named(ingress) {
        Some(name) => classes.any(|class| *class.metadata.name == *name && is_own(class)),
        None => classes.any(|class| is_own(class) && is_default(class)),
    }
}
