//! Who writes a policy or a binding can read the parameters that it names.
//!
//! Upstream: `pkg/registry/admissionregistration/{validating,mutating}admissionpolic{y,ybinding}/authz.go`.

use super::source::text;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, Gvr, gvk, identity::MASTERS};
use proa_registry::{AdmissionRequest, Attributes, Authorizer, Decision, Operation, Validate};
use serde_json::Value;
use std::sync::Arc;

const GROUP: &str = "admissionregistration.k8s.io";
const POLICIES: [&str; 2] = ["validatingadmissionpolicies", "mutatingadmissionpolicies"];
const BINDINGS: [&str; 2] = ["validatingadmissionpolicybindings", "mutatingadmissionpolicybindings"];

/// The check, as a validating plugin.
pub struct ParamAccess(Arc<dyn Authorizer>);

/// Group, version and resource of parameters, and what is not known of them.
struct Resource {
    group: String,
    version: String,
    resource: String,
    unknown: Option<String>,
}

impl ParamAccess {
    /// `authorizer` knows what users may read.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self(authorizer)
    }

    async fn allows(&self, attributes: Attributes) -> bool {
        matches!(self.0.authorize(&attributes).await, Decision::Allow(_))
    }

    async fn check(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        let old = request.old.unwrap_or(&Value::Null);
        let refused = if POLICIES.contains(&request.kind.resource.as_ref()) {
            self.check_policy(request, object, old).await.map(|why| ("paramKind", why))
        } else {
            self.check_binding(request, object, old).await.map(|why| ("paramRef", why))
        };
        let Some((field, why)) = refused else { return Ok(()) };
        let mut errors = FieldErrors::default();
        errors.forbidden(&FieldPath::root("spec").child(field), &why);
        Err(ApiError::invalid(&request.kind.group_kind(), request.name, &errors))
    }

    async fn check_policy(
        &self,
        request: &AdmissionRequest<'_>,
        object: &Value,
        old: &Value,
    ) -> Option<String> {
        let params = &object["spec"]["paramKind"];
        if !params.is_object() || old["spec"]["paramKind"] == *params {
            return None;
        }
        let Resource { group, version, resource, .. } = resource_of(request, params);
        let attributes = Attributes {
            user: request.user.clone(),
            verb: "get".to_owned(),
            group,
            version,
            resource,
            namespace: "*".to_owned(),
            name: "*".to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        if self.allows(attributes).await {
            return None;
        }
        Some(format!(
            "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
            request.user.name,
            text(&params["kind"]),
            text(&params["apiVersion"]),
        ))
    }

    async fn check_binding(
        &self,
        request: &AdmissionRequest<'_>,
        object: &Value,
        old: &Value,
    ) -> Option<String> {
        let (spec, before) = (&object["spec"], &old["spec"]);
        let params = &spec["paramRef"];
        let is_same = before["paramRef"] == *params && before["policyName"] == spec["policyName"];
        if !params.is_object() || is_same {
            return None;
        }
        let Resource { group, version, resource, unknown } = self.of_binding(request, spec);
        let name = text(&params["name"]);
        let verb = if name.is_empty() { "list" } else { "get" };
        let attributes = Attributes {
            user: request.user.clone(),
            verb: verb.to_owned(),
            group,
            version,
            resource,
            namespace: text(&params["namespace"]),
            name,
            is_resource: true,
            ..Attributes::default()
        };
        if self.allows(attributes).await {
            return None;
        }
        let user = &request.user.name;
        Some(match unknown {
            Some(what) => format!(
                "unable to {what} to determine minimum required permissions and user {user} does not have {verb:?} \
                 permission for all groups, versions and resources"
            ),
            None => {
                format!("user {user} does not have {verb:?} permission on the object referenced by paramRef")
            }
        })
    }

    /// What the policy of a binding is parameterised with; everything when that is not known.
    fn of_binding(&self, request: &AdmissionRequest<'_>, spec: &Value) -> Resource {
        let at = BINDINGS.iter().position(|name| request.kind.resource == **name).unwrap_or_default();
        let policies = request.registry.kind(&Gvr::new(GROUP, "v1", POLICIES[at]));
        let name = text(&spec["policyName"]);
        let all = || "*".to_owned();
        let everything = |unknown| Resource { group: all(), version: all(), resource: all(), unknown };
        let Some(entry) = policies.and_then(|policies| policies.get("", &name)) else {
            return everything(Some(format!("get policy {name}")));
        };
        let policy = entry.stored_value(entry.revision);
        let params = &policy["spec"]["paramKind"];
        if params.is_object() { resource_of(request, params) } else { everything(None) }
    }
}

fn resource_of(request: &AdmissionRequest<'_>, params: &Value) -> Resource {
    let (version, kind) = (text(&params["apiVersion"]), text(&params["kind"]));
    let (group, version) = gvk::split_api_version(&version).unwrap_or(("", &version));
    let catalogue = request.registry.catalogue();
    let found = catalogue.by_kind(group, version, &kind);
    let unknown = found.is_none().then(|| format!("resolve paramKind {group}/{version}, Kind={kind}"));
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: found.map_or_else(|| "*".to_owned(), |found| found.def.resource.to_string()),
        unknown,
    }
}

impl Validate for ParamAccess {
    fn name(&self) -> &'static str {
        "ParamAccess"
    }
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        let resource = request.kind.resource.as_ref();
        request.kind.gvk.group == GROUP
            && (POLICIES.contains(&resource) || BINDINGS.contains(&resource))
            && request.subresource.is_empty()
            && matches!(request.operation, Operation::Create | Operation::Update)
            && !request.user.in_group(MASTERS)
    }
    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        self.check(request, object).boxed()
    }
}
