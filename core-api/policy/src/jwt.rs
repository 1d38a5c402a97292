//! Tokens of other issuers: OpenID Connect and whoever signs JSON web tokens.
//!
//! Flow: a configuration (`config`) -> an [`Issuer`] -> the keys that it publishes (`keys`), fetched by a task of its own
//! -> a verified token's claims become a user (`mapping`). Invariants: a token that names another issuer costs a look at its
//! claims; nothing but the configured issuer's keys opens a token; keys are fetched when a token needs a new one, never
//! by time, and not more than once a second. Deliberately absent: distributed claims, ES512 (the cryptography has no
//! P-521). Upstream: apiserver `plugin/pkg/authenticator/token/oidc`.

pub mod config;
mod keys;
mod mapping;

use crate::{
    remember::{self, Remembered},
    tokens::{
        TokenError, Verified,
        chain::{Known, Verify, for_the_server},
        key::parts,
    },
};
use arc_swap::ArcSwapOption;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::BoxFuture;
use jiff::Timestamp;
pub use keys::Algorithm;
use keys::Key;
use mapping::Mapping;
use proa_meta::User;
use proa_registry::webhook::{CallWebhook, WebhookClient, WebhookPlace};
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};

/// How long a fetch may take.
const FETCH: Duration = Duration::from_secs(30);
/// Time until the next try when an issuer was not reached at first.
const RETRY: Duration = Duration::from_secs(10);
/// Shortest time from one fetch to the next: tokens with unknown keys must not flood the issuer.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long a token is believed without being looked at again.
const REMEMBER: Duration = Duration::from_secs(10);
/// Clocks may differ by this many seconds when a token is not valid yet.
const NOT_YET: i64 = 300;

/// One issuer and what its tokens say.
pub struct Issuer {
    url: String,
    discovery: WebhookClient,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    mapping: Mapping,
    own_audiences: Vec<String>,
    keys: ArcSwapOption<Vec<Key>>,
    wanted: Notify,
    /// Counts fetches.
    fetched: watch::Sender<u64>,
    known: Remembered<User>,
}

/// What the issuer publishes about itself.
#[derive(Deserialize)]
struct Discovery {
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// What must be understood, and is not. RFC 7515, 4.1.11.
    crit: Option<serde::de::IgnoredAny>,
}

impl Issuer {
    /// Keeps the keys: fetches them at once, and whenever a token names one that is not there.
    pub async fn run(self: Arc<Self>, client: Arc<dyn CallWebhook>) {
        let mut published = None;
        loop {
            match self.fetch(&*client, &mut published).await {
                Ok(keys) => self.keys.store(Some(Arc::new(keys))),
                Err(why) => tracing::error!(issuer = self.url, why, "cannot fetch the keys of an issuer"),
            }
            self.fetched.send_modify(|count| *count += 1);
            tokio::time::sleep(if self.keys.load().is_some() { SHORTEST } else { RETRY }).await;
            if self.keys.load().is_some() {
                self.wanted.notified().await;
            }
        }
    }

    /// The keys; where they are is asked once.
    async fn fetch(
        &self,
        client: &dyn CallWebhook,
        published: &mut Option<WebhookClient>,
    ) -> Result<Vec<Key>, String> {
        let at = match published {
            Some(at) => at,
            None => {
                let document = client.fetch(&self.discovery, FETCH).await.map_err(|error| error.0)?;
                let found: Discovery = serde_json::from_slice(&document).map_err(|e| e.to_string())?;
                if found.issuer != self.url {
                    return Err(format!(
                        "oidc: issuer did not match the issuer returned by provider, expected {:?} got {:?}",
                        self.url, found.issuer
                    ));
                }
                let place = https(&found.jwks_uri).ok_or("oidc: the provider's jwks_uri is no https URL")?;
                published.insert(WebhookClient { place, ..self.discovery.clone() })
            }
        };
        keys::read(&client.fetch(at, FETCH).await.map_err(|error| error.0)?)
    }

    async fn user(&self, token: &str) -> Result<Option<User>, String> {
        let Some((message, header, payload, signature)) = parts(token) else { return Ok(None) };
        let decoded = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        let Ok(claims) = serde_json::from_slice::<Value>(&decoded) else { return Ok(None) };
        if claims["iss"].as_str().map(same_google) != Some(self.url.as_str()) {
            return Ok(None);
        }
        let id = remember::key(token.as_bytes());
        if let Some(user) = self.known.get(&id) {
            return Ok(Some(user));
        }
        let malformed = || "oidc: verify token: oidc: malformed jwt".to_owned();
        let header: Header = URL_SAFE_NO_PAD
            .decode(header)
            .ok()
            .and_then(|header| serde_json::from_slice(&header).ok())
            .filter(|header: &Header| header.crit.is_none())
            .ok_or_else(malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
        self.check(&claims, Timestamp::now().as_second())?;
        let algorithm = Algorithm::of(&header.alg).filter(|of| self.algorithms.contains(of));
        let algorithm = algorithm.ok_or_else(|| {
            format!("oidc: verify token: oidc: id token signed with unsupported algorithm {:?}", header.alg)
        })?;
        if !self.is_signed(&header.kid, algorithm, message, &signature).await? {
            return Err(
                "oidc: verify token: failed to verify signature: failed to verify id token signature".into(),
            );
        }
        let user = self.mapping.user(&claims)?;
        self.known.put(id, user.clone(), REMEMBER);
        Ok(Some(user))
    }

    /// Audience and times.
    fn check(&self, claims: &Value, now: i64) -> Result<(), String> {
        let found: Vec<&str> = match &claims["aud"] {
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !found.iter().any(|one| self.audiences.iter().any(|own| own == one)) {
            return Err(format!(
                "oidc: verify token: oidc: expected audience in {:?} got {found:?}",
                self.audiences
            ));
        }
        let time = |claim: &str| claims[claim].as_i64().or_else(|| claims[claim].as_f64().map(whole));
        if time("exp").unwrap_or(0) < now {
            return Err("oidc: verify token: oidc: token is expired".to_owned());
        }
        if time("nbf").is_some_and(|from| from > now.saturating_add(NOT_YET)) {
            return Err("oidc: verify token: oidc: current time before the nbf (not before) time".to_owned());
        }
        Ok(())
    }

    /// Whether one of the issuer's keys has signed. An unknown key may be new: they are fetched again once.
    async fn is_signed(
        &self,
        kid: &str,
        algorithm: Algorithm,
        message: &str,
        signature: &[u8],
    ) -> Result<bool, String> {
        let signed =
            |keys: Arc<Vec<Key>>| keys.iter().any(|key| key.has_signed(kid, algorithm, message, signature));
        let keys = self.keys.load_full().ok_or("oidc: authenticator not initialized")?;
        if signed(keys) {
            return Ok(true);
        }
        let mut fetched = self.fetched.subscribe();
        self.wanted.notify_one();
        // The sender lives as long as this.
        let _ = tokio::time::timeout(FETCH + SHORTEST, fetched.changed()).await;
        Ok(self.keys.load_full().is_some_and(signed))
    }
}

/// The older name of one issuer stands for the newer one.
fn same_google(issuer: &str) -> &str {
    if issuer == "accounts.google.com" { "https://accounts.google.com" } else { issuer }
}

/// Seconds as tokens have them; those beyond all time are the last.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
const fn whole(seconds: f64) -> i64 {
    seconds as i64
}

fn https(url: &str) -> Option<WebhookPlace> {
    let host = url.strip_prefix("https://")?;
    (!host.is_empty() && !host.starts_with('/')).then(|| WebhookPlace::Url(url.to_owned()))
}

impl Verify for Issuer {
    fn verify<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Known> {
        Box::pin(async move {
            let user = self.user(token).await.map_err(TokenError::Invalid)?;
            Ok(user.and_then(|user| -> Option<Verified> {
                for_the_server(user, &self.own_audiences, audiences)
            }))
        })
    }
}

#[cfg(test)]
mod tests;
