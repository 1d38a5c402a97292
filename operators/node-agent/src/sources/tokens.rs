//! Service account tokens of pods.
//!
//! Owns: tokens by pod, service account, audience and life time; when each is asked for anew: at 80 % of its life, at
//! the latest after a day. Then its pod is marked, and whoever reads the token gets a new one. Invariants: a token is
//! bound to its pod, so it dies with it; one that could not be renewed is handed out until it ends.
//! Upstream: `pkg/kubelet/token/token_manager.go`.

use super::{SourceError, marks::Marks};
use crate::build::{name, namespace, uid};
use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;
use proa_kit::clock::Clock;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tracing::warn;

/// A token is renewed after this, however long it lives.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// When to ask again after a renewal failed.
const RETRY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pod: String,
    account: String,
    audience: String,
    seconds: i64,
}

struct Held {
    token: String,
    renew: Timestamp,
    expires: Timestamp,
    alarm: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.alarm.abort();
    }
}

/// See the module's text.
pub(super) struct Tokens {
    client: Client,
    clock: Arc<dyn Clock>,
    marks: Marks,
    held: Mutex<HashMap<Key, Held>>,
}

impl Tokens {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, marks: Marks) -> Self {
        Self { client, clock, marks, held: Mutex::default() }
    }

    pub(super) async fn token(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<String, SourceError> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        let account = account.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let key = Key { pod: uid(pod).to_owned(), account, audience: audience.to_owned(), seconds };
        if let Some(token) = self.fresh(&key) {
            return Ok(token);
        }
        match self.request(pod, &key).await {
            Ok(request) => self.hold(key, &request),
            Err(error) => self.fall_back(&key, &error),
        }
    }

    /// The pod is gone.
    pub(super) fn forget(&self, pod_uid: &str) {
        self.held.lock().retain(|key, _| key.pod != pod_uid);
    }

    fn fresh(&self, key: &Key) -> Option<String> {
        let now = self.clock.now();
        self.held.lock().get(key).filter(|held| now < held.renew).map(|held| held.token.clone())
    }

    async fn request(&self, pod: &Pod, key: &Key) -> Result<TokenRequest, kube::Error> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                // Without an audience the server's own is meant.
                audiences: Some(key.audience.clone())
                    .filter(|a| !a.is_empty())
                    .map(|audience| vec![audience]),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(name(pod).to_owned()),
                    uid: Some(key.pod.clone()),
                }),
                expiration_seconds: Some(key.seconds),
                attestations: None,
            }),
            ..TokenRequest::default()
        };
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace(pod));
        accounts.create_token_request(&key.account, &PostParams::default(), &request).await
    }

    fn hold(&self, key: Key, answer: &TokenRequest) -> Result<String, SourceError> {
        let status = answer.status.as_ref();
        let expires = status.and_then(|status| status.expiration_timestamp.as_ref());
        let token = status.and_then(|status| status.token.clone());
        let (Some(expires), Some(token)) = (expires, token) else {
            return Err(SourceError::Refused("the token request was not answered".to_owned()));
        };
        let expires = expires.0;
        let seconds = answer.spec.as_ref().and_then(|spec| spec.expiration_seconds).unwrap_or(key.seconds);
        let renew = renewal(expires, seconds);
        let alarm = self.alarm(&key.pod, until(renew, self.clock.now()));
        self.held.lock().insert(key, Held { token: token.clone(), renew, expires, alarm });
        Ok(token)
    }

    fn fall_back(&self, key: &Key, error: &kube::Error) -> Result<String, SourceError> {
        let text = match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        };
        let now = self.clock.now();
        let mut all = self.held.lock();
        let Some(held) = all.get_mut(key).filter(|held| now < held.expires) else {
            return Err(SourceError::Refused(format!("failed to fetch token: {text}")));
        };
        warn!(pod = key.pod, error = text, "cannot renew a token; the old one is kept");
        held.alarm.abort();
        held.alarm = self.alarm(&key.pod, RETRY);
        Ok(held.token.clone())
    }

    /// Marks the pod after a while.
    fn alarm(&self, pod: &str, after: Duration) -> JoinHandle<()> {
        let (marks, pod) = (self.marks.clone(), pod.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            marks.add([pod]);
        })
    }
}

/// When a token is asked for anew.
fn renewal(expires: Timestamp, seconds: i64) -> Timestamp {
    let life = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    // Both end within the range of timestamps: the server made `expires` from `seconds`.
    let early = expires.checked_sub(life / 5).unwrap_or(expires);
    let aged = expires.checked_sub(life).and_then(|issued| issued.checked_add(MAX_AGE)).unwrap_or(expires);
    early.min(aged)
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.duration_since(now).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_at_four_fifths_of_their_life_or_after_a_day() {
        let at = |hours: f64| Timestamp::from_second((hours * 3600.0) as i64).unwrap();
        assert_eq!(renewal(at(1.0), 3600), at(0.8));
        assert_eq!(renewal(at(10.0), 36_000), at(8.0));
        assert_eq!(renewal(at(240.0), 864_000), at(24.0));
    }
}
