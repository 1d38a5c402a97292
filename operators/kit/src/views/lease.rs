//! Lease.

use super::Meta;
use crate::kind::Kind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A lease.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct LeaseView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: LeaseSpec,
}

crate::view!(LeaseView, Kind::namespaced("coordination.k8s.io", "v1", "Lease", "leases"));

/// Spec of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// Who holds it; absent or empty when released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_identity: Option<Box<str>>,
    /// How long it is valid after `renewTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<i32>,
    /// When the holder got it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "micro")]
    pub acquire_time: Option<Timestamp>,
    /// When the holder last renewed it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "micro")]
    pub renew_time: Option<Timestamp>,
    /// How often it changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_transitions: Option<i32>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn micro<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(crate::clock::rfc3339_micro).serialize(serializer)
}
