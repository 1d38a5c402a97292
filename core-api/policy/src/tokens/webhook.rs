//! Tokens that a webhook knows: a TokenReview is posted, its status says who it is.
//!
//! Answers are remembered for a while; that the webhook was not reached is not. Upstream: apiserver
//! `plugin/pkg/authenticator/token/webhook`.

use super::{
    TokenError, Verified,
    chain::{Known, Verify},
};
use crate::remember::{self, Remembered};
use bytes::Bytes;
use futures::future::BoxFuture;
use proa_meta::User;
use proa_registry::webhook::{CallWebhook, WebhookClient};
use serde::Deserialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How long the webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How the webhook is asked.
#[derive(Clone, Debug)]
pub struct TokenWebhook {
    /// Where it is.
    pub client: WebhookClient,
    /// Version of `authentication.k8s.io` that it speaks: `v1` or `v1beta1`.
    pub version: String,
    /// How long its answers count.
    pub lifetime: Duration,
}

/// Knows the tokens that a webhook knows.
pub struct WebhookTokens {
    hook: TokenWebhook,
    caller: Arc<dyn CallWebhook>,
    audiences: Vec<String>,
    answers: Remembered<Status>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
    error: String,
}

impl WebhookTokens {
    /// Asks this webhook. `audiences` mean the API server.
    pub fn new(hook: TokenWebhook, caller: Arc<dyn CallWebhook>, audiences: Vec<String>) -> Self {
        Self { hook, caller, audiences, answers: Remembered::default() }
    }

    async fn ask(&self, token: &str, audiences: &[String]) -> Result<Status, String> {
        let review = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.hook.version), "kind": "TokenReview",
            "metadata": {"creationTimestamp": null},
            "spec": {"token": token, "audiences": audiences},
            "status": {"user": {}},
        });
        let body = review.to_string();
        let key = remember::key(body.as_bytes());
        if let Some(known) = self.answers.get(&key) {
            return Ok(known);
        }
        let answer = self.caller.call(&self.hook.client, Bytes::from(body), TIMEOUT).await;
        let answer = answer.map_err(|error| error.0)?;
        let review: Review = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        self.answers.put(key, review.status.clone(), self.hook.lifetime);
        Ok(review.status)
    }
}

/// What an answer says. Webhooks that do not name audiences mean the API server's own.
fn known(status: Status, own: &[String], asked: &[String]) -> Known {
    if !status.authenticated {
        return if status.error.is_empty() { Ok(None) } else { Err(TokenError::Invalid(status.error)) };
    }
    let found = if status.audiences.is_empty() { own } else { &status.audiences };
    let audiences: Vec<_> = asked.iter().filter(|audience| found.contains(audience)).cloned().collect();
    Ok((!audiences.is_empty() || asked.is_empty()).then_some(Verified { user: status.user, audiences }))
}

impl Verify for WebhookTokens {
    fn verify<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Known> {
        Box::pin(async move {
            match self.ask(token, audiences).await {
                Ok(status) => known(status, &self.audiences, audiences),
                Err(why) => {
                    tracing::error!(why, "failed to make webhook authenticator request");
                    Err(TokenError::Invalid(why))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_upstream() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let found = |status: serde_json::Value, asked: &str| {
            known(serde_json::from_value(status).unwrap(), &list("api"), &list(asked))
                .map(|known| known.map(|v| (v.user.name, v.audiences)))
                .map_err(|why| why.to_string())
        };
        let ann = json!({"authenticated": true, "user": {"username": "ann"}});
        assert_eq!(found(ann.clone(), "api b"), Ok(Some(("ann".to_owned(), list("api")))));
        assert_eq!(found(ann, "b"), Ok(None));
        let told = json!({"authenticated": true, "user": {"username": "ann"}, "audiences": ["b"]});
        assert_eq!(found(told.clone(), "b"), Ok(Some(("ann".to_owned(), list("b")))));
        assert_eq!(found(told, "api"), Ok(None));
        assert_eq!(found(json!({"authenticated": false}), "api"), Ok(None));
        assert_eq!(found(json!({"error": "expired"}), "api"), Err("expired".to_owned()));
    }
}
