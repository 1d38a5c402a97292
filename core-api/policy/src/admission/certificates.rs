//! Certificates: what a signing request says of who asked and when, and who may answer for a signer.
//!
//! Owns: `approve`, `sign` and `attest` on the made-up resource `signers`, for the signer itself or for all of its
//! domain. Upstream: `plugin/pkg/admission/certificates`, `pkg/registry/certificates/certificates/strategy.go`.

use super::{forbidden, items, list_at, map_at};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, User, identity::MASTERS, pem, time::Time};
use proa_registry::{AdmissionRequest, Attributes, Authorizer, Decision, Mutate, Operation, Validate};
use serde_json::{Value, json};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

const GROUP: &str = "certificates.k8s.io";
/// The signer of client certificates for the API.
const CLIENTS: &str = "kubernetes.io/kube-apiserver-client";

/// How far the begin of a pod's certificate may be from now.
const NOW: SignedDuration = SignedDuration::from_mins(5);

fn is(request: &AdmissionRequest<'_>, resource: &str) -> bool {
    request.kind.gvk.group == GROUP && request.kind.resource == resource
}

/// Notes in signing requests who asked, and when conditions changed.
pub struct Requests;

impl Mutate for Requests {
    fn name(&self) -> &'static str {
        "CertificateSigningRequest"
    }
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        is(request, "certificatesigningrequests")
    }
    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        match request.old {
            None => note_user(object, request.user),
            Some(old) => note_times(object, old, &Time::new(request.registry.now()).to_string()),
        }
        futures::future::ready(Ok(())).boxed()
    }
}

/// Whatever the request says of its user, the server knows better.
fn note_user(object: &mut Value, user: &User) {
    let Some(spec) = map_at(object, "spec") else { return };
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    let mut set = |field: &str, value: Value| drop(spec.insert(field.to_owned(), value));
    set("username", json!(user.name));
    if !user.uid.is_empty() {
        set("uid", json!(user.uid));
    }
    if !user.groups.is_empty() {
        set("groups", json!(user.groups));
    }
    if !user.extra.is_empty() {
        set("extra", json!(user.extra));
    }
}

/// Conditions without a time changed now; one that was there before changed when it did.
fn note_times(object: &mut Value, old: &Value, now: &str) {
    let Some(status) = object.get_mut("status").filter(|status| status.is_object()) else { return };
    if status.get("conditions").is_none_or(Value::is_null) {
        return;
    }
    for condition in list_at(status, "conditions").into_iter().flatten() {
        let mut before = items(&old["status"]["conditions"])
            .filter(|old| old["type"] == condition["type"] && old["status"] == condition["status"]);
        let since = before.find_map(|old| old["lastTransitionTime"].as_str()).unwrap_or(now);
        for (field, time) in [("lastUpdateTime", now), ("lastTransitionTime", since)] {
            if condition.get(field).is_none_or(Value::is_null)
                && let Some(condition) = condition.as_object_mut()
            {
                condition.insert(field.to_owned(), json!(time));
            }
        }
    }
}

/// Refuses those who may not answer for a signer.
pub struct Signers {
    authorizer: Arc<dyn Authorizer>,
}

impl Signers {
    /// `authorizer` is the whole chain.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }

    async fn check(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        begins_now(request, object)?;
        let Some(Question { verb, signer, why }) = question(request, object) else {
            return match system_masters(request, object) {
                Some(why) => Err(forbidden(request, &why)),
                None => Ok(()),
            };
        };
        let domain = signer.split('/').next().unwrap_or_default();
        for name in [signer.to_owned(), format!("{domain}/*")] {
            let attributes = Attributes {
                user: request.user.clone(),
                verb: verb.to_owned(),
                group: GROUP.to_owned(),
                version: "*".to_owned(),
                resource: "signers".to_owned(),
                name,
                is_resource: true,
                ..Attributes::default()
            };
            if matches!(self.authorizer.authorize(&attributes).await, Decision::Allow(_)) {
                return Ok(());
            }
        }
        Err(forbidden(request, &format!("user not permitted to {why} {signer:?}")))
    }
}

impl Validate for Signers {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let kinds = ["certificatesigningrequests", "clustertrustbundles", "podcertificaterequests"];
        writes && kinds.into_iter().any(|kind| is(request, kind))
    }
    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        self.check(request, object).boxed()
    }
}

/// What must be allowed for a signer.
struct Question<'a> {
    verb: &'static str,
    signer: &'a str,
    why: &'static str,
}

fn question<'a>(request: &AdmissionRequest<'a>, object: &'a Value) -> Option<Question<'a>> {
    let signer = |object: &'a Value| object["spec"]["signerName"].as_str().unwrap_or_default();
    if is(request, "clustertrustbundles") {
        let signer = signer(object);
        let is_same = request.old.is_some_and(|old| old["spec"] == object["spec"]);
        let why = "attest for signerName";
        return (!signer.is_empty() && !is_same).then_some(Question { verb: "attest", signer, why });
    }
    // The old object counts: a change of the signer is refused by validation only.
    let old = request.old?;
    match request.subresource {
        "approval" => {
            let why = "approve requests with signerName";
            Some(Question { verb: "approve", signer: signer(old), why })
        }
        "status" => {
            let is_same = old["status"] == object["status"];
            let why = "sign requests with signerName";
            (!is_same).then_some(Question { verb: "sign", signer: signer(old), why })
        }
        _ => None,
    }
}

/// A pod's certificate begins when it is issued.
fn begins_now(request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
    if !is(request, "podcertificaterequests") || request.subresource != "status" {
        return Ok(());
    }
    let begin = object["status"]["notBefore"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let is_new = request.old.is_some_and(|old| old["status"]["notBefore"] != object["status"]["notBefore"]);
    let Some(begin) = begin.filter(|_| is_new) else { return Ok(()) };
    if request.registry.now().duration_since(begin).abs() <= NOW {
        return Ok(());
    }
    let mut errors = FieldErrors::default();
    let status = FieldPath::root("status");
    let text = "must be set to within 5 minutes of kube-apiserver's current time";
    errors.invalid(&status.child("notBefore"), &object["status"]["notBefore"], text);
    Err(ApiError::invalid(&request.kind.group_kind(), request.name, &errors))
}

/// Nobody gets a client certificate of the group that may do everything.
fn system_masters(request: &AdmissionRequest<'_>, object: &Value) -> Option<String> {
    let is_new = request.old.is_none() && is(request, "certificatesigningrequests");
    if !is_new || object["spec"]["signerName"] != CLIENTS {
        return None;
    }
    let text = STANDARD.decode(object["spec"]["request"].as_str()?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let block = pem::blocks(&text).into_iter().next()?;
    let (_, asked) = X509CertificationRequest::from_der(&block.bytes).ok()?;
    let subject = &asked.certification_request_info.subject;
    let mut groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
    groups
        .any(|group| group == MASTERS)
        .then(|| format!("use of {CLIENTS} signer with {MASTERS} group is not allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_noted_whatever_the_request_says() {
        let mut object = json!({"spec": {"username": "root", "extra": {"a": ["b"]}, "request": "x"}});
        note_user(&mut object, &User::new("ann", &["dev"]));
        assert_eq!(object, json!({"spec": {"username": "ann", "groups": ["dev"], "request": "x"}}));
    }

    #[test]
    fn times_of_conditions() {
        let old =
            json!({"status": {"conditions": [{"type": "A", "status": "True", "lastTransitionTime": "t0"}]}});
        let mut new = json!({"status": {"conditions": [
            {"type": "A", "status": "True"}, {"type": "B", "status": "True"}, {"type": "C", "lastUpdateTime": "t1"}]}});
        note_times(&mut new, &old, "now");
        let times: Vec<_> = items(&new["status"]["conditions"])
            .map(|c| (c["lastUpdateTime"].as_str().unwrap(), c["lastTransitionTime"].as_str().unwrap()))
            .collect();
        assert_eq!(times, [("now", "t0"), ("now", "now"), ("t1", "now")]);
    }
}
