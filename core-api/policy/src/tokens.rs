//! Service account tokens: their claims, how they are signed, and what makes them valid.
//!
//! Owns: the claims, signing and verifying (`key`), the check against live objects (`verifier`), the OpenID documents
//! (`discovery`). Invariants: only ES256 with our own key is accepted, whatever a token's header says; a token is
//! worth nothing once its account or the object it is bound to is gone. Beside them: bootstrap tokens (`bootstrap`), and
//! the order of all sorts (`chain`). Deliberately absent: static tokens. Upstream: `pkg/serviceaccount/{jwt,claims}.go`.

pub mod bootstrap;
pub mod chain;
pub mod discovery;
pub mod key;
pub mod verifier;
pub mod webhook;

pub use chain::Tokens;
pub use key::{KeyError, PublicKey, SigningKey};
pub use verifier::{TokenVerifier, Verified};

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Issuer, and the audience that means the API server, unless the wiring sets others.
pub const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Lifetime that the service account plugin asks for in pods' tokens. The odd seconds tell it from a user's choice:
/// such tokens really live much longer, for clients that read them once.
pub const POD_TOKEN_SECONDS: i64 = 3607;
/// How long tokens with [`POD_TOKEN_SECONDS`] are accepted.
pub const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Claims of a service account token. Fields are in the order of the token's JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// For whom the token is meant.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub aud: Vec<String>,
    /// Expiry, seconds since 1970.
    pub exp: i64,
    /// Issued at.
    #[serde(default)]
    pub iat: i64,
    /// Issuer.
    pub iss: String,
    /// Unique id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// Kubernetes' own claims.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: KubernetesClaims,
    /// Not valid before.
    #[serde(default)]
    pub nbf: i64,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
}

/// The claim `kubernetes.io`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesClaims {
    /// Namespace of the account and of what it is bound to.
    pub namespace: String,
    /// Node that the token is bound to, or on which its pod runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Bound>,
    /// Pod that the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Bound>,
    /// Secret that the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Bound>,
    /// The account.
    pub serviceaccount: Bound,
    /// From when on using the token is worth a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// Name and uid of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Name.
    pub name: String,
    /// Uid; empty for a pod's node that does not exist.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not one of ours: another authenticator may know it.
    Foreign,
    /// Ours, but wrong; the text is safe to show.
    Invalid(String),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("invalid bearer token"),
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TokenError {}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Audience::deserialize(deserializer).map(|audience| match audience {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

#[cfg(test)]
mod tests;
