//! Leader election by a Lease, compatible with client-go: of several replicas one acts.
//!
//! Invariants: a replica acts only while its lease was renewed within `renew_deadline`; another takes over only after it
//! has seen the lease unchanged for its whole duration by its own clock, so clocks need not agree. Every write carries the
//! lease's resourceVersion. A replica that stops in order releases the lease, and the next one takes over at once.
//! Upstream: client-go `tools/leaderelection/leaderelection.go` (15 s, 10 s, 2 s; here 4 s, 3 s, 1 s).

use crate::{
    clock::Clock,
    error::{Error, Result},
    kind::{Kind, ObjectRef},
    views::{LeaseView, Typed, lease::LeaseSpec},
};
use kube::Client;
use serde_json::json;
use std::{future::Future, sync::Arc, time::Duration};
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
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<bool>);

impl Leadership {
    /// Whether this replica leads now.
    pub fn is_leader(&self) -> bool {
        *self.0.borrow()
    }
    /// Waits until this replica leads.
    pub async fn gained(&mut self) {
        self.becomes(true).await;
    }
    /// Waits until this replica no longer leads.
    pub async fn lost(&mut self) {
        self.becomes(false).await;
    }
    async fn becomes(&mut self, leads: bool) {
        if self.0.wait_for(|now| *now == leads).await.is_err() && leads {
            // The election ended: this replica never leads again.
            std::future::pending::<()>().await;
        }
    }
}

/// Starts an election: the future takes part until `shutdown`, the other value tells who leads.
pub fn elect(
    client: Client,
    config: ElectionConfig,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> (impl Future<Output = ()> + Send, Leadership) {
    let (sender, receiver) = watch::channel(false);
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

async fn take_part(mut candidate: Candidate, leads: watch::Sender<bool>, shutdown: CancellationToken) {
    let mut renewed = None;
    loop {
        let tried = Instant::now();
        match candidate.acquire_or_renew().await {
            Ok(true) => renewed = Some(tried),
            Ok(false) => renewed = None,
            Err(error) => tracing::debug!(%error, lease = %candidate.config.name, "lease was not renewed"),
        }
        let fresh = renewed.is_some_and(|at| at.elapsed() < candidate.config.renew_deadline);
        publish(&leads, fresh, &candidate.config);
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep_until(tried + candidate.config.retry_period) => {}
        }
    }
    publish(&leads, false, &candidate.config);
    if renewed.is_some()
        && let Err(error) = candidate.release().await
    {
        tracing::debug!(%error, "lease was not released");
    }
}

fn publish(leads: &watch::Sender<bool>, now: bool, config: &ElectionConfig) {
    leads.send_if_modified(|before| {
        let changed = *before != now;
        if changed {
            tracing::info!(lease = %config.name, identity = %config.identity, leads = now, "leadership changed");
        }
        *before = now;
        changed
    });
}

/// What to do about a lease.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Another holds it and may be alive.
    Wait,
    /// Write this.
    Take(LeaseSpec),
}

fn decide(lease: &LeaseSpec, config: &ElectionConfig, now: jiff::Timestamp, silent: Duration) -> Decision {
    let holder = lease.holder_identity.as_deref().unwrap_or("");
    let own = holder == &*config.identity;
    let duration = u64::try_from(lease.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    if !own && !holder.is_empty() && silent < Duration::from_secs(duration) {
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
