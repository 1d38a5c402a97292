//! An action as an HTTP request: path, verb, preconditions, body.

use crate::{
    action::{Action, Apply, Bind, Create, Delete, Evict, Patch, PatchKind, Replace, Status},
    error::{Error, Result},
    kind::{Key, Kind, ObjectRef},
};
use serde_json::{Map, Value, json};

/// A request, not yet sent.
pub(super) struct Prepared {
    pub(super) verb: &'static str,
    pub(super) kind: Kind,
    pub(super) subresource: &'static str,
    /// Of the object; empty for one that is created.
    pub(super) name: Box<str>,
    deletes: Option<(Key, Box<str>)>,
    path: String,
    media_type: &'static str,
    body: Vec<u8>,
}

impl Prepared {
    pub(super) fn new(action: &Action, manager: &str) -> Result<Self> {
        match action {
            Action::Create(create) => Self::create(create, manager),
            Action::Replace(replace) => Self::replace(replace, manager),
            Action::Apply(apply) => Self::apply(apply, manager),
            Action::Patch(patch) => Self::patch(patch, manager),
            Action::Status(status) => Self::status(status, manager),
            Action::Delete(delete) => Self::delete(delete),
            Action::Bind(bind) => Self::bind(bind),
            Action::Evict(evict) => Self::evict(evict),
            Action::Event(_) | Action::Batch(_) => {
                Err(Error::Invalid("a batch may hold single writes only".to_owned()))
            }
        }
    }
    pub(super) fn into_request(self) -> Result<http::Request<Vec<u8>>, kube::Error> {
        let method = match self.verb {
            "create" => http::Method::POST,
            "update" => http::Method::PUT,
            "patch" => http::Method::PATCH,
            _ => http::Method::DELETE,
        };
        http::Request::builder()
            .method(method)
            .uri(self.path)
            .header(http::header::CONTENT_TYPE, self.media_type)
            .header(http::header::ACCEPT, "application/json")
            .body(self.body)
            .map_err(kube::Error::HttpError)
    }
    /// Key and uid of the object that goes, if this deletes one.
    pub(super) fn deletion(&self) -> Option<(Key, Box<str>)> {
        self.deletes.clone()
    }
    /// Resource with group and subresource, for messages.
    pub(super) fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.kind.to_string()
        } else {
            format!("{}/{}", self.kind, self.subresource)
        }
    }
    /// For messages, such as `create pods`.
    pub(super) fn operation(&self) -> String {
        format!("{} {}", self.verb, self.resource())
    }
    fn create(create: &Create, manager: &str) -> Result<Self> {
        let Create { kind, namespace, subresource, object, announce: _ } = create;
        let name = match *subresource {
            "" => "",
            _ => object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default(),
        };
        let path = kind.path(namespace, name, subresource);
        let body = if subresource.is_empty() { with_type(kind, object)? } else { bytes(object)? };
        Ok(Self {
            verb: "create",
            kind: kind.clone(),
            subresource,
            name: name.into(),
            deletes: None,
            path: managed(path, manager),
            media_type: "application/json",
            body,
        })
    }
    fn to(
        verb: &'static str,
        target: &ObjectRef,
        subresource: &'static str,
        manager: &str,
        body: Vec<u8>,
    ) -> Self {
        Self {
            verb,
            kind: target.kind.clone(),
            subresource,
            name: target.name.clone(),
            deletes: None,
            path: managed(target.path(subresource), manager),
            media_type: "application/json",
            body,
        }
    }
    fn replace(replace: &Replace, manager: &str) -> Result<Self> {
        let Replace { target, subresource, object } = replace;
        let mut object = object.clone();
        pin(&mut object, target, true);
        Ok(Self::to("update", target, subresource, manager, with_type(&target.kind, &object)?))
    }
    fn apply(apply: &Apply, manager: &str) -> Result<Self> {
        let Apply { target, subresource, object } = apply;
        let mut object = object.clone();
        pin(&mut object, target, true);
        let mut prepared = Self::to("patch", target, subresource, manager, with_type(&target.kind, &object)?);
        prepared.path.push_str("&force=true");
        prepared.media_type = "application/apply-patch+yaml";
        Ok(prepared)
    }
    fn patch(patch: &Patch, manager: &str) -> Result<Self> {
        let Patch { target, subresource, how, patch, announce: _ } = patch;
        let body = if target.uid.is_empty() && target.resource_version == 0 {
            bytes(patch)?
        } else {
            let mut patch = patch.clone();
            match how {
                PatchKind::Merge | PatchKind::Strategic => pin(&mut patch, target, false),
                PatchKind::Json => pin_json(&mut patch, target),
            }
            bytes(&patch)?
        };
        let mut prepared = Self::to("patch", target, subresource, manager, body);
        prepared.media_type = how.media_type();
        Ok(prepared)
    }
    fn status(status: &Status, manager: &str) -> Result<Self> {
        let Status { target, status, annotations } = status;
        let mut patch = json!([{"op": "add", "path": "/status", "value": status}]);
        if let (Some(annotations), Some(operations)) = (annotations, patch.as_array_mut()) {
            operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": annotations}));
        }
        // The version says more than the uid, and a failed test would read as an invalid patch.
        pin_json(&mut patch, &ObjectRef { uid: "".into(), ..target.clone() });
        let mut prepared = Self::to("patch", target, "status", manager, bytes(&patch)?);
        prepared.media_type = PatchKind::Json.media_type();
        Ok(prepared)
    }
    fn delete(delete: &Delete) -> Result<Self> {
        let Delete { target, propagation, grace_seconds, announce: _ } = delete;
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(preconditions) = preconditions(target) {
            options["preconditions"] = preconditions;
        }
        if let Some(propagation) = propagation {
            options["propagationPolicy"] = json!(propagation);
        }
        if let Some(seconds) = grace_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        Ok(Self {
            verb: "delete",
            kind: target.kind.clone(),
            subresource: "",
            name: target.name.clone(),
            deletes: Some((target.key(), target.uid.clone())),
            path: target.path(""),
            media_type: "application/json",
            body: bytes(&options)?,
        })
    }
    fn bind(bind: &Bind) -> Result<Self> {
        let Bind { pod, node } = bind;
        let mut metadata = json!({"name": pod.name, "namespace": pod.namespace});
        if !pod.uid.is_empty() {
            metadata["uid"] = json!(pod.uid);
        }
        let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": metadata,
            "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
        Ok(Self::post(pod, "binding", bytes(&body)?))
    }
    fn evict(evict: &Evict) -> Result<Self> {
        let Evict { pod, grace_seconds } = evict;
        let mut options = Map::new();
        if let Some(preconditions) = preconditions(pod) {
            options.insert("preconditions".to_owned(), preconditions);
        }
        if let Some(seconds) = grace_seconds {
            options.insert("gracePeriodSeconds".to_owned(), json!(seconds));
        }
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace}, "deleteOptions": options});
        let mut prepared = Self::post(pod, "eviction", bytes(&body)?);
        prepared.deletes = Some((pod.key(), pod.uid.clone()));
        Ok(prepared)
    }
    fn post(target: &ObjectRef, subresource: &'static str, body: Vec<u8>) -> Self {
        Self {
            verb: "create",
            kind: target.kind.clone(),
            subresource,
            name: target.name.clone(),
            deletes: None,
            path: target.path(subresource),
            media_type: "application/json",
            body,
        }
    }
}

fn managed(mut path: String, manager: &str) -> String {
    path.push_str("?fieldManager=");
    path.push_str(manager);
    path
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|source| Error::Decode { what: "body".to_owned(), source })
}

/// The object's bytes, led by `apiVersion` and `kind` unless it has them.
fn with_type(kind: &Kind, object: &Value) -> Result<Vec<u8>> {
    let own = bytes(object)?;
    if object.get("kind").is_some() {
        return Ok(own);
    }
    let mut body = format!(r#"{{"apiVersion":"{}","kind":"{}""#, kind.api_version(), kind.kind).into_bytes();
    if own.len() > 2 {
        body.push(b',');
    }
    body.extend_from_slice(&own[1..]);
    Ok(body)
}

/// Writes uid and version (and the name, if `named`) into the object's metadata, where the server checks them.
fn pin(object: &mut Value, target: &ObjectRef, named: bool) {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let metadata = &mut object["metadata"];
    if named {
        metadata["name"] = json!(target.name);
        if !target.namespace.is_empty() {
            metadata["namespace"] = json!(target.namespace);
        }
    }
    if !target.uid.is_empty() {
        metadata["uid"] = json!(target.uid);
    }
    if target.resource_version != 0 {
        metadata["resourceVersion"] = json!(target.resource_version.to_string());
    }
}

/// The same for a JSON patch: uid as a test, the version as a value that the server compares.
fn pin_json(patch: &mut Value, target: &ObjectRef) {
    let Some(operations) = patch.as_array_mut() else { return };
    if target.resource_version != 0 {
        let version = target.resource_version.to_string();
        operations.insert(0, json!({"op": "add", "path": "/metadata/resourceVersion", "value": version}));
    }
    if !target.uid.is_empty() {
        operations.insert(0, json!({"op": "test", "path": "/metadata/uid", "value": target.uid}));
    }
}

fn preconditions(target: &ObjectRef) -> Option<Value> {
    let mut preconditions = Map::new();
    if !target.uid.is_empty() {
        preconditions.insert("uid".to_owned(), json!(target.uid));
    }
    if target.resource_version != 0 {
        preconditions.insert("resourceVersion".to_owned(), json!(target.resource_version.to_string()));
    }
    (!preconditions.is_empty()).then_some(Value::Object(preconditions))
}
