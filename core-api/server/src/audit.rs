//! The audit log: who asked for what, when, and what became of it.
//!
//! Owns: events in the form of audit.k8s.io/v1, the record of a request from which its events are made, and their way to
//! the writer. A server without a policy has no [`AuditLog`], and its requests no record. A request waits for the writer's
//! queue when that is full, as with upstream's mode `blocking`. Deliberately absent: webhooks as a backend.
//! Upstream: apiserver `pkg/audit/{request,context}.go`, `pkg/endpoints/filters/audit.go`.

mod log;
mod policy;

pub use log::LogFile;
pub(crate) use policy::{Level, Stage};

use crate::{
    api::{Body, Caller, Request, Response},
    request_info::RequestInfo,
    upgrade::Tunnel,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, StatusCode, header};
use jiff::Timestamp;
use log::Writer;
use policy::{Extent, Policy};
use proa_meta::{User, time::MicroTime};
use proa_registry::admission::Annotations;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use std::{collections::BTreeMap, io, net::IpAddr, sync::Arc};
use tokio::runtime::Handle;

/// Longest user agent that is recorded whole.
const LONGEST_AGENT: usize = 1024;

/// A policy and where its events go.
pub struct AuditLog {
    policy: Policy,
    writer: Writer,
    runtime: Handle,
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy is none.
    #[error("audit policy: {0}")]
    Policy(String),
    /// The log cannot be opened.
    #[error("audit log")]
    Log(#[source] io::Error),
}

impl AuditLog {
    /// From the text of a policy file. Must be called within a runtime.
    ///
    /// # Errors
    /// The policy is none, or the log cannot be opened.
    pub fn start(policy: &str, log: LogFile) -> Result<Arc<Self>, AuditError> {
        let policy = Policy::parse(policy).map_err(AuditError::Policy)?;
        let writer = Writer::start(log).map_err(AuditError::Log)?;
        Ok(Arc::new(Self { policy, writer, runtime: Handle::current() }))
    }
    /// Returns when all events so far are written; later ones are not.
    pub async fn end(&self) {
        self.writer.end().await;
    }
    /// The record of a request, if it is audited.
    pub(crate) fn record(
        self: &Arc<Self>,
        request: &Request,
        info: &RequestInfo,
        user: Option<&Arc<User>>,
        audit_id: String,
        received: Timestamp,
    ) -> Option<Box<Record>> {
        let extent = self.policy.extent(info, user.map(AsRef::as_ref))?;
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: extent.level,
            audit_id,
            stage: Stage::RequestReceived,
            request_uri: request.uri.to_string(),
            verb: info.verb,
            user: user.cloned().unwrap_or_default(),
            impersonated_user: None,
            source_ips: source_ips(request),
            user_agent: user_agent(&request.headers),
            object_ref: info.is_resource.then(|| ObjectRef::of(info)),
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: MicroTime::new(received).to_string(),
            stage_timestamp: String::new(),
            annotations: BTreeMap::new(),
        };
        let annotations = Annotations::new(extent.level >= Level::Request);
        Some(Box::new(Record { log: self.clone(), extent, event, annotations, is_complete: false }))
    }
}

/// What is known of an audited request so far.
pub(crate) struct Record {
    log: Arc<AuditLog>,
    extent: Extent,
    event: Event,
    /// What others say about it.
    pub(crate) annotations: Arc<Annotations>,
    /// The last event has been written.
    is_complete: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    kind: &'static str,
    api_version: &'static str,
    level: Level,
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: &'static str,
    user: Arc<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<Arc<User>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<IpAddr>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<Box<RawValue>>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
}

impl ObjectRef {
    fn of(info: &RequestInfo) -> Self {
        Self {
            resource: info.resource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            uid: String::new(),
            api_group: info.group.clone(),
            api_version: info.version.clone(),
            resource_version: String::new(),
            subresource: info.subresource.clone(),
        }
    }

    /// Completes it from the object that came.
    fn see(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        let fill = |field: &mut String, name: &str| {
            if let (true, Some(text)) = (field.is_empty(), metadata[name].as_str()) {
                text.clone_into(field);
            }
        };
        fill(&mut self.namespace, "namespace");
        fill(&mut self.name, "name");
        fill(&mut self.uid, "uid");
        fill(&mut self.resource_version, "resourceVersion");
    }
}

impl Record {
    /// Somebody else acts from here on.
    pub(crate) fn impersonates(&mut self, user: Arc<User>) {
        self.event.impersonated_user = Some(user);
    }

    /// What came as the body, decoded.
    pub(crate) fn asked(&mut self, object: &Value) {
        if let Some(reference) = &mut self.event.object_ref {
            reference.see(object);
        }
        if self.extent.level >= Level::Request {
            self.event.request_object = self.raw(object.clone());
        }
    }

    /// What came as the body, where it is JSON and no object of the request's kind.
    pub(crate) fn asked_bytes(&mut self, json: &[u8]) {
        if self.extent.level >= Level::Request {
            // A line is an event, so line breaks of the client's do not stay.
            let object = serde_json::from_slice(json).ok();
            self.event.request_object = object.and_then(|object| self.raw(object));
        }
    }

    /// Whether the answer's object is recorded.
    pub(crate) fn wants_answer(&self) -> bool {
        self.extent.level >= Level::RequestResponse
    }

    /// What is answered, as JSON.
    pub(crate) async fn answered(&mut self, body: Body) {
        let bytes = match body {
            Body::Whole(bytes) => bytes,
            Body::Chunks(chunks) => Bytes::from(chunks.concat()),
            // A large list.
            Body::Stream(pieces) => match pieces.try_collect::<Vec<_>>().await {
                Ok(pieces) => Bytes::from(pieces.concat()),
                Err(_) => return,
            },
            Body::Upgrade(_) => return,
        };
        self.event.response_object = if self.extent.omits_managed_fields {
            serde_json::from_slice(&bytes).ok().and_then(|value| self.raw(value))
        } else {
            serde_json::from_slice(&bytes).ok()
        };
    }

    fn raw(&self, mut object: Value) -> Option<Box<RawValue>> {
        if self.extent.omits_managed_fields {
            without_managed_fields(&mut object);
        }
        serde_json::value::to_raw_value(&object).ok()
    }

    /// A `Status` is the answer.
    pub(crate) fn answered_status(&mut self, mut status: Value) {
        if self.wants_answer() && self.event.object_ref.is_some() {
            self.event.response_object = self.raw(status.clone());
        }
        if let Some(members) = status.as_object_mut() {
            members.remove("kind");
            members.remove("apiVersion");
        }
        self.event.response_status = Some(status);
    }

    /// The handler broke.
    pub(crate) fn panicked(&mut self, why: &str) {
        let message = format!("APIServer panic'd: {why}");
        self.event.response_status = Some(json!({
            "metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500,
        }));
    }

    /// Credentials were refused: nothing more is known than what was tried.
    pub(crate) fn refused(&mut self, request: &Request) {
        self.event.response_status =
            Some(json!({"metadata": {}, "message": attempted(request), "code": 401}));
    }

    /// The event of a stage, if it is written.
    fn line(&mut self, stage: Stage, at: Timestamp) -> Option<Vec<u8>> {
        if !self.extent.has(stage) {
            return None;
        }
        self.event.stage = stage;
        self.event.stage_timestamp = match stage {
            Stage::RequestReceived => self.event.request_received_timestamp.clone(),
            _ => MicroTime::new(at).to_string(),
        };
        self.event.annotations = self.annotations.texts();
        let mut line = serde_json::to_vec(&self.event).ok()?;
        line.push(b'\n');
        Some(line)
    }

    /// Writes the event of the last stage.
    pub(crate) async fn complete(mut self: Box<Self>, stage: Stage) {
        self.reach(stage).await;
        self.is_complete = true;
    }

    /// Writes the event of a stage.
    pub(crate) async fn reach(&mut self, stage: Stage) {
        if let Some(line) = self.line(stage, Timestamp::now()) {
            self.log.writer.write(line).await;
        }
    }

    /// The answer begins. What lasts, is complete when it ends.
    pub(crate) async fn end(mut self: Box<Self>, is_long: bool, mut response: Response) -> Response {
        self.code(response.status);
        if is_long {
            self.reach(Stage::ResponseStarted).await;
        }
        response.body = match response.body {
            Body::Stream(pieces) => Body::Stream(
                pieces
                    .inspect(move |_| {
                        let _ = &self;
                    })
                    .boxed(),
            ),
            Body::Upgrade(tunnel) => Body::Upgrade(Tunnel::new(move |connection| async move {
                tunnel.run(connection).await;
                drop(self);
            })),
            body => {
                self.complete(Stage::ResponseComplete).await;
                body
            }
        };
        response
    }

    fn code(&mut self, status: StatusCode) {
        let known = self.event.response_status.get_or_insert_with(|| json!({"metadata": {}}));
        known["code"] = json!(status.as_u16());
    }
}

/// The last event is written whatever ends the request: a stream, a tunnel, or a client that goes before it is answered.
impl Drop for Record {
    fn drop(&mut self) {
        if self.is_complete {
            return;
        }
        self.event.response_status.get_or_insert_with(|| {
            json!({"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200})
        });
        if let Some(line) = self.line(Stage::ResponseComplete, Timestamp::now()) {
            self.log.writer.write_later(line, &self.log.runtime);
        }
    }
}

fn without_managed_fields(object: &mut Value) {
    let strip = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    strip(object);
    for (list, inner) in [("items", ""), ("rows", "object")] {
        for item in object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            match item.get_mut(inner) {
                Some(inner) => strip(inner),
                None => strip(item),
            }
        }
    }
}

/// All but the last may be set by the client at will, as upstream.
fn source_ips(request: &Request) -> Vec<IpAddr> {
    const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
    const REAL: HeaderName = HeaderName::from_static("x-real-ip");
    let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut ips: Vec<IpAddr> = text(FORWARDED).split(',').filter_map(|ip| ip.trim().parse().ok()).collect();
    let real = text(REAL).trim().parse().ok().filter(|ip| !ips.contains(ip));
    ips.extend(real);
    if let Caller::Network(peer) = &request.caller {
        let peer = peer.address().ip();
        ips.extend((ips.last() != Some(&peer)).then_some(peer));
    }
    ips
}

fn user_agent(headers: &HeaderMap) -> String {
    let given = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let given = given.unwrap_or_default();
    match given.char_indices().find(|(at, c)| at + c.len_utf8() > LONGEST_AGENT) {
        Some((end, _)) => format!("{}...TRUNCATED", &given[..end]),
        None => given.into_owned(),
    }
}

fn attempted(request: &Request) -> String {
    let given = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scheme =
        given.unwrap_or_default().trim().split_once(' ').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let certified = matches!(&request.caller, Caller::Network(peer) if !peer.certificates().is_empty());
    let tried = scheme.filter(|scheme| matches!(scheme.as_str(), "basic" | "bearer"));
    let tried: Vec<_> = tried.into_iter().chain(certified.then(|| "x509".to_owned())).collect();
    match tried.as_slice() {
        [] => "Authentication failed, no credentials provided".to_owned(),
        tried => format!("Authentication failed, attempted: {}", tried.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managed_fields_go_out_of_objects_lists_and_tables() {
        let object = || json!({"metadata": {"name": "a", "managedFields": [1]}});
        let clean = json!({"metadata": {"name": "a"}});
        for (mut whole, want) in [
            (object(), clean.clone()),
            (json!({"items": [object()]}), json!({"items": [clean]})),
            (json!({"rows": [{"object": object()}]}), json!({"rows": [{"object": clean}]})),
        ] {
            without_managed_fields(&mut whole);
            assert_eq!(whole, want);
        }
    }

    #[test]
    fn long_user_agents_are_cut() {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", "x".repeat(LONGEST_AGENT).parse().unwrap());
        assert_eq!(user_agent(&headers).len(), LONGEST_AGENT);
        headers.insert("user-agent", "x".repeat(LONGEST_AGENT + 1).parse().unwrap());
        assert_eq!(user_agent(&headers), format!("{}...TRUNCATED", "x".repeat(LONGEST_AGENT)));
    }
}
