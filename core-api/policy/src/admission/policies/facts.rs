//! What expressions are told of a request: the objects in the version that a policy matches, the request itself, the
//! namespace.
//!
//! Upstream: `CreateAdmissionRequest`, `CreateNamespaceObject` of apiserver `pkg/admission/plugin/cel/condition.go`.

use crate::{
    admission::webhooks::{matching::Asked, review},
    objects,
};
use proa_meta::{ApiError, ApiResult};
use proa_registry::AdmissionRequest;
use proa_schema::policy::{Checks, Subject};
use serde_json::{Map, Value};

/// Metadata of a namespace that expressions see.
const NAMESPACE_FIELDS: [&str; 12] = [
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "finalizers",
];

/// The values of variables, in one version.
pub(in crate::admission) struct Facts {
    pub(super) object: Value,
    old: Value,
    request: Value,
}

impl Facts {
    /// Of a request with this object (null on delete).
    ///
    /// # Errors
    /// An object cannot be converted to the version.
    pub(in crate::admission) async fn of(
        asked: &Asked,
        request: &AdmissionRequest<'_>,
        object: &Value,
    ) -> ApiResult<Self> {
        Ok(Self {
            object: review::object(asked, request, object).await?,
            old: review::object(asked, request, request.old.unwrap_or(&Value::Null)).await?,
            request: review::attributes(asked, request),
        })
    }

    /// For expressions; conditions are not told the namespace.
    pub(in crate::admission) fn subject<'a>(&'a self, namespace: &'a Value) -> Subject<'a> {
        Subject { object: &self.object, old: &self.old, request: &self.request, namespace }
    }
}

fn is_namespace(request: &AdmissionRequest<'_>) -> bool {
    request.kind.gvk.group.is_empty() && request.kind.resource == "namespaces"
}

/// The namespace that the request is in; that of a namespace is its own.
pub(super) fn namespace_of<'a>(request: &AdmissionRequest<'a>) -> &'a str {
    if is_namespace(request) { request.name } else { request.namespace }
}

/// The object of the request's namespace, null for what is in none.
///
/// # Errors
/// It does not exist.
pub(super) fn namespace(request: &AdmissionRequest<'_>) -> ApiResult<Value> {
    if request.namespace.is_empty() || is_namespace(request) {
        return Ok(Value::Null);
    }
    let kind = objects::kind(request.registry, &objects::NAMESPACES)?;
    let entry = kind.get("", request.namespace);
    let entry =
        entry.ok_or_else(|| ApiError::not_found(&objects::NAMESPACES.group_resource(), request.namespace))?;
    let namespace = entry.value(&kind.def);
    let shown = NAMESPACE_FIELDS.iter().filter_map(|field| {
        let value = namespace["metadata"].get(field)?;
        Some(((*field).to_owned(), value.clone()))
    });
    let mut seen = Map::new();
    seen.insert("metadata".to_owned(), Value::Object(shown.collect()));
    for part in ["spec", "status"] {
        seen.insert(part.to_owned(), namespace[part].clone());
    }
    Ok(Value::Object(seen))
}

/// What `authorizer.requestResource` asks about.
pub(in crate::admission) fn requested(request: &AdmissionRequest<'_>) -> Checks {
    Checks {
        group: request.kind.gvk.group.to_string(),
        resource: request.kind.resource.to_string(),
        subresource: request.subresource.to_owned(),
        namespace: namespace_of(request).to_owned(),
        name: request.name.to_owned(),
        ..Checks::default()
    }
}
