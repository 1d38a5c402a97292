//! Devices: when a taint was added, who may give devices to a claim or speak for a driver, and who gets at devices
//! that others use.
//!
//! Owns: the made-up subresources `resourceclaims/binding` (of the whole cluster) and `resourceclaims/driver` (by the
//! driver's name). Admission is not told whether a change came as PUT or as PATCH: permission for either verb counts.
//! Upstream: `pkg/registry/resource/{utils.go,devicetaintrule/strategy.go}`.

use super::items;
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, User, time::Time};
use proa_registry::{AdmissionRequest, Attributes, Authorizer, Decision, Mutate, Operation, Validate};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

const GROUP: &str = "resource.k8s.io";
/// Label of namespaces whose claims may have access to devices that are in use.
const ADMIN: &str = "resource.kubernetes.io/admin-access";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const VERBS: [&str; 2] = ["update", "patch"];

fn is(request: &AdmissionRequest<'_>, resource: &str, subresource: &str) -> bool {
    request.kind.gvk.group == GROUP && request.kind.resource == resource && request.subresource == subresource
}

/// Notes when taints were added.
pub struct Taints;

impl Mutate for Taints {
    fn name(&self) -> &'static str {
        "DeviceTaint"
    }
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        writes && ["devicetaintrules", "resourceslices"].into_iter().any(|resource| is(request, resource, ""))
    }
    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        let now = Time::new(request.registry.now()).to_string();
        note_time(object, request.old, &now);
        futures::future::ready(Ok(())).boxed()
    }
}

fn note_time(object: &mut Value, old: Option<&Value>, now: &str) {
    let Some(spec) = object.get_mut("spec") else { return };
    if let Some(taint) = spec.get_mut("taint") {
        let has_new_effect = old.is_some_and(|old| {
            let before = &old["spec"]["taint"];
            before["effect"] != taint["effect"] && before["timeAdded"] == taint["timeAdded"]
        });
        added(taint, has_new_effect, now);
    }
    let devices = spec.get_mut("devices").and_then(Value::as_array_mut).into_iter().flatten();
    let taints = devices.filter_map(|device| device.get_mut("taints")?.as_array_mut());
    taints.flatten().for_each(|taint| added(taint, false, now));
}

fn added(taint: &mut Value, anew: bool, now: &str) {
    if let Some(taint) = taint.as_object_mut()
        && (anew || taint.get("timeAdded").is_none_or(Value::is_null))
    {
        taint.insert("timeAdded".to_owned(), json!(now));
    }
}

/// Refuses those who may not give devices, speak for a driver, or get at devices in use.
pub struct Claims {
    authorizer: Arc<dyn Authorizer>,
}

impl Claims {
    /// `authorizer` is the whole chain.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }

    async fn check(&self, request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<()> {
        let mut errors = FieldErrors::default();
        let wants = match request.old {
            None => asks_for_admin(object),
            Some(old) if given_admin(old).is_none() => given_admin(object),
            Some(_) => None,
        };
        if let Some(field) = wants
            && !is_admin_namespace(request)
        {
            let text = format!(
                "admin access to devices requires the `{ADMIN}: true` label on the containing namespace"
            );
            errors.forbidden(&FieldPath::root(&field), &text);
        }
        if let Some(old) = request.old {
            self.check_binding(request, &object["status"], &old["status"], &mut errors).await;
            self.check_drivers(request, &object["status"], &old["status"], &mut errors).await;
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(&request.kind.group_kind(), request.name, &errors))
    }

    async fn check_binding(
        &self,
        request: &AdmissionRequest<'_>,
        new: &Value,
        old: &Value,
        errors: &mut FieldErrors,
    ) {
        if new["allocation"] == old["allocation"] && new["reservedFor"] == old["reservedFor"] {
            return;
        }
        let questions = VERBS.map(|verb| question(request.user, verb.to_owned(), "binding", "", ""));
        if let Some(why) = self.refusal(&questions).await {
            let text = format!(
                "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", \
                 verb=\"update\" permission: {why}"
            );
            errors.forbidden(&FieldPath::root("status.allocation"), &text);
        }
    }

    async fn check_drivers(
        &self,
        request: &AdmissionRequest<'_>,
        new: &Value,
        old: &Value,
        errors: &mut FieldErrors,
    ) {
        if !new["allocation"].is_object() {
            return;
        }
        let mut prefixes = vec!["arbitrary-node:"];
        if node_of(&new["allocation"]).is_some_and(|node| runs_on(request.user, node)) {
            prefixes.insert(0, "associated-node:");
        }
        for driver in changed_drivers(&new["devices"], &old["devices"]) {
            let questions: Vec<_> = VERBS
                .iter()
                .flat_map(|verb| prefixes.iter().map(move |prefix| format!("{prefix}{verb}")))
                .map(|verb| question(request.user, verb, "driver", request.namespace, driver))
                .collect();
            if let Some(why) = self.refusal(&questions).await {
                let verbs: Vec<_> = prefixes.iter().map(|prefix| format!("{prefix}update")).collect();
                let text = format!(
                    "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{}]\" permission: \
                     {why}",
                    verbs.join(" ")
                );
                errors.forbidden(&FieldPath::root("status.devices"), &text);
            }
        }
    }

    /// Why none of these is allowed: what is said of the first.
    async fn refusal(&self, questions: &[Attributes]) -> Option<String> {
        let mut first = None;
        for attributes in questions {
            match self.authorizer.authorize(attributes).await {
                Decision::Allow(_) => return None,
                Decision::Deny(why) | Decision::NoOpinion(why) => {
                    first.get_or_insert_with(|| explanation(attributes, &why));
                }
            }
        }
        first
    }
}

impl Validate for Claims {
    fn name(&self) -> &'static str {
        "ResourceClaim"
    }
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        match request.operation {
            Operation::Create => {
                is(request, "resourceclaims", "") || is(request, "resourceclaimtemplates", "")
            }
            Operation::Update => is(request, "resourceclaims", "status"),
            Operation::Delete | Operation::Connect => false,
        }
    }
    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        self.check(request, object).boxed()
    }
}

fn question(user: &Arc<User>, verb: String, subresource: &str, namespace: &str, name: &str) -> Attributes {
    Attributes {
        user: user.clone(),
        verb,
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        resource: "resourceclaims".to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        is_resource: true,
        ..Attributes::default()
    }
}

fn explanation(attributes: &Attributes, why: &str) -> String {
    let Attributes { verb, resource, subresource, namespace, name, .. } = attributes;
    let place = match namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!(
        "{resource}.{GROUP}{name} is forbidden: User {:?} cannot {verb} resource \"{resource}/{subresource}\" in API \
         group {GROUP:?} {place}{why}",
        attributes.user.name
    )
}

fn is_admin_namespace(request: &AdmissionRequest<'_>) -> bool {
    let namespaces = request.registry.kind(&objects::NAMESPACES);
    let entry = namespaces.and_then(|namespaces| namespaces.get("", request.namespace));
    entry.is_some_and(|entry| entry.label(ADMIN) == Some("true"))
}

/// The field of the first request that asks for access to devices in use: of a claim, or of a template's.
fn asks_for_admin(object: &Value) -> Option<String> {
    let spec = &object["spec"];
    let spec = if spec["spec"].is_object() { &spec["spec"] } else { spec };
    let asks = |request: &Value| request["exactly"]["adminAccess"] == true;
    let index = items(&spec["devices"]["requests"]).position(asks)?;
    Some(format!("spec.devices.requests[{index}].adminAccess"))
}

/// The field of the first device that is given to whoever asks for access to devices in use.
fn given_admin(object: &Value) -> Option<String> {
    let mut results = items(&object["status"]["allocation"]["devices"]["results"]);
    let index = results.position(|result| result["adminAccess"] == true)?;
    Some(format!("status.allocation.devices.results[{index}].adminAccess"))
}

/// Drivers that say something new of a device, or no longer say anything.
fn changed_drivers<'a>(new: &'a Value, old: &'a Value) -> BTreeSet<&'a str> {
    let only = |these: &'a Value, others: &'a Value| {
        items(these).filter(move |one| !items(others).any(|other| other == *one))
    };
    only(new, old).chain(only(old, new)).filter_map(|device| device["driver"].as_str()).collect()
}

/// The one node on which an allocation can be used, if it names it.
fn node_of(allocation: &Value) -> Option<&str> {
    let [term] = allocation["nodeSelector"]["nodeSelectorTerms"].as_array()?.as_slice() else { return None };
    let [field] = term["matchFields"].as_array()?.as_slice() else { return None };
    let has_labels = items(&term["matchExpressions"]).next().is_some();
    let is_name = field["key"] == "metadata.name" && field["operator"] == "In" && !has_labels;
    let [node] = field["values"].as_array()?.as_slice() else { return None };
    node.as_str().filter(|_| is_name)
}

/// Whether a user is a service account of a pod on this node.
fn runs_on(user: &User, node: &str) -> bool {
    let nodes = user.extra.get(NODE_NAME).map_or(&[][..], Vec::as_slice);
    user.service_account().is_some() && matches!(nodes, [one] if one == node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_get_a_time_and_a_new_one_with_a_new_effect() {
        let rule = |effect: &str| json!({"spec": {"taint": {"effect": effect, "timeAdded": "t0"}}});
        let time = |object: &Value| object["spec"]["taint"]["timeAdded"].clone();
        let mut object = json!({"spec": {"taint": {"effect": "None"}}});
        note_time(&mut object, None, "now");
        assert_eq!(time(&object), "now");
        let mut object = rule("NoExecute");
        note_time(&mut object, Some(&rule("NoExecute")), "now");
        assert_eq!(time(&object), "t0");
        note_time(&mut object, Some(&rule("None")), "now");
        assert_eq!(time(&object), "now");
    }

    #[test]
    fn drivers_whose_devices_changed() {
        let old = json!([{"driver": "a", "device": "1"}, {"driver": "b", "device": "1"}, {"driver": "c"}]);
        let new = json!([{"driver": "a", "device": "1"}, {"driver": "b", "device": "1", "data": {}}]);
        assert_eq!(changed_drivers(&new, &old), BTreeSet::from(["b", "c"]));
    }

    #[test]
    fn the_node_of_an_allocation() {
        let fields = json!([{"key": "metadata.name", "operator": "In", "values": ["n1"]}]);
        let allocation = json!({"nodeSelector": {"nodeSelectorTerms": [{"matchFields": fields}]}});
        assert_eq!(node_of(&allocation), Some("n1"));
        let mut user = User::new("system:serviceaccount:d:driver", &[]);
        assert!(!runs_on(&user, "n1"));
        user.extra.insert(NODE_NAME.to_owned(), vec!["n1".to_owned()]);
        assert!(runs_on(&user, "n1"));
        assert!(!runs_on(&user, "n2"));
        assert_eq!(node_of(&json!({})), None);
    }

    #[test]
    fn who_asks_for_devices_in_use() {
        let spec = json!({"devices": {"requests": [{"name": "a"}, {"exactly": {"adminAccess": true}}]}});
        let field = Some("spec.devices.requests[1].adminAccess".to_owned());
        assert_eq!(asks_for_admin(&json!({"spec": spec})), field);
        assert_eq!(asks_for_admin(&json!({"spec": {"spec": spec}})), field);
        assert_eq!(asks_for_admin(&json!({"spec": {}})), None);
    }
}
