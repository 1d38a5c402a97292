//! From a bearer token to a user.
//!
//! Owns: the checks behind the signature: times, audience, and that account and bound objects still exist as they
//! were. Verified signatures are remembered (by digest, bounded), because they cost the most and never change; all
//! else is checked on every request. Upstream: `pkg/serviceaccount/{jwt,claims}.go`, `legacy.go` left out.

use super::{
    Claims, TokenError,
    key::{self, PublicKey},
};
use crate::{
    objects::{self, Meta},
    remember::{self, Remembered},
};
use jiff::Timestamp;
use proa_meta::{
    Gvr, User,
    identity::{AUTHENTICATED, CREDENTIAL_ID, SERVICE_ACCOUNTS},
};
use proa_registry::Registry;
use std::{sync::Arc, time::Duration};

/// Clocks may differ by this many seconds, and an object counts as deleted this long after its deletion.
const LEEWAY: i64 = 60;
/// How long it is remembered that a signature is good. It stays good; this only makes room.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Verifies service account tokens.
pub struct TokenVerifier {
    registry: Arc<Registry>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    keys: Vec<PublicKey>,
    opened: Remembered<Arc<Claims>>,
}

/// Whom a token stands for, and for which of the asked audiences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The service account.
    pub user: User,
    /// Audiences of the token that were asked for.
    pub audiences: Vec<String>,
}

/// Reads metadata of a live object; empty namespace for cluster-scoped kinds.
pub(super) type Lookup<'a> = &'a dyn Fn(&Gvr, &str, &str) -> Option<Meta>;

impl TokenVerifier {
    /// A verifier of tokens of the given issuers, the present one first. `audiences` mean the API server itself.
    pub fn new(
        registry: Arc<Registry>,
        issuers: Vec<String>,
        audiences: Vec<String>,
        keys: Vec<PublicKey>,
    ) -> Arc<Self> {
        Arc::new(Self { registry, issuers, audiences, keys, opened: Remembered::default() })
    }

    /// The issuer that new tokens name.
    pub fn issuer(&self) -> &str {
        self.issuers.first().map_or(super::DEFAULT_ISSUER, String::as_str)
    }

    /// The audiences that mean the API server.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Verifies a token that is presented to the API server.
    ///
    /// # Errors
    /// The token is foreign or not valid.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        self.verify_for(token, &self.audiences)
    }

    /// Verifies a token for any of the given audiences.
    ///
    /// # Errors
    /// The token is foreign or not valid.
    pub fn verify_for(&self, token: &str, audiences: &[String]) -> Result<Verified, TokenError> {
        let claims = self.open(token)?;
        let lookup = |gvr: &Gvr, namespace: &str, name: &str| {
            objects::find_meta(&self.registry, gvr, namespace, name).ok().flatten()
        };
        let matching = matching_audiences(&claims.aud, &self.audiences, audiences)?;
        check_times(&claims, self.registry.now())?;
        check_objects(&claims, self.registry.now(), &lookup)?;
        Ok(Verified { user: user(&claims), audiences: matching })
    }

    fn open(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let id = remember::key(token.as_bytes());
        if let Some(claims) = self.opened.get(&id) {
            return Ok(claims);
        }
        let claims = Arc::new(key::open(token, &self.issuers, &self.keys)?);
        self.opened.put(id, claims.clone(), REMEMBERED);
        Ok(claims)
    }
}

fn invalid<T>(why: impl Into<String>) -> Result<T, TokenError> {
    Err(TokenError::Invalid(why.into()))
}

/// The token's audiences that were asked for. A token without audiences is meant for the API server.
pub(super) fn matching_audiences(
    token: &[String],
    own: &[String],
    asked: &[String],
) -> Result<Vec<String>, TokenError> {
    let token = if token.is_empty() { own } else { token };
    let matching: Vec<_> = token.iter().filter(|audience| asked.contains(audience)).cloned().collect();
    if matching.is_empty() {
        let quoted = crate::rbac::rule::quoted;
        return invalid(format!(
            "token audiences {} is invalid for the target audiences {}",
            quoted(token),
            quoted(asked)
        ));
    }
    Ok(matching)
}

pub(super) fn check_times(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    let now = now.as_second();
    if now.saturating_sub(LEEWAY) > claims.exp {
        return invalid("service account token has expired");
    }
    if now.saturating_add(LEEWAY) < claims.nbf {
        return invalid("service account token is not valid yet");
    }
    if now.saturating_add(LEEWAY) < claims.iat {
        return invalid("service account token is issued in the future");
    }
    Ok(())
}

/// The account and what the token is bound to still exist, are the same, and are not deleted.
pub(super) fn check_objects(claims: &Claims, now: Timestamp, lookup: Lookup<'_>) -> Result<(), TokenError> {
    let own = &claims.kubernetes;
    let namespace = own.namespace.as_str();
    let account = &own.serviceaccount;
    let Some(found) = lookup(&objects::SERVICE_ACCOUNTS, namespace, &account.name) else {
        return invalid(format!("serviceaccounts {:?} not found", account.name));
    };
    if found.uid != account.uid {
        return invalid(format!(
            "service account UID ({}) does not match claim ({})",
            found.uid, account.uid
        ));
    }
    if is_gone(&found, now) {
        return invalid(format!("service account {namespace}/{} has been deleted", account.name));
    }
    // A pod's token carries its node for information only.
    let node = own.node.as_ref().filter(|_| own.pod.is_none());
    for (what, gvr, namespace, bound) in [
        ("secret", objects::SECRETS, namespace, own.secret.as_ref()),
        ("pod", objects::PODS, namespace, own.pod.as_ref()),
        ("node", objects::NODES, "", node),
    ] {
        let Some(bound) = bound else { continue };
        let Some(found) = lookup(&gvr, namespace, &bound.name).filter(|found| !is_gone(found, now)) else {
            return invalid("service account token has been invalidated");
        };
        if found.uid != bound.uid {
            return invalid(different(what, &found.uid, &bound.uid));
        }
    }
    Ok(())
}

fn different(what: &str, found: &str, claimed: &str) -> String {
    format!("{what} UID ({found}) does not match service account {what} ref claim ({claimed})")
}

fn is_gone(object: &Meta, now: Timestamp) -> bool {
    let deleted = object.deletion_timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    deleted.is_some_and(|at| at.as_second() < now.as_second() - LEEWAY)
}

/// The user that the claims name.
pub(super) fn user(claims: &Claims) -> User {
    let own = &claims.kubernetes;
    let groups = [SERVICE_ACCOUNTS, &format!("{SERVICE_ACCOUNTS}:{}", own.namespace), AUTHENTICATED]
        .map(str::to_owned);
    let mut user = User {
        name: format!("system:serviceaccount:{}:{}", own.namespace, own.serviceaccount.name),
        uid: own.serviceaccount.uid.clone(),
        groups: groups.to_vec(),
        extra: std::collections::BTreeMap::new(),
    };
    let mut extra = |key: String, value: String| {
        if !value.is_empty() {
            user.extra.insert(key, vec![value]);
        }
    };
    if !claims.jti.is_empty() {
        extra(CREDENTIAL_ID.to_owned(), format!("JTI={}", claims.jti));
    }
    for (kind, bound) in [("pod", &own.pod), ("node", &own.node)] {
        if let Some(bound) = bound {
            extra(format!("authentication.kubernetes.io/{kind}-name"), bound.name.clone());
            extra(format!("authentication.kubernetes.io/{kind}-uid"), bound.uid.clone());
        }
    }
    user
}
