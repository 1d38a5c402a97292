//! Actions: what answers virtual kinds and extra subresources.
//!
//! Owns: which action answers what. Each is one file. Left out: pods' `ephemeralcontainers` and `resize`, which are
//! ordinary updates with other rules.

pub mod access_review;
pub mod binding;
pub mod disruption;
pub mod eviction;
pub mod identity_review;
pub mod namespace_finalize;
pub mod rules_review;
pub mod token_request;
pub mod token_review;

use crate::tokens::{SigningKey, TokenVerifier, Tokens};
use jiff::Timestamp;
use proa_meta::{ApiError, ApiResult, GroupResource, time::Time};
use proa_registry::{
    Authorizer,
    request::{Action, Object, Written},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Actions by resource and subresource.
pub type Actions = HashMap<(GroupResource, &'static str), Arc<dyn Action>>;

/// All actions. `authorizer` is the whole chain, `tokens` answers reviews of tokens, `key` signs those that `verifier`
/// accepts.
pub fn actions(
    authorizer: Arc<dyn Authorizer>,
    tokens: Arc<Tokens>,
    verifier: &TokenVerifier,
    key: Arc<SigningKey>,
) -> Actions {
    let review = |of| Arc::new(access_review::AccessReview::new(of, authorizer.clone())) as Arc<dyn Action>;
    let named = review(access_review::Subject::Named);
    let local = review(access_review::Subject::NamedInNamespace);
    let own = review(access_review::Subject::Caller);
    let rules = Arc::new(rules_review::RulesReview::new(authorizer));
    let pod_binding: Arc<dyn Action> = Arc::new(binding::Binding);
    let requests = token_request::TokenRequest::new(key, verifier);
    let table: [(&'static str, &'static str, &'static str, Arc<dyn Action>); 11] = [
        (AUTHORIZATION, "subjectaccessreviews", "", named),
        (AUTHORIZATION, "localsubjectaccessreviews", "", local),
        (AUTHORIZATION, "selfsubjectaccessreviews", "", own),
        (AUTHORIZATION, "selfsubjectrulesreviews", "", rules),
        (AUTHENTICATION, "selfsubjectreviews", "", Arc::new(identity_review::IdentityReview)),
        (AUTHENTICATION, "tokenreviews", "", Arc::new(token_review::TokenReview::new(tokens))),
        ("", "serviceaccounts", "token", Arc::new(requests)),
        ("", "pods", "binding", pod_binding.clone()),
        ("", "bindings", "", pod_binding),
        ("", "pods", "eviction", Arc::new(eviction::Eviction)),
        ("", "namespaces", "finalize", Arc::new(namespace_finalize::NamespaceFinalize)),
    ];
    let entry =
        |(group, resource, subresource, action)| ((GroupResource::new(group, resource), subresource), action);
    table.into_iter().map(entry).collect()
}

/// The body's `spec` as a view. Clients send absent fields as null.
pub(crate) fn spec_of<T: DeserializeOwned + Default>(body: &Value) -> ApiResult<T> {
    match without_nulls(&body["spec"]) {
        Value::Null => Ok(T::default()),
        spec => serde_json::from_value(spec).map_err(|error| ApiError::bad_request(error.to_string())),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let present = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(present.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

/// An object made for this answer, HTTP 201.
pub(crate) fn created(object: Value) -> Written {
    Written { object: Object::Made(Arc::new(object)), created: true, accepted: false, warnings: Vec::new() }
}

/// `Status` of a success, HTTP 201.
pub(crate) fn success() -> Written {
    created(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

/// Adds a pod condition or brings it up to date; its transition time moves only when its status changes.
pub(crate) fn set_condition(status: &mut Value, condition: &Value, now: Timestamp) {
    let Some(conditions) = crate::admission::list_at(status, "conditions") else { return };
    let mut condition = condition.clone();
    condition["lastTransitionTime"] = json!(Time::new(now).to_string());
    match conditions.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(existing) => {
            if existing["status"] == condition["status"] {
                condition["lastTransitionTime"] = existing["lastTransitionTime"].clone();
            }
            *existing = condition;
        }
        None => conditions.push(condition),
    }
}
