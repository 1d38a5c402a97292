//! Calls to webhooks: a JSON document is posted, or one is fetched; the answer's body comes back.
//!
//! A webhook behind a Service is dialled at one of its endpoints, so it needs no service proxy here. Connections are
//! kept for a while and used again, since every write may ask. Error texts follow Go's, which clients show to people.
//! Upstream: apiserver `pkg/util/webhook/client.go`, `pkg/util/proxy/proxy.go`.

mod answer;
mod idle;

use crate::{
    Relay,
    dial::{DialError, Driver, Sender, Target},
    tls::towards_webhook,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use idle::{Idle, Key};
use parking_lot::Mutex;
use proa_meta::ApiResult;
use proa_registry::webhook::{Access, CallError, CallWebhook, WebhookClient, WebhookPlace};
use rustls::ClientConfig;
use std::{collections::HashMap, sync::Arc, time::Duration};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Trusted bundles that are kept compiled.
const MOST_BUNDLES: usize = 200;
/// Where https is served when nothing else is said.
const HTTPS: u16 = 443;

/// Who vouches for the other side, and what is shown to it.
type Credentials = (Bytes, Option<Arc<Access>>);

/// The client of all webhooks.
pub(crate) struct Webhooks {
    relay: Arc<Relay>,
    trusted: Mutex<HashMap<Credentials, Arc<ClientConfig>>>,
    idle: Idle,
}

/// What is posted; none: something is fetched.
struct What {
    body: Option<Bytes>,
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

    fn trust(&self, client: &WebhookClient) -> Result<Arc<ClientConfig>, String> {
        let key = (client.ca_bundle.clone(), client.access.clone());
        if let Some(known) = self.trusted.lock().get(&key) {
            return Ok(known.clone());
        }
        let made = towards_webhook(&key.0, key.1.as_deref());
        let made = made.map_err(|_| "unable to load root certificates".to_owned())?;
        let made = Arc::new(made);
        let mut trusted = self.trusted.lock();
        if trusted.len() >= MOST_BUNDLES {
            trusted.clear();
        }
        trusted.insert(key, made.clone());
        Ok(made)
    }

    /// Where the webhook is. Those that objects configure are told how long they have.
    fn way(&self, client: &WebhookClient, what: &What, timeout: Duration) -> Result<Way, CallError> {
        let is_plain = client.access.is_some() || what.body.is_none();
        let query = if is_plain { String::new() } else { format!("?timeout={}s", timeout.as_secs()) };
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
                let own = uri.path_and_query().filter(|_| is_plain);
                let name = client.access.as_ref().map(|access| access.server_name.clone());
                Ok(Way {
                    place: Ok((host, uri.port_u16().unwrap_or(HTTPS))),
                    shown: uri.authority().map_or_else(String::new, ToString::to_string),
                    name: name.filter(|name| !name.is_empty()),
                    path: own.map_or_else(|| format!("{}{query}", uri.path()), ToString::to_string),
                })
            }
        }
    }

    async fn ask(&self, client: &WebhookClient, what: What, timeout: Duration) -> Result<Bytes, CallError> {
        let way = self.way(client, &what, timeout)?;
        let verb = if what.body.is_some() { "Post" } else { "Get" };
        let failed = |why: &str| CallError(format!("{verb} \"https://{}{}\": {why}", way.shown, way.path));
        match tokio::time::timeout(timeout, self.exchange(&way, client, &what)).await {
            Err(_) => Err(failed("context deadline exceeded")),
            Ok(Err(Failed::Way(why))) => Err(failed(&why)),
            Ok(Err(Failed::Answer(why))) => Err(CallError(why)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    async fn exchange(&self, way: &Way, client: &WebhookClient, what: &What) -> Result<Bytes, Failed> {
        let (host, port) = way.place.clone().map_err(|error| Failed::Way(error.message().to_owned()))?;
        let tls = Some(self.trust(client).map_err(Failed::Way)?);
        let target = Target { tls, host, port, name: way.name.clone() };
        let key = Key { authority: target.authority(), client: client.clone() };
        while let Some((mut sender, driver)) = self.idle.take(&key) {
            let kept = sender.ready().await.is_ok();
            let response =
                if kept { sender.send_request(request(way, client, what)?).await.ok() } else { None };
            // Otherwise the other side has closed it while it was waiting.
            if let Some(response) = response {
                return self.answer(response, key, sender, driver).await;
            }
        }
        let (mut sender, driver) = self.relay.dialer.open(target).await?;
        let response = sender.send_request(request(way, client, what)?).await;
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

fn request(way: &Way, client: &WebhookClient, what: &What) -> Result<Request<Full<Bytes>>, Failed> {
    let method = if what.body.is_some() { Method::POST } else { Method::GET };
    let agent = if client.access.is_some() || what.body.is_none() {
        "kube-apiserver"
    } else {
        "kube-apiserver-admission"
    };
    let mut request = Request::builder()
        .method(method)
        .uri(&way.path)
        .header(header::HOST, &way.shown)
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, agent);
    if what.body.is_some() {
        request = request.header(header::CONTENT_TYPE, JSON);
    }
    let authorization = client.access.as_ref().map(|access| access.authorization.as_str());
    if let Some(authorization) = authorization.filter(|text| !text.is_empty()) {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let body = Full::new(what.body.clone().unwrap_or_default());
    request.body(body).map_err(|error| Failed::Way(error.to_string()))
}

impl CallWebhook for Webhooks {
    fn call<'a>(
        &'a self,
        client: &'a WebhookClient,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(self.ask(client, What { body: Some(body) }, timeout))
    }
    fn fetch<'a>(
        &'a self,
        client: &'a WebhookClient,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(self.ask(client, What { body: None }, timeout))
    }
}
