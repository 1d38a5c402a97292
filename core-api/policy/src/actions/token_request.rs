//! `serviceaccounts/token`: issues a token.
//!
//! Owns: validation, what a token may be bound to, its lifetime. Upstream:
//! `pkg/registry/core/serviceaccount/storage/token.go`, `pkg/serviceaccount/claims.go`.

use super::{created, spec_of};
use crate::{
    admission::node_restriction,
    objects,
    tokens::{
        Bound, Claims, EXTENDED_SECONDS, KubernetesClaims, POD_TOKEN_SECONDS, SigningKey, TokenVerifier,
    },
};
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, GroupKind, GroupResource, time::Time};
use proa_registry::{
    Registry,
    request::{Action, ActionRequest, Target, Written},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const KIND: GroupKind = GroupKind::new("authentication.k8s.io", "TokenRequest");
const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;

/// The action.
pub struct TokenRequest {
    key: Arc<SigningKey>,
    issuer: String,
    audiences: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    audiences: Vec<String>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<BoundObjectRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BoundObjectRef {
    kind: String,
    api_version: String,
    name: String,
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodView {
    metadata: objects::Meta,
    spec: PodSpecView,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpecView {
    service_account_name: String,
    node_name: String,
}

/// Objects that the token is bound to.
#[derive(Debug, Default)]
struct Binding {
    pod: Option<Bound>,
    node: Option<Bound>,
    secret: Option<Bound>,
}

impl TokenRequest {
    /// Signs with `key`, as the issuer that `verifier` accepts and by default for its audiences.
    pub fn new(key: Arc<SigningKey>, verifier: &TokenVerifier) -> Self {
        Self { key, issuer: verifier.issuer().to_owned(), audiences: verifier.audiences().to_vec() }
    }

    fn answer(&self, registry: &Registry, request: ActionRequest) -> ApiResult<Written> {
        let target = &request.target;
        let mut body = request.body;
        check_names(&body["metadata"], target)?;
        let account =
            objects::get_meta(registry, &objects::SERVICE_ACCOUNTS, &target.namespace, &target.name)?;
        check_uid(&body["metadata"], target, &account.uid)?;
        let mut spec: Spec = spec_of(&body)?;
        if spec.audiences.is_empty() {
            spec.audiences.clone_from(&self.audiences);
        }
        let seconds = spec.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        validate(seconds)?;
        node_restriction::check_token_request(
            registry,
            &target.user,
            &target.namespace,
            &target.name,
            &body,
        )?;
        let binding = match &spec.bound_object_ref {
            Some(reference) => bind(registry, target, reference)?,
            None => Binding::default(),
        };
        let now = registry.now();
        let claims = self.claims(target, &account.uid, &spec.audiences, seconds, binding, now);
        let token = self
            .key
            .sign(&claims)
            .map_err(|e| ApiError::internal(format_args!("failed to generate token: {e}")))?;
        complete(&mut body, target, &account.uid, &spec.audiences, seconds, now);
        let expires = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
        body["status"] = json!({"token": token, "expirationTimestamp": Time::new(expires).to_string()});
        Ok(created(body))
    }

    fn claims(
        &self,
        target: &Target,
        uid: &str,
        audiences: &[String],
        seconds: i64,
        binding: Binding,
        now: Timestamp,
    ) -> Claims {
        let now = now.as_second();
        let own = audiences.iter().all(|audience| self.audiences.contains(audience));
        let extended = binding.pod.is_some() && seconds == POD_TOKEN_SECONDS && own;
        let lifetime = if extended { EXTENDED_SECONDS } else { seconds };
        Claims {
            aud: audiences.to_vec(),
            exp: now + lifetime,
            iat: now,
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: KubernetesClaims {
                namespace: target.namespace.clone(),
                node: binding.node,
                pod: binding.pod,
                secret: binding.secret,
                serviceaccount: Bound { name: target.name.clone(), uid: uid.to_owned() },
                warnafter: extended.then_some(now + seconds),
            },
            nbf: now,
            sub: format!("system:serviceaccount:{}:{}", target.namespace, target.name),
        }
    }
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// The body names the account that the URL names, or none.
fn check_names(metadata: &Value, target: &Target) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    let path = FieldPath::root("metadata");
    for (field, wanted) in [("name", &target.name), ("namespace", &target.namespace)] {
        let given = text(metadata, field);
        if !given.is_empty() && given != wanted {
            let what = format!("must match the service account {field} if specified");
            errors.invalid(&path.child(field), &json!(given), &what);
            return Err(ApiError::invalid(&KIND, &target.name, &errors));
        }
    }
    Ok(())
}

fn check_uid(metadata: &Value, target: &Target, uid: &str) -> ApiResult<()> {
    let given = text(metadata, "uid");
    if given.is_empty() || given == uid {
        return Ok(());
    }
    let why = format!(
        "the UID in the token request ({given}) does not match the UID of the service account ({uid})"
    );
    Err(ApiError::conflict(&GroupResource::new("authentication.k8s.io", "TokenRequest"), &target.name, &why))
}

fn validate(seconds: i64) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    let spec = FieldPath::root("spec");
    let path = spec.child("expirationSeconds");
    if seconds < LEAST_SECONDS {
        errors.invalid(&path, &json!(seconds), "may not specify a duration less than 10 minutes");
    }
    if seconds > MOST_SECONDS {
        errors.invalid(&path, &json!(seconds), "may not specify a duration larger than 2^32 seconds");
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(&KIND, "", &errors)) }
}

/// Looks up what the token is bound to; it must be there, and be the object that the request means.
fn bind(registry: &Registry, target: &Target, reference: &BoundObjectRef) -> ApiResult<Binding> {
    let BoundObjectRef { kind, api_version, name, .. } = reference;
    let core = !api_version.contains('/');
    let namespace = target.namespace.as_str();
    let (binding, uid) = match kind.as_str() {
        "Pod" if core => {
            let pod: PodView = objects::get(registry, &objects::PODS, namespace, name)?;
            if pod.spec.service_account_name != target.name {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    target.name
                )));
            }
            let uid = pod.metadata.uid;
            let node = node_of(registry, &pod.spec.node_name)?;
            (Binding { pod: Some(bound(name, &uid)), node, secret: None }, uid)
        }
        "Node" if core => {
            let uid = objects::get_meta(registry, &objects::NODES, "", name)?.uid;
            (Binding { node: Some(bound(name, &uid)), ..Binding::default() }, uid)
        }
        "Secret" if core => {
            let uid = objects::get_meta(registry, &objects::SECRETS, namespace, name)?.uid;
            (Binding { secret: Some(bound(name, &uid)), ..Binding::default() }, uid)
        }
        _ => {
            let what = format!("cannot bind token to object of type {}", type_of(api_version, kind));
            return Err(ApiError::bad_request(what));
        }
    };
    if reference.uid.is_empty() || reference.uid == uid {
        return Ok(binding);
    }
    let why = format!(
        "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
         deleted and then recreated",
        reference.uid
    );
    let resource = GroupResource { group: "".into(), resource: kind.clone().into() };
    Err(ApiError::conflict(&resource, name, &why))
}

fn type_of(api_version: &str, kind: &str) -> String {
    format!("{api_version}, Kind={kind}")
}

fn bound(name: &str, uid: &str) -> Bound {
    Bound { name: name.to_owned(), uid: uid.to_owned() }
}

/// The node of a pod; named without uid when it does not exist.
fn node_of(registry: &Registry, name: &str) -> ApiResult<Option<Bound>> {
    if name.is_empty() {
        return Ok(None);
    }
    let node = objects::find_meta(registry, &objects::NODES, "", name)?;
    Ok(Some(bound(name, &node.map(|node| node.uid).unwrap_or_default())))
}

/// Fills the request as it is returned.
fn complete(
    body: &mut Value,
    target: &Target,
    uid: &str,
    audiences: &[String],
    seconds: i64,
    now: Timestamp,
) {
    body["apiVersion"] = json!("authentication.k8s.io/v1");
    body["kind"] = json!("TokenRequest");
    if !body["metadata"].is_object() {
        body["metadata"] = json!({});
    }
    let metadata = &mut body["metadata"];
    metadata["name"] = json!(target.name);
    metadata["namespace"] = json!(target.namespace);
    metadata["uid"] = json!(uid);
    metadata["creationTimestamp"] = json!(Time::new(now).to_string());
    if !body["spec"].is_object() {
        body["spec"] = json!({});
    }
    body["spec"]["audiences"] = json!(audiences);
    body["spec"]["expirationSeconds"] = json!(seconds);
    if body["spec"].get("boundObjectRef").is_none() {
        body["spec"]["boundObjectRef"] = Value::Null;
    }
}

impl Action for TokenRequest {
    fn call<'a>(
        &'a self,
        registry: &'a Arc<Registry>,
        request: ActionRequest,
    ) -> BoxFuture<'a, ApiResult<Written>> {
        async move { self.answer(registry, request) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_limits() {
        for (want, seconds) in
            [(false, 599), (true, 600), (true, 1 << 32), (false, (1 << 32) + 1), (false, -1)]
        {
            assert_eq!(validate(seconds).is_ok(), want, "{seconds}");
        }
        assert_eq!(
            validate(1).unwrap_err().message(),
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 1: may not \
             specify a duration less than 10 minutes"
        );
    }
}
