//! A replica's way to the server: what it writes is noted, it can crash at any write, and what it watches can lag.
//!
//! A crash is either before the server gets the write, or after the server did it and before the replica learns so.
//! From then on nothing of the replica gets through, as when its process was killed; who runs it waits for
//! [`Tap::crashed`], drops it, and starts another. Lag holds back each part of a watch for some time of its own, so that
//! caches are behind the server and behind each other. What happens follows from the seed and the order of requests.

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How bad a replica's way is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// How many of a hundred writes crash it.
    pub crashes: u64,
    /// How long a part of a watch is held back at most.
    pub lag: Duration,
}

/// A write that the server did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Name of the object that was answered, which the server may have made.
    pub name: String,
}

/// One replica's way to the server; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    faults: Faults,
    state: Arc<Mutex<State>>,
    cut: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    chance: u64,
    written: Vec<Written>,
}

/// What comes back.
type Answer = UnsyncBoxBody<Bytes, kube::Error>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    CrashesBefore,
    CrashesAfter,
}

impl Tap {
    /// A way with faults.
    pub fn new(faults: Faults, seed: u64) -> Self {
        let state = State { chance: seed.wrapping_mul(2).wrapping_add(1), written: Vec::new() };
        Self { faults, state: Arc::new(Mutex::new(state)), cut: CancellationToken::new() }
    }
    /// The same way for the next life of the replica: what was written before counts on.
    #[must_use]
    pub fn revived(&self) -> Self {
        Self { cut: CancellationToken::new(), ..self.clone() }
    }
    /// A client whose requests go this way.
    #[must_use]
    pub fn client(&self, client: Client) -> Client {
        let (tap, namespace) = (self.clone(), client.default_namespace().to_owned());
        let service = tower::service_fn(move |request| tap.clone().pass(client.clone(), request));
        Client::new(service, namespace)
    }
    /// Nothing gets through any more.
    pub fn crash(&self) {
        self.cut.cancel();
    }
    /// Waits until nothing gets through any more.
    pub async fn crashed(&self) {
        self.cut.cancelled().await;
    }
    /// What was written so far. Events, leases and reviews do not count.
    pub fn written(&self) -> Vec<Written> {
        self.state().written.clone()
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    async fn pass(self, client: Client, request: Request<Body>) -> kube::Result<Response<Answer>> {
        if self.cut.is_cancelled() {
            return std::future::pending().await;
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if !counts(&method, &path) {
            let response = client.send(request).await?;
            return Ok(response.map(|body| self.lags(body)));
        }
        let fate = self.fate();
        if fate == Fate::CrashesBefore {
            self.cut.cancel();
            return std::future::pending().await;
        }
        let (parts, body) = client.send(request).await?.into_parts();
        let body = body.collect_bytes().await?;
        if parts.status.is_success() {
            let object: Value = serde_json::from_slice(&body).unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.state().written.push(Written { method: method.to_string(), path, name });
        }
        if fate == Fate::CrashesAfter {
            self.cut.cancel();
            return std::future::pending().await;
        }
        Ok(Response::from_parts(parts, Body::from(body).boxed_unsync()))
    }
    fn fate(&self) -> Fate {
        match self.chance(200) {
            chance if chance < self.faults.crashes => Fate::CrashesBefore,
            chance if chance < self.faults.crashes * 2 => Fate::CrashesAfter,
            _ => Fate::Passes,
        }
    }
    /// A number below `limit`: a linear congruential generator's better bits.
    fn chance(&self, limit: u64) -> u64 {
        let mut state = self.state();
        state.chance =
            state.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state.chance >> 33) % limit
    }
    fn lags(&self, body: Body) -> Answer {
        if self.faults.lag.is_zero() {
            return body.boxed_unsync();
        }
        let tap = self.clone();
        let most = u64::try_from(self.faults.lag.as_millis()).unwrap_or(u64::MAX);
        let late = BodyStream::new(body).then(move |part| {
            let late = Duration::from_millis(tap.chance(most.saturating_add(1)));
            async move {
                tokio::time::sleep(late).await;
                part
            }
        });
        StreamBody::new(late).boxed_unsync()
    }
}

/// Whether it is a write that something else depends on.
fn counts(method: &Method, path: &str) -> bool {
    let asides = ["/events", "/leases", "accessreviews"];
    *method != Method::GET && !asides.iter().any(|aside| path.contains(aside))
}
