//! Requests as they are, and whether who asks may have them approved.

use crate::plan::{self, approve};
use proa_kit::{Action, Error, Kind, Meta, Timestamp, Writer, view, views::null_as_default};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Whether a user may.
pub(crate) const REVIEWS: Kind =
    Kind::cluster("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews");

/// A signing request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RequestView {
    /// Metadata.
    pub metadata: Meta,
    /// What is asked for, and by whom.
    pub spec: RequestSpec,
    /// What came of it.
    pub status: RequestStatus,
}

view!(
    RequestView,
    Kind::cluster("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests")
);

/// What is asked for, and by whom.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestSpec {
    /// PKCS#10 as PEM, as base64.
    pub request: Box<str>,
    /// Who is to sign.
    pub signer_name: Box<str>,
    /// What the certificate is for.
    #[serde(deserialize_with = "null_as_default")]
    pub usages: Vec<Box<str>>,
    /// How long it is to be valid.
    pub expiration_seconds: Option<u32>,
    /// Who asked.
    pub username: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Its groups.
    #[serde(deserialize_with = "null_as_default")]
    pub groups: Vec<Box<str>>,
    /// What else is known of it.
    pub extra: Value,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RequestStatus {
    /// Decisions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Vec<Decision>,
    /// PEM, as base64.
    pub certificate: Box<str>,
}

/// A decision about a request.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Decision {
    /// `Approved`, `Denied` or `Failed`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, of approvals and denials always.
    pub status: Box<str>,
    /// Why, in one word.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
    /// Why.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
    /// When it was made or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Timestamp>,
    /// When its status changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

impl RequestView {
    /// Whether a decision of this kind was made.
    pub fn is(&self, kind: &str) -> bool {
        self.status.conditions.iter().any(|own| &*own.kind == kind && &*own.status == "True")
    }
    /// Its status with one more decision. The list is atomic for patches, so it is written as a whole.
    pub(crate) fn with(&self, kind: &str, reason: &str, message: &str, now: Timestamp) -> Value {
        let new = Decision {
            kind: kind.into(),
            status: "True".into(),
            reason: reason.into(),
            message: message.into(),
            last_update_time: Some(now),
            last_transition_time: None,
        };
        let all: Vec<&Decision> = self.status.conditions.iter().chain([&new]).collect();
        json!({"status": {"conditions": all}})
    }
}

/// Metadata of a pod's request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodRequestView {
    /// Metadata.
    pub metadata: Meta,
}

view!(
    PodRequestView,
    Kind::namespaced("certificates.k8s.io", "v1", "PodCertificateRequest", "podcertificaterequests")
);

/// Whether who asks may have it approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// As a node that renews its own certificate.
    #[serde(rename = "selfnodeclient")]
    pub own: bool,
    /// As somebody who asks for a node.
    #[serde(rename = "nodeclient")]
    pub any: bool,
}

/// Asks the server, where it matters.
pub(crate) async fn observe(reviewer: Option<&Writer>, request: &RequestView) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    let Some(reviewer) = reviewer.filter(|_| plan::is_open(request)) else { return Ok(observed) };
    for way in approve::ways(request) {
        let may = match way {
            approve::Way::Own => &mut observed.own,
            approve::Way::Any => &mut observed.any,
        };
        *may = is_allowed(reviewer, request, way.subresource()).await?;
        if *may {
            break;
        }
    }
    Ok(observed)
}

async fn is_allowed(reviewer: &Writer, request: &RequestView, subresource: &str) -> Result<bool, Error> {
    let spec = &request.spec;
    let review = json!({"spec": {
        "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
        "resourceAttributes": {"verb": "create", "group": "certificates.k8s.io", "version": "*",
            "resource": "certificatesigningrequests", "subresource": subresource}}});
    let answer: Value = reviewer.ask(&Action::create(REVIEWS, "", review)).await?;
    Ok(answer["status"]["allowed"] == true)
}
