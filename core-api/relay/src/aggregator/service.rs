//! What is read of an APIService.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use proa_registry::Entry;
use proa_server::aggregation::Priority;
use serde::Deserialize;

/// The server that answers for a version of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) place: Place,
    /// PEM of the authorities that sign its certificate; empty: those that this machine trusts.
    pub(super) ca_bundle: Bytes,
    /// Its certificate is not looked at.
    pub(super) insecure: bool,
}

/// A Service and its port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) port: u16,
}

impl Spec {
    /// Where what it serves is listed.
    pub(super) fn path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }
}

/// An APIService.
#[derive(Debug)]
pub(super) struct Service {
    /// Who answers; none: this server.
    pub(super) spec: Option<Spec>,
    pub(super) priority: Priority,
    /// The condition `Available`.
    pub(super) available: Option<Condition>,
}

/// A condition, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    pub(super) status: String,
    pub(super) reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecView {
    group: String,
    version: String,
    service: Option<Place>,
    #[serde(rename = "insecureSkipTLSVerify")]
    insecure: bool,
    ca_bundle: String,
    group_priority_minimum: i64,
    version_priority: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    conditions: Vec<Condition>,
}

impl Service {
    /// None when the object cannot be read, which is logged.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let view: View = entry
            .decode()
            .map_err(|error| tracing::error!(key = %entry.key, %error, "APIService cannot be read"))
            .ok()?;
        let SpecView {
            group,
            version,
            service,
            insecure,
            ca_bundle,
            group_priority_minimum,
            version_priority,
        } = view.spec;
        // It was written as base64, or it would not have been stored.
        let ca_bundle = BASE64_STANDARD.decode(ca_bundle).unwrap_or_default().into();
        Some(Self {
            spec: service.map(|place| Spec { group, version, place, ca_bundle, insecure }),
            priority: Priority { group: group_priority_minimum, version: version_priority },
            available: view.status.conditions.into_iter().find(|condition| condition.kind == "Available"),
        })
    }

    pub(super) fn is_available(&self) -> bool {
        self.available.as_ref().is_some_and(|condition| condition.status == "True")
    }
}
