//! How webhooks are reached: the seam between those who ask (admission, conversion, authentication, authorization) and
//! those who make connections.
//!
//! Upstream: apiserver `pkg/util/webhook/client.go`.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Where a webhook is served and who vouches for it: a `clientConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebhookClient {
    /// Where.
    pub place: WebhookPlace,
    /// PEM of the authorities that sign its certificate; empty: those that this machine trusts.
    pub ca_bundle: Bytes,
    /// What a kubeconfig says beyond that; none of what is configured by objects.
    pub access: Option<Arc<Access>>,
}

/// How this server shows who it is, and whom it believes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// Value of the header `Authorization`; empty: none.
    pub authorization: String,
    /// Client certificate and key, PEM.
    pub certificate: Option<(String, String)>,
    /// Name that is expected of the other side instead of its host; empty: the host's.
    pub server_name: String,
    /// Whoever answers is believed.
    pub is_unverified: bool,
}

/// Nothing of it is shown: these are credentials.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl WebhookClient {
    /// The client of a validated `clientConfig`.
    ///
    /// # Errors
    /// It was not validated.
    pub fn of(config: &Value) -> Result<Self, &'static str> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let service = &config["service"];
        let place = match (config["url"].as_str(), service.is_object()) {
            (Some(url), false) => WebhookPlace::Url(url.to_owned()),
            (None, true) => WebhookPlace::Service {
                namespace: text(&service["namespace"]),
                name: text(&service["name"]),
                path: text(&service["path"]),
                port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            },
            _ => return Err("a webhook has either a url or a service"),
        };
        let bundle = BASE64_STANDARD.decode(text(&config["caBundle"]));
        let bundle = bundle.map_err(|_| "the caBundle of a webhook is not base64")?;
        let is_blank = bundle.iter().all(u8::is_ascii_whitespace);
        let ca_bundle = if is_blank { Bytes::new() } else { bundle.into() };
        Ok(Self { place, ca_bundle, access: None })
    }
}

/// Where a webhook is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WebhookPlace {
    /// `https://host[:port][/path]`.
    Url(String),
    /// Behind a Service; its certificate is for `NAME.NAMESPACE.svc`.
    Service {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Path, empty or with a leading slash.
        path: String,
        /// The Service's port.
        port: u16,
    },
}

/// Why there is no answer, in the words that clients are shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);

/// Calls webhooks.
pub trait CallWebhook: Send + Sync {
    /// Posts `body`, a JSON document, and gives the answer's body.
    ///
    /// # Errors
    /// The webhook is not reached, is not who it should be, answers with an error, or not within `timeout`.
    fn call<'a>(
        &'a self,
        client: &'a WebhookClient,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>>;

    /// Gets what is there.
    ///
    /// # Errors
    /// As a call.
    fn fetch<'a>(
        &'a self,
        client: &'a WebhookClient,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>>;
}

/// Reaches whom a later part of the server reaches: authorizers ask others, and whoever makes connections asks
/// authorizers.
#[derive(Default)]
pub struct LateWebhooks(OnceLock<Arc<dyn CallWebhook>>);

impl LateWebhooks {
    /// Gives the part; only the first counts.
    pub fn set(&self, webhooks: Arc<dyn CallWebhook>) {
        // A second one would be a second server.
        let _ = self.0.set(webhooks);
    }
    fn present(&self) -> &dyn CallWebhook {
        match self.0.get() {
            Some(webhooks) => &**webhooks,
            None => &NoWebhooks,
        }
    }
}

impl CallWebhook for LateWebhooks {
    fn call<'a>(
        &'a self,
        client: &'a WebhookClient,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        self.present().call(client, body, timeout)
    }
    fn fetch<'a>(
        &'a self,
        client: &'a WebhookClient,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        self.present().fetch(client, timeout)
    }
}

/// Reaches nobody: for servers that make no connections.
pub struct NoWebhooks;

impl CallWebhook for NoWebhooks {
    fn call<'a>(
        &'a self,
        _: &'a WebhookClient,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(std::future::ready(Err(CallError("this server makes no connections".to_owned()))))
    }
    fn fetch<'a>(&'a self, _: &'a WebhookClient, _: Duration) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(std::future::ready(Err(CallError("this server makes no connections".to_owned()))))
    }
}
