//! Leader election by a Lease, compatible with client-go: of several replicas one acts.
//!
//! Invariants: a replica leads until `renew_deadline` after it last *began* a renewal that succeeded, whatever hangs
//! meanwhile; another takes over only after it has seen the lease unchanged for its whole duration by its own clock, so
//! clocks need not agree, and only by the lease's resourceVersion, so what it missed cannot harm. A client behind
//! [`Leadership::fence`] writes nothing outside that time. A replica that stops in order releases the lease; waiting
//! replicas watch it, so the next one takes over at once, and none asks while the holder is well.
//! Upstream: client-go `tools/leaderelection/leaderelection.go` (15 s, 10 s, 2 s; here 4 s, 3 s, 1 s).

use crate::{
    clock::Clock,
    error::{Error, Result},
    kind::{Kind, ObjectRef},
    views::{LeaseView, Typed, lease::LeaseSpec},
};
use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    client::Body,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use serde_json::json;
use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Which lease, and how fast it changes hands.
#[derive(Clone, Debug)]
pub struct ElectionConfig {
    /// Namespace of the lease.
    pub namespace: Box<str>,
    /// Name of the lease.
    pub name: Box<str>,
    /// Who this replica is.
    pub identity: Box<str>,
    /// How long others wait for a holder that is silent.
    pub lease_duration: Duration,
    /// How long the holder tries to renew before it stops acting.
    pub renew_deadline: Duration,
    /// Time between two tries.
    pub retry_period: Duration,
}

impl ElectionConfig {
    /// Takes over within five seconds.
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(4),
            renew_deadline: Duration::from_secs(3),
            retry_period: Duration::from_secs(1),
        }
    }
}

/// Whether this replica leads; clones share it. Many operators of a process share one.
///
/// Inside is the time until which it leads, so that it ends by itself when the election hangs.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// Whether this replica leads now.
    pub fn is_leader(&self) -> bool {
        self.until().is_some()
    }
    fn until(&self) -> Option<Instant> {
        self.0.borrow().filter(|until| Instant::now() < *until)
    }
    /// Waits until this replica leads.
    pub async fn gained(&mut self) {
        while !self.is_leader() {
            if self.0.changed().await.is_err() {
                // The election ended: this replica never leads again.
                std::future::pending::<()>().await;
            }
        }
    }
    /// Waits until this replica no longer leads.
    pub async fn lost(&mut self) {
        while let Some(until) = self.until() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                Ok(()) = self.0.changed() => {}
            }
        }
    }
    /// A client that refuses to write while this replica does not lead, and gives up writes that last longer. Whatever
    /// an operator still does after it lost the lead, such as after the process was stopped for a while, ends here.
    #[must_use]
    pub fn fence(&self, client: Client) -> Client {
        let (leadership, namespace) = (self.clone(), client.default_namespace().to_owned());
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (client, mut leadership) = (client.clone(), leadership.clone());
            async move {
                if request.method() == http::Method::GET {
                    return client.send(request).await;
                }
                tokio::select! {
                    biased;
                    () = leadership.lost() => Err(kube::Error::Service("this replica does not lead".into())),
                    response = client.send(request) => response,
                }
            }
        });
        Client::new(service, namespace)
    }
}

/// Starts an election: the future takes part until `shutdown`, the other value tells who leads.
pub fn elect(
    client: Client,
    config: ElectionConfig,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> (impl Future<Output = ()> + Send, Leadership) {
    let (sender, receiver) = watch::channel(None);
    let candidate = Candidate { client, config, clock, seen: None };
    (take_part(candidate, sender, shutdown), Leadership(receiver))
}

struct Candidate {
    client: Client,
    config: ElectionConfig,
    clock: Arc<dyn Clock>,
    /// The lease as last seen, and when by the local clock it was first seen so.
    seen: Option<(LeaseSpec, Instant)>,
}

async fn take_part(
    mut candidate: Candidate,
    leads: watch::Sender<Option<Instant>>,
    shutdown: CancellationToken,
) {
    let mut changes = pin!(candidate.changes());
    while !shutdown.is_cancelled() {
        let (tried, deadline) = (Instant::now(), candidate.config.renew_deadline);
        let outcome = tokio::select! {
            outcome = candidate.acquire_or_renew() => outcome,
            () = tokio::time::sleep(deadline) => Err(Error::Invalid("no answer".into())),
            () = shutdown.cancelled() => break,
        };
        let waits = matches!(outcome, Ok(false));
        let again = match outcome {
            Ok(true) => {
                publish(&leads, Some(tried + deadline), &candidate.config);
                tried + candidate.config.retry_period
            }
            Ok(false) => {
                publish(&leads, None, &candidate.config);
                candidate.silence_ends().unwrap_or(tried + candidate.config.retry_period)
            }
            Err(error) => {
                tracing::debug!(%error, lease = %candidate.config.name, "lease was not renewed");
                tried + candidate.config.retry_period
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep_until(again) => {}
            () = next(&mut changes), if waits => {}
        }
    }
    let led = leads.borrow().is_some();
    publish(&leads, None, &candidate.config);
    if led && let Err(error) = candidate.release().await {
        tracing::debug!(%error, "lease was not released");
    }
}

async fn next(changes: &mut (impl Stream<Item = ()> + Unpin)) {
    if changes.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn publish(leads: &watch::Sender<Option<Instant>>, until: Option<Instant>, config: &ElectionConfig) {
    let before = leads.send_replace(until);
    if before.is_some() != until.is_some() {
        tracing::info!(lease = %config.name, identity = %config.identity, leads = until.is_some(), "leadership changed");
    }
}

/// What to do about a lease.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Another holds it and may be alive.
    Wait,
    /// Write this.
    Take(LeaseSpec),
}

fn duration(lease: &LeaseSpec) -> Duration {
    Duration::from_secs(u64::try_from(lease.lease_duration_seconds.unwrap_or(0)).unwrap_or(0))
}

fn decide(lease: &LeaseSpec, config: &ElectionConfig, now: jiff::Timestamp, silent: Duration) -> Decision {
    let holder = lease.holder_identity.as_deref().unwrap_or("");
    let own = holder == &*config.identity;
    if !own && !holder.is_empty() && silent < duration(lease) {
        return Decision::Wait;
    }
    let seconds = i32::try_from(config.lease_duration.as_secs().max(1)).unwrap_or(i32::MAX);
    Decision::Take(LeaseSpec {
        holder_identity: Some(config.identity.clone()),
        lease_duration_seconds: Some(seconds),
        acquire_time: if own { lease.acquire_time } else { Some(now) },
        renew_time: Some(now),
        lease_transitions: Some(lease.lease_transitions.unwrap_or(0) + i32::from(!own)),
    })
}

impl Candidate {
    fn target(&self) -> ObjectRef {
        ObjectRef::new(LeaseView::KIND, &self.config.namespace, &self.config.name)
    }
    /// One try; whether this replica holds the lease afterwards.
    async fn acquire_or_renew(&mut self) -> Result<bool> {
        let now = self.clock.now();
        let Some(lease) = self.get().await? else {
            let spec = match decide(&LeaseSpec::default(), &self.config, now, Duration::ZERO) {
                Decision::Take(spec) => LeaseSpec { lease_transitions: Some(0), ..spec },
                Decision::Wait => return Ok(false),
            };
            return self.write(http::Method::POST, &spec, 0).await.map(|()| true);
        };
        let silent = self.silent_for(&lease.spec);
        match decide(&lease.spec, &self.config, now, silent) {
            Decision::Wait => Ok(false),
            Decision::Take(spec) => {
                self.write(http::Method::PUT, &spec, lease.metadata.resource_version).await.map(|()| true)
            }
        }
    }
    /// How long the lease has not changed, as far as this replica saw.
    fn silent_for(&mut self, spec: &LeaseSpec) -> Duration {
        match &self.seen {
            Some((seen, since)) if seen == spec => since.elapsed(),
            _ => {
                self.seen = Some((spec.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }
    /// When the holder will have been silent for as long as it said; as far as this replica saw.
    fn silence_ends(&self) -> Option<Instant> {
        let (spec, since) = self.seen.as_ref()?;
        Some(*since + duration(spec))
    }
    /// Tells when the lease changed. A hint: what counts is what the server says when it is asked.
    fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.config.namespace);
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.config.name));
        let events = watcher(leases, only).default_backoff().touched_objects();
        events.filter_map(|change| std::future::ready(change.ok().map(drop)))
    }
    async fn release(&mut self) -> Result<()> {
        let Some(lease) = self.get().await? else { return Ok(()) };
        if lease.spec.holder_identity.as_deref() != Some(&self.config.identity) {
            return Ok(());
        }
        let now = self.clock.now();
        let spec = LeaseSpec {
            holder_identity: Some("".into()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now),
            renew_time: Some(now),
            lease_transitions: lease.spec.lease_transitions,
        };
        self.write(http::Method::PUT, &spec, lease.metadata.resource_version).await
    }
    async fn get(&self) -> Result<Option<LeaseView>> {
        let request = http::Request::get(self.target().path("")).body(Vec::new());
        match self.send(request).await {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|source| Error::Decode { what: "lease".to_owned(), source }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
    async fn write(&self, method: http::Method, spec: &LeaseSpec, resource_version: u64) -> Result<()> {
        let target = self.target();
        let mut metadata = json!({"name": target.name, "namespace": target.namespace});
        let path = if method == http::Method::POST {
            LeaseView::KIND.path(&target.namespace, "", "")
        } else {
            metadata["resourceVersion"] = json!(resource_version.to_string());
            target.path("")
        };
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes());
        self.send(request).await.map(drop)
    }
    async fn send(&self, request: http::Result<http::Request<Vec<u8>>>) -> Result<String> {
        let operation = format!("lease {}", self.config.name);
        let request = request.map_err(|error| Error::api(&operation, kube::Error::HttpError(error)))?;
        self.client.request_text(request).await.map_err(|error| Error::api(operation, error))
    }
}

/// Kind of the leases, for permissions.
pub const KIND: Kind = LeaseView::KIND;

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn lease(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(4),
            acquire_time: Some(Timestamp::UNIX_EPOCH),
            renew_time: Some(Timestamp::UNIX_EPOCH),
            lease_transitions: Some(2),
        }
    }

    #[test]
    fn a_silent_holder_is_replaced_only_after_the_whole_duration() {
        let config = ElectionConfig::new("ns", "l", "me");
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(decide(&lease("other"), &config, now, Duration::from_millis(3999)), Decision::Wait);
        let Decision::Take(taken) = decide(&lease("other"), &config, now, Duration::from_secs(4)) else {
            panic!("waits")
        };
        assert_eq!((taken.lease_transitions, taken.acquire_time), (Some(3), Some(now)));
        let Decision::Take(taken) = decide(&lease(""), &config, now, Duration::ZERO) else { panic!("waits") };
        assert_eq!(taken.holder_identity.as_deref(), Some("me"));
    }

    /// A server with one lease, whose answers may hang.
    #[derive(Clone, Default)]
    struct Server(Arc<parking_lot::Mutex<State>>);

    #[derive(Default)]
    struct State {
        lease: Option<serde_json::Value>,
        writes: u64,
        hangs: bool,
    }

    impl Server {
        fn client(&self) -> Client {
            let server = self.clone();
            let service = tower::service_fn(move |request: http::Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect_bytes().await.unwrap();
                    let is_one = parts.uri.path().ends_with("/leases/l");
                    let is_write = parts.method != http::Method::GET;
                    if server.0.lock().hangs || !(is_one || is_write) {
                        std::future::pending::<()>().await;
                    }
                    let (code, text) = server.answer(is_write, &body);
                    let response = http::Response::builder().status(code).body(Body::from(text.into_bytes()));
                    Ok::<_, kube::Error>(response.unwrap())
                }
            });
            Client::new(service, "ns")
        }
        fn answer(&self, is_write: bool, body: &[u8]) -> (u16, String) {
            let mut state = self.0.lock();
            if is_write {
                state.writes += 1;
                let mut lease: serde_json::Value = serde_json::from_slice(body).unwrap();
                lease["metadata"]["resourceVersion"] = json!(state.writes.to_string());
                state.lease = Some(lease);
            }
            match &state.lease {
                Some(lease) => (200, lease.to_string()),
                None => (
                    404,
                    json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
                        .to_string(),
                ),
            }
        }
        fn elect(&self, identity: &str) -> (tokio::task::JoinHandle<()>, Leadership, CancellationToken) {
            let config = ElectionConfig::new("ns", "l", identity);
            let shutdown = CancellationToken::new();
            let clock = Arc::new(crate::clock::SystemClock);
            let (election, leadership) = elect(self.client(), config, clock, shutdown.clone());
            (tokio::spawn(election), leadership, shutdown)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_whose_server_hangs_writes_no_more_before_another_may() {
        let server = Server::default();
        let clock = Arc::new(crate::clock::SystemClock);
        let config = ElectionConfig::new("ns", "l", "me");
        let (election, mut leadership) = elect(server.client(), config, clock, CancellationToken::new());
        let fenced = leadership.fence(server.client());
        let write = || http::Request::post("/apis/x/v1/y").body(b"{}".to_vec()).unwrap();
        assert!(fenced.request_text(write()).await.is_err(), "it does not lead yet");
        tokio::spawn(election);
        leadership.gained().await;
        assert!(fenced.request_text(write()).await.is_ok());
        let gained = Instant::now();
        server.0.lock().hangs = true;
        // A write that was sent already is given up as well.
        assert!(fenced.request_text(write()).await.is_err());
        leadership.lost().await;
        let led = gained.elapsed();
        let config = ElectionConfig::new("ns", "l", "me");
        assert!(led <= config.renew_deadline && config.renew_deadline < config.lease_duration, "{led:?}");
        // It leads again once the server answers.
        server.0.lock().hangs = false;
        leadership.gained().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_holder_is_replaced_within_five_seconds_and_one_that_leaves_releases() {
        let server = Server::default();
        let (first, mut leads, _shutdown) = server.elect("first");
        leads.gained().await;
        let killed = Instant::now();
        first.abort();
        let (second, mut leads, shutdown) = server.elect("second");
        leads.gained().await;
        let took = killed.elapsed();
        assert!(Duration::from_secs(4) <= took && took <= Duration::from_secs(5), "{took:?}");
        shutdown.cancel();
        second.await.unwrap();
        assert!(!leads.is_leader());
        let (_third, mut leads, _shutdown) = server.elect("third");
        let left = Instant::now();
        leads.gained().await;
        assert_eq!(left.elapsed(), Duration::ZERO);
    }

    #[test]
    fn renewing_keeps_the_time_of_acquisition() {
        let config = ElectionConfig::new("ns", "l", "me");
        let now = Timestamp::from_second(100).unwrap();
        let Decision::Take(taken) = decide(&lease("me"), &config, now, Duration::ZERO) else {
            panic!("waits")
        };
        assert_eq!(
            (taken.lease_transitions, taken.acquire_time, taken.renew_time),
            (Some(2), Some(Timestamp::UNIX_EPOCH), Some(now))
        );
    }
}
