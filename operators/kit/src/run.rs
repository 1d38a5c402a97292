//! The loop of a reconciler, and the configuration that all loops share.
//!
//! Invariants: one object is never reconciled twice at once; after a reconcile that wrote, the object waits until the
//! caches have seen the writes (K3); a failed key backs off alone. An idle operator has no timer.
//! Own loop instead of kube-runtime's `applier`: that looks objects up in kube's reflector store, which would be a second
//! copy of every object, without indexes and without `wait`.

use crate::{
    act::{Results, Writer},
    action::{Action, Status},
    backoff::Backoff,
    cache::CachePool,
    clock::{Clock, SystemClock},
    error::{Error, Result},
    kind::Key,
    leader::Leadership,
    metrics::{Counters, Metrics, Outcome},
    operator::{Operator, Plan},
    queue::Queue,
    reader::Reader,
    views::{Typed, View},
    watch::{Trigger, Watch, Watched, Wiring},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::Client;
use serde_json::{Value, json};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How an operator runs. The default runs alone, with its own caches, until its future is dropped.
#[derive(Clone)]
pub struct RunConfig {
    /// This process: reporting instance of events.
    pub identity: Box<str>,
    /// Objects reconciled at once.
    pub workers: usize,
    /// Act only while leading.
    pub leadership: Option<Leadership>,
    /// Caches to share; own ones when absent.
    pub caches: Option<CachePool>,
    /// Ends the operator.
    pub shutdown: CancellationToken,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where reconciles are counted.
    pub metrics: Metrics,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            identity: "proa".into(),
            workers: 16,
            leadership: None,
            caches: None,
            shutdown: CancellationToken::new(),
            clock: Arc::new(SystemClock),
            metrics: Metrics::default(),
        }
    }
}

impl std::fmt::Debug for RunConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunConfig").field("identity", &self.identity).field("workers", &self.workers).finish()
    }
}

/// Runs a reconciler until shutdown. Must be awaited inside a tokio runtime.
pub async fn run<O: Operator>(operator: O, client: Client, config: RunConfig) {
    let operator = Arc::new(operator);
    let (leadership, shutdown) = (config.leadership.clone(), config.shutdown.clone());
    let once = move || reconcile_loop(operator.clone(), client.clone(), config.clone()).boxed();
    supervise(once, leadership, shutdown).instrument(tracing::info_span!("operator", name = O::NAME)).await;
}

/// Runs what `start` gives while this replica leads, anew each time it gains the lead, until shutdown.
pub(crate) async fn supervise<F: Future<Output = ()>>(
    start: impl Fn() -> F,
    leadership: Option<Leadership>,
    shutdown: CancellationToken,
) {
    let led = async {
        let Some(mut leadership) = leadership else { return start().await };
        loop {
            leadership.gained().await;
            tokio::select! {
                () = start() => {}
                () = leadership.lost() => {}
            }
        }
    };
    tokio::select! {
        () = led => {}
        () = shutdown.cancelled() => {}
    }
}

async fn reconcile_loop<O: Operator>(operator: Arc<O>, client: Client, config: RunConfig) {
    let caches = config.caches.clone().unwrap_or_else(|| CachePool::own(client.clone()));
    let watches = operator.watches();
    await_access(client.clone(), caches.clone(), watches.iter().map(Watch::watched).cloned().collect()).await;
    let trigger = Trigger { reader: Reader::new(client.clone(), caches.clone()), queue: Queue::default() };
    let wiring = Wiring::connect(&caches, &watches, &trigger);
    wiring.ready().await;
    let writer = Writer::start(client, O::NAME, operator.writes(), &config.identity, config.clock.clone());
    let reconciler =
        Reconciler { operator, reader: trigger.reader.clone(), writer, wiring, clock: config.clock.clone() };
    let counters = config.metrics.of(O::NAME);
    let reconciler = Arc::new(reconciler);
    work(&trigger.queue, config.workers, &counters, move |key| {
        let reconciler = reconciler.clone();
        async move { reconciler.reconcile(key).await }.boxed()
    })
    .await;
}

/// Hands keys of the queue to `handle`, at most `workers` at once, backing off the keys that fail. Never ends.
pub(crate) async fn work<K, F>(queue: &Queue<K>, workers: usize, counters: &Counters, handle: impl Fn(K) -> F)
where
    K: Clone + Eq + std::hash::Hash + std::fmt::Debug,
    F: Future<Output = Result<Option<Duration>>>,
{
    let mut backoff = Backoff::default();
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            key = queue.next(), if running.len() < workers.max(1) => {
                let (started, done) = (Instant::now(), handle(key.clone()));
                running.push(async move { (key, started, done.await) });
            }
            Some((key, started, result)) = running.next() => {
                counters.count(outcome(&result), started.elapsed());
                queue.done(&key);
                match result {
                    Ok(again) => {
                        backoff.succeeded(&key);
                        if let Some(delay) = again {
                            queue.mark_after(key, delay);
                        }
                    }
                    Err(error) => {
                        let delay = backoff.failed(key.clone());
                        report(&key, &error, delay);
                        queue.mark_after(key, delay);
                    }
                }
            }
        }
    }
}

fn outcome(result: &Result<Option<Duration>>) -> Outcome {
    match result {
        Ok(None) => Outcome::Success,
        Ok(Some(_)) => Outcome::Requeue,
        Err(_) => Outcome::Error,
    }
}

fn report(key: &impl std::fmt::Debug, error: &Error, delay: Duration) {
    // Conflicts, and objects that went meanwhile, are everyday life: observe again.
    if error.is_conflict() || error.is_not_found() || error.is_namespace_terminating() {
        tracing::debug!(?key, %error, ?delay, "will observe again");
    } else {
        tracing::warn!(?key, %error, category = error.category(), ?delay, "reconcile failed; will try again");
    }
}

struct Reconciler<O> {
    operator: Arc<O>,
    reader: Reader,
    writer: Writer,
    wiring: Wiring,
    clock: Arc<dyn Clock>,
}

impl<O: Operator> Reconciler<O> {
    async fn clear(&self, plan: Plan) -> Result<Option<Duration>> {
        let results = self.writer.act(&plan.actions).await;
        self.wiring.caught_up(&results.written()).await;
        first_error(results).map_or(Ok(plan.requeue_after), Err)
    }
    async fn reconcile(&self, key: Key) -> Result<Option<Duration>> {
        let Some(object) = self.reader.cache::<O::Object>().get(&key) else {
            return self.clear(self.operator.gone(&self.reader, &key)).await;
        };
        let observed = self.operator.observe(&self.reader, &object).await?;
        let plan = self.operator.plan(&object, &observed, self.clock.now());
        let mut results = self.writer.act(&plan.actions).await;
        let status = self.operator.settle(&object, &observed, &plan, &results, self.clock.now());
        if let Some(status) = status {
            let target = object.reference().at(object.meta().resource_version);
            let status = Status { target, status, annotations: plan.annotations.clone() };
            let written = self.writer.act(&[Action::Status(status)]).await;
            results.0.extend(written.0);
        }
        self.wiring.caught_up(&results.written()).await;
        match first_error(results) {
            Some(error) => Err(error),
            None => Ok(plan.requeue_after),
        }
    }
}

pub(crate) fn first_error(results: Results) -> Option<Error> {
    results.0.into_iter().filter_map(Result::err).find(|error| !matches!(error, Error::Skipped))
}

/// With shared caches: waits until the server says that this operator itself may list and watch. A refusal is said once.
///
/// Boxed, as everything that is the same for all operators and large: so it is made here once, not again in each of them.
pub(crate) fn await_access(
    client: Client,
    caches: CachePool,
    watches: Vec<Watched>,
) -> BoxFuture<'static, ()> {
    let all_allowed = async move {
        if !caches.is_shared() {
            return;
        }
        for watched in &watches {
            let mut refusals = 0;
            while let Err(why) = may_watch(&client, watched).await {
                refusals += 1;
                if refusals == 1 {
                    tracing::warn!(kind = %watched.kind, %why, "operator may not watch; waiting for permission");
                }
                tokio::time::sleep(crate::backoff::delay(refusals + 6).min(Duration::from_secs(30))).await;
            }
        }
    };
    all_allowed.boxed()
}

async fn may_watch(client: &Client, watched: &Watched) -> Result<()> {
    for verb in ["list", "watch"] {
        let Value::Object(review) = review(client, watched, verb).await? else { continue };
        if review.get("allowed") != Some(&Value::Bool(true)) {
            return Err(Error::Invalid(format!("{verb} {} is not allowed", watched.kind)));
        }
    }
    Ok(())
}

async fn review(client: &Client, watched: &Watched, verb: &str) -> Result<Value> {
    let filter = &watched.filter;
    let mut asked = json!({"verb": verb, "group": watched.kind.group, "resource": watched.kind.plural,
        "namespace": filter.namespace});
    // A node may list the pods that are bound to it, and no others.
    for (selector, text) in [("fieldSelector", &filter.fields), ("labelSelector", &filter.labels)] {
        if !text.is_empty() {
            asked[selector] = json!({"rawSelector": text});
        }
    }
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked}});
    let operation = "review own access";
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|error| Error::api(operation, kube::Error::HttpError(error)))?;
    let mut answer: Value = client.request(request).await.map_err(|error| Error::api(operation, error))?;
    Ok(answer["status"].take())
}
