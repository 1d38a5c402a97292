//! Calls to webhooks: a JSON document is posted, the answer's body comes back.
//!
//! A webhook behind a Service is dialled at one of its endpoints, so it needs no service proxy here. Connections are
//! kept for a while and used again, since every write may ask. Error texts follow Go's, which clients show to people.
//! Upstream: apiserver `pkg/util/webhook/client.go`, `pkg/util/proxy/proxy.go`.

mod answer;
mod idle;

use crate::{
    Relay,
    dial::{DialError, Driver, Sender, Target},
    tls::trusting,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use idle::{Idle, Key};
use parking_lot::Mutex;
use proa_meta::ApiResult;
use proa_registry::webhook::{CallError, CallWebhook, WebhookClient, WebhookPlace};
use rustls::ClientConfig;
use std::{collections::HashMap, sync::Arc, time::Duration};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Trusted bundles that are kept compiled.
const MOST_BUNDLES: usize = 200;
/// Where https is served when nothing else is said.
const HTTPS: u16 = 443;

/// The client of all webhooks.
pub(crate) struct Webhooks {
    relay: Arc<Relay>,
    trusted: Mutex<HashMap<Bytes, Arc<ClientConfig>>>,
    idle: Idle,
}

/// Where a call goes and how its address is shown.
struct Way {
    /// Address and port; why there is none.
    place: ApiResult<(String, u16)>,
    /// Whose certificate is expected; none: the host's.
    name: Option<String>,
    /// `host[:port]` as the configuration has it.
    shown: String,
    path: String,
}

impl Webhooks {
    pub(crate) fn new(relay: Arc<Relay>) -> Self {
        Self { relay, trusted: Mutex::default(), idle: Idle::default() }
    }

    fn trust(&self, bundle: &Bytes) -> Result<Arc<ClientConfig>, String> {
        if let Some(known) = self.trusted.lock().get(bundle) {
            return Ok(known.clone());
        }
        let made = trusting(bundle).map_err(|_| "unable to load root certificates".to_owned())?;
        let made = Arc::new(made);
        let mut trusted = self.trusted.lock();
        if trusted.len() >= MOST_BUNDLES {
            trusted.clear();
        }
        trusted.insert(bundle.clone(), made.clone());
        Ok(made)
    }

    /// Where the webhook is.
    fn way(&self, client: &WebhookClient, timeout: Duration) -> Result<Way, CallError> {
        // The webhook is told how long it has.
        let query = format!("?timeout={}s", timeout.as_secs());
        match &client.place {
            WebhookPlace::Service { namespace, name, path, port } => {
                let server = format!("{name}.{namespace}.svc");
                Ok(Way {
                    place: self.relay.served(namespace, name, *port),
                    shown: format!("{server}:{port}"),
                    name: Some(server),
                    path: format!("{}{query}", if path.is_empty() { "/" } else { path }),
                })
            }
            WebhookPlace::Url(url) => {
                let uri: http::Uri =
                    url.parse().map_err(|why| CallError(format!("Unparsable URL: {why}")))?;
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                Ok(Way {
                    place: Ok((host, uri.port_u16().unwrap_or(HTTPS))),
                    shown: uri.authority().map_or_else(String::new, ToString::to_string),
                    name: None,
                    path: format!("{}{query}", uri.path()),
                })
            }
        }
    }

    async fn ask(&self, client: &WebhookClient, body: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        let way = self.way(client, timeout)?;
        let failed = |why: &str| CallError(format!("Post \"https://{}{}\": {why}", way.shown, way.path));
        match tokio::time::timeout(timeout, self.exchange(&way, client, body)).await {
            Err(_) => Err(failed("context deadline exceeded")),
            Ok(Err(Failed::Way(why))) => Err(failed(&why)),
            Ok(Err(Failed::Answer(why))) => Err(CallError(why)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    async fn exchange(&self, way: &Way, client: &WebhookClient, body: Bytes) -> Result<Bytes, Failed> {
        let (host, port) = way.place.clone().map_err(|error| Failed::Way(error.message().to_owned()))?;
        let tls = Some(self.trust(&client.ca_bundle).map_err(Failed::Way)?);
        let target = Target { tls, host, port, name: way.name.clone() };
        let key = Key { authority: target.authority(), client: client.clone() };
        while let Some((mut sender, driver)) = self.idle.take(&key) {
            let kept = sender.ready().await.is_ok();
            let response = if kept { sender.send_request(request(way, &body)?).await.ok() } else { None };
            // Otherwise the other side has closed it while it was waiting.
            if let Some(response) = response {
                return self.answer(response, key, sender, driver).await;
            }
        }
        let (mut sender, driver) = self.relay.dialer.open(target).await?;
        let response = sender.send_request(request(way, &body)?).await;
        let response = response.map_err(|error| Failed::Way(error.to_string()))?;
        self.answer(response, key, sender, driver).await
    }

    async fn answer(
        &self,
        response: Response<Incoming>,
        key: Key,
        sender: Sender,
        driver: Driver,
    ) -> Result<Bytes, Failed> {
        let bytes = answer::read(response).await.map_err(Failed::Answer)?;
        self.idle.put(key, sender, driver);
        Ok(bytes)
    }
}

/// Why there is no answer.
enum Failed {
    /// The webhook was not reached.
    Way(String),
    /// It answered with an error.
    Answer(String),
}

impl From<DialError> for Failed {
    fn from(error: DialError) -> Self {
        Self::Way(error.to_string())
    }
}

fn request(way: &Way, body: &Bytes) -> Result<Request<Full<Bytes>>, Failed> {
    Request::post(&way.path)
        .header(header::HOST, &way.shown)
        .header(header::CONTENT_TYPE, JSON)
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, "kube-apiserver-admission")
        .body(Full::new(body.clone()))
        .map_err(|error| Failed::Way(error.to_string()))
}

impl CallWebhook for Webhooks {
    fn call<'a>(
        &'a self,
        client: &'a WebhookClient,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(self.ask(client, body, timeout))
    }
}
