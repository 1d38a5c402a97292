//! Nobody gives away rights that they do not hold.
//!
//! Owns: the check on writes of roles (`escalate`) and bindings (`bind`). It validates, so it sees what other plugins
//! left. Upstream: `pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go`.

use super::{
    Rbac,
    index::{RoleRef, RoleView},
    rule::{self, PolicyRule, quoted},
};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, User, identity::MASTERS};
use proa_registry::{AdmissionRequest, Attributes, Authorizer, Decision, Operation, Validate};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// The check, as a validating plugin.
pub struct Escalation {
    rbac: Arc<Rbac>,
    /// Answers `escalate` and `bind`.
    authorizer: Arc<dyn Authorizer>,
}

impl Escalation {
    /// `rbac` knows what a user holds; `authorizer` is the whole chain.
    pub fn new(rbac: Arc<Rbac>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { rbac, authorizer }
    }

    async fn check(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        if request.user.in_group(MASTERS)
            || request.old.is_some_and(|old| changes_only_ownership(object, old))
        {
            return Ok(());
        }
        match request.kind.resource.as_ref() {
            "roles" | "clusterroles" => self.check_role(request, object).await,
            _ => self.check_binding(request, object).await,
        }
    }

    async fn check_role(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        if self.may(request, "escalate", &request.kind.resource, request.name, request.namespace).await {
            return Ok(());
        }
        let role: RoleView = decode(object)?;
        self.confirm(request, object, &role.rules.unwrap_or_default(), request.namespace)?;
        if has_aggregation(object) || request.old.is_some_and(has_aggregation) {
            let missing = self.rbac.uncovered(request.user, request.namespace, &full_authority()).0;
            if !missing.is_empty() {
                let why = "must have cluster-admin privileges to use the aggregationRule";
                return Err(forbidden(request, object, why));
            }
        }
        Ok(())
    }

    async fn check_binding(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Binding {
            role_ref: RoleRef,
        }
        let Binding { role_ref } = decode(object)?;
        let (gvr, namespace) = match role_ref.kind.as_str() {
            "ClusterRole" => (objects::CLUSTER_ROLES, ""),
            "Role" => (objects::ROLES, request.namespace),
            other => {
                let text = format_args!("unsupported role reference kind: {other:?}").to_string();
                return Err(ApiError::internal(text));
            }
        };
        if self.may(request, "bind", &gvr.resource, &role_ref.name, request.namespace).await {
            return Ok(());
        }
        let role: RoleView = objects::get(request.registry, &gvr, namespace, &role_ref.name)?;
        self.confirm(request, object, &role.rules.unwrap_or_default(), request.namespace)
    }

    async fn may(
        &self,
        request: &AdmissionRequest<'_>,
        verb: &str,
        resource: &str,
        name: &str,
        namespace: &str,
    ) -> bool {
        let attributes = Attributes {
            user: request.user.clone(),
            verb: verb.to_owned(),
            group: request.kind.gvk.group.to_string(),
            version: "*".to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        matches!(self.authorizer.authorize(&attributes).await, Decision::Allow(_))
    }

    fn confirm(
        &self,
        request: &AdmissionRequest<'_>,
        object: &Value,
        asked: &[PolicyRule],
        namespace: &str,
    ) -> ApiResult<()> {
        let (missing, problem) = self.rbac.uncovered(request.user, namespace, asked);
        if missing.is_empty() {
            return Ok(());
        }
        Err(forbidden(request, object, &refusal(request.user, missing, &problem)))
    }
}

/// The text that names who tried to give what.
fn refusal(user: &User, missing: Vec<PolicyRule>, problem: &str) -> String {
    let lines: BTreeSet<_> = rule::compact(missing).iter().map(ToString::to_string).collect();
    let lines: Vec<_> = lines.into_iter().collect();
    let mut text = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        lines.join("\n")
    );
    if !problem.is_empty() {
        text.push_str("; resolution errors: [");
        text.push_str(problem);
        text.push(']');
    }
    text
}

fn forbidden(request: &AdmissionRequest<'_>, object: &Value, why: &str) -> ApiError {
    let name = object["metadata"]["name"].as_str().unwrap_or(request.name);
    ApiError::forbidden(&request.kind.group_resource(), name, why)
}

fn decode<T: serde::de::DeserializeOwned>(object: &Value) -> ApiResult<T> {
    T::deserialize(object).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn has_aggregation(role: &Value) -> bool {
    role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|selectors| !selectors.is_empty())
}

fn full_authority() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    [
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}

/// The garbage collector may always remove owners and finalizers.
fn changes_only_ownership(new: &Value, old: &Value) -> bool {
    const OWNERSHIP: [&str; 4] = ["ownerReferences", "finalizers", "managedFields", "resourceVersion"];
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else { return false };
    let rest = |object: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>| {
        object.iter().all(|(key, value)| key == "metadata" || other.get(key) == Some(value))
    };
    let metadata = |object: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>| {
        let (Some(own), Some(other)) = (object["metadata"].as_object(), other["metadata"].as_object()) else {
            return false;
        };
        own.iter().all(|(key, value)| OWNERSHIP.contains(&key.as_str()) || other.get(key) == Some(value))
    };
    if !new.contains_key("metadata") || !old.contains_key("metadata") {
        return false;
    }
    rest(new, old) && rest(old, new) && metadata(new, old) && metadata(old, new)
}

impl Validate for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        request.kind.gvk.group == "rbac.authorization.k8s.io"
            && request.subresource.is_empty()
            && matches!(request.operation, Operation::Create | Operation::Update)
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        self.check(request, object).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_owners_and_finalizers_pass_unchecked() {
        let role = |owners: &Value, labels: &Value, rules: &Value| json!({"metadata": {"name": "a", "ownerReferences": owners, "labels": labels}, "rules": rules});
        let old = role(&json!([{"uid": "1"}]), &json!({"a": "b"}), &json!([]));
        for (want, new) in [
            (true, role(&json!([]), &json!({"a": "b"}), &json!([]))),
            (false, role(&json!([]), &json!({"a": "c"}), &json!([]))),
            (false, role(&json!([]), &json!({"a": "b"}), &json!([{"verbs": ["*"]}]))),
            (false, json!({"metadata": {"name": "a"}, "rules": []})),
            (false, json!({})),
            (false, Value::Null),
        ] {
            assert_eq!(changes_only_ownership(&new, &old), want, "{new}");
        }
    }

    #[test]
    fn refusal_reads_as_upstream() {
        let rule = |verbs: &[&str]| PolicyRule {
            verbs: verbs.iter().map(|&v| v.to_owned()).collect(),
            api_groups: vec![String::new()],
            resources: vec!["pods".to_owned()],
            ..PolicyRule::default()
        };
        let missing = rule::uncovered(&[], [&rule(&["get", "list"])]);
        assert_eq!(
            refusal(&User::new("ann", &["devs", "system:authenticated"]), missing, ""),
            "user \"ann\" (groups=[\"devs\" \"system:authenticated\"]) is attempting to grant RBAC permissions \
             not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}"
        );
    }
}
