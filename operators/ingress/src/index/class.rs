//! Which ingresses are this controller's. Pure.

use super::views::IngressView;
use proa_kit::views::{IngressClassView, ingress_class};

/// The class that the operator makes.
pub const CLASS: &str = "proa";

/// The class that an ingress names.
pub fn named(ingress: &IngressView) -> Option<&str> {
    ingress_class::named(&ingress.metadata, ingress.spec.ingress_class_name.as_deref())
}

/// Whether an ingress is to be served here.
pub fn serves<'a>(ingress: &IngressView, mut classes: impl Iterator<Item = &'a IngressClassView>) -> bool {
    match named(ingress) {
        Some(name) => classes.any(|class| *class.metadata.name == *name && class.is_own()),
        None => classes.any(|class| class.is_own() && class.is_default()),
    }
}
