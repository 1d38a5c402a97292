//! DefaultIngressClass: a new Ingress that names no class gets the default one, if there is one.
//!
//! Of several defaults the youngest counts. Upstream: `plugin/pkg/admission/network/defaultingressclass/admission.go`.

use super::{default_storage_class::default_class, map_at};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Mutate, Operation};
use serde_json::Value;

const ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";
/// What named the class before there was a field for it.
const CLASS: &str = "kubernetes.io/ingress.class";

/// The plugin.
pub struct DefaultIngressClass;

/// The empty class of the annotation is a choice too.
fn has_class(ingress: &Value) -> bool {
    ingress["metadata"]["annotations"].get(CLASS).is_some()
        || ingress["spec"].get("ingressClassName").is_some_and(|class| !class.is_null())
}

impl Mutate for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        let (kind, group) = (request.kind, &request.kind.gvk.group);
        let is_ingress = **group == *"networking.k8s.io" && kind.resource == "ingresses";
        request.operation == Operation::Create && request.subresource.is_empty() && is_ingress
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        ingress: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            if !has_class(ingress)
                && let Some(class) = default_class(request.registry, &objects::INGRESS_CLASSES, &[ANNOTATION])
                && let Some(spec) = map_at(ingress, "spec")
            {
                spec.insert("ingressClassName".to_owned(), class.into());
            }
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_older_annotation_names_a_class_too() {
        assert!(has_class(&json!({"metadata": {"annotations": {CLASS: ""}}, "spec": {}})));
        assert!(has_class(&json!({"spec": {"ingressClassName": "other"}})));
        assert!(!has_class(&json!({"metadata": {"annotations": {}}, "spec": {"ingressClassName": null}})));
    }
}
