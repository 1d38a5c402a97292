//! Follows APIServices and keeps a task for each that names a Service.
//!
//! Everything is woken by changes: of the APIService, of the Service, of its EndpointSlices. Services are only followed
//! while an APIService names one. What no object tells, a server that does not answer any more, is found out by asking
//! it now and then.

use super::{
    API_SERVICES, Aggregator,
    availability::Verdict,
    learn,
    service::{Service, Spec},
    table::Learned,
};
use crate::objects::{SERVICE_NAME, SERVICES, SLICES};
use parking_lot::Mutex;
use proa_meta::{ApiResult, Gvr, Reason};
use proa_registry::{
    Entry, Registry,
    state::{Cursor, Event, FellOut, KindState},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};

/// Events that are read at once.
const BATCH: usize = 256;
/// Pause before a condition that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Changes of one kind.
struct Feed {
    state: Arc<KindState>,
    cursor: Cursor,
}

impl Feed {
    /// From the present on.
    fn open(registry: &Registry, gvr: &Gvr) -> Option<Self> {
        let state = registry.kind(gvr)?.state.clone();
        let (cursor, _) = state.cursor(state.snapshot().revision(), None).ok()?;
        Some(Self { state, cursor })
    }
    /// What has changed; waits for it.
    async fn next(&mut self) -> Result<Vec<Arc<Event>>, FellOut> {
        loop {
            self.cursor.settle();
            let events = self.state.read(&mut self.cursor, BATCH)?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.cursor.wait().await;
        }
    }
}

/// Changes of Services and their EndpointSlices.
struct Places {
    services: Feed,
    slices: Feed,
}

impl Places {
    fn open(registry: &Registry) -> Option<Self> {
        Some(Self { services: Feed::open(registry, &SERVICES)?, slices: Feed::open(registry, &SLICES)? })
    }
    /// Namespaces and names of Services that something has happened to.
    async fn next(&mut self) -> Result<BTreeSet<(String, String)>, FellOut> {
        let named = |entry: &Arc<Entry>, name: &str| (entry.namespace().to_owned(), name.to_owned());
        let sides = |events: Vec<Arc<Event>>| {
            events.into_iter().flat_map(|event| [event.old.clone(), event.new.clone()]).flatten()
        };
        tokio::select! {
            events = self.services.next() => {
                Ok(sides(events?).map(|entry| named(&entry, entry.name())).collect())
            }
            events = self.slices.next() => {
                Ok(sides(events?).filter_map(|entry| Some(named(&entry, entry.label(SERVICE_NAME)?))).collect())
            }
        }
    }
}

/// A task that looks after the server of one APIService; ends when it is dropped.
struct Keeper {
    spec: Spec,
    /// What it has written, or is about to.
    told: Arc<Mutex<Option<Verdict>>>,
    wake: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Aggregator {
    /// Runs until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let registry = self.relay.registry.clone();
        loop {
            let Some(mut services) = Feed::open(&registry, &API_SERVICES) else {
                tracing::error!("APIServices are not served: no other API server is asked");
                return;
            };
            self.load();
            // New ones: what is there is looked at anew.
            let mut keepers = BTreeMap::new();
            let all: Vec<Arc<Entry>> = services.state.snapshot().iter().cloned().collect();
            let mut places = Places::open(&registry);
            for entry in &all {
                self.look_after(&mut keepers, entry.name(), Some(entry)).await;
            }
            // Falling out of the window means to begin again.
            while self.follow(&mut services, &mut places, &mut keepers).await.is_ok() {}
        }
    }

    /// Takes over the next changes.
    async fn follow(
        self: &Arc<Self>,
        services: &mut Feed,
        places: &mut Option<Places>,
        keepers: &mut BTreeMap<String, Keeper>,
    ) -> Result<(), FellOut> {
        if keepers.is_empty() {
            *places = None;
        }
        let place = async {
            match places {
                Some(places) => places.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            events = services.next() => {
                let events = events?;
                self.change(|table| {
                    events.iter().fold(false, |changed, event| {
                        let name = name_of(event);
                        changed | table.set(&self.relay.trust, name, event.new.as_ref())
                    })
                });
                if places.is_none() {
                    // Before the new keepers look for the first time, so that nothing is missed in between.
                    *places = Places::open(&self.relay.registry);
                }
                for event in &events {
                    self.look_after(keepers, name_of(event), event.new.as_ref()).await;
                }
            }
            changed = place => {
                let changed = changed?;
                let concerned = keepers.values().filter(|keeper| {
                    let place = &keeper.spec.place;
                    changed.contains(&(place.namespace.clone(), place.name.clone()))
                });
                concerned.for_each(|keeper| keeper.wake.send_replace(()));
            }
        }
        Ok(())
    }

    /// Starts, wakes or ends the task of an APIService.
    async fn look_after(
        self: &Arc<Self>,
        keepers: &mut BTreeMap<String, Keeper>,
        name: &str,
        entry: Option<&Arc<Entry>>,
    ) {
        let service = entry.and_then(|entry| Service::of(entry));
        let spec = service.as_ref().and_then(|service| service.spec.clone());
        match (spec, keepers.get(name)) {
            (Some(spec), Some(keeper)) if keeper.spec == spec => {
                // Its own condition is no news to it.
                let own = keeper.told.lock().clone();
                let is_own = service.and_then(|service| service.available).zip(own);
                if !is_own.is_some_and(|(now, own)| now.status == own.status && now.reason == own.reason) {
                    keeper.wake.send_replace(());
                }
            }
            (Some(spec), _) => {
                let (wake, woken) = watch::channel(());
                let told = Arc::default();
                let task = self.clone().keep(name.to_owned(), spec.clone(), Arc::clone(&told), woken);
                let task = self.relay.dialer.spawn(task);
                keepers.insert(name.to_owned(), Keeper { spec, told, wake, task });
            }
            (None, _) => {
                keepers.remove(name);
                let is_local = |service: &Service| {
                    service.available.as_ref().is_some_and(|c| c.status == "True" && c.reason == "Local")
                };
                if let (Some(entry), Some(service)) = (entry, service)
                    && !is_local(&service)
                    && let Err(error) = self.record(entry, &Verdict::local()).await
                {
                    tracing::debug!(name, %error, "condition not written");
                }
            }
        }
    }

    /// Looks after one server: whether it can be reached, then what it serves, then the condition, so that whoever sees
    /// it finds the kinds.
    async fn keep(
        self: Arc<Self>,
        name: String,
        spec: Spec,
        told: Arc<Mutex<Option<Verdict>>>,
        mut woken: watch::Receiver<()>,
    ) {
        let mut failures = 0;
        let mut learned = None::<Instant>;
        loop {
            woken.borrow_and_update();
            let Some(backend) = self.backend(&name).filter(|backend| backend.spec == spec) else { return };
            let verdict = self.verdict(&backend).await;
            if !verdict.is_passed() {
                learned = None;
                self.change(|table| table.learn(&name, &spec, Learned::default()));
            } else if learned.is_none_or(|at| at.elapsed() >= learn::AGAIN) {
                let answer = self.learned(&name, &backend).await;
                learned = answer.is_current.then(Instant::now);
                self.change(|table| table.learn(&name, &spec, answer));
            }
            let is_silent = verdict.is_passed() && learned.is_none();
            let mut pause = if is_silent { learn::pause(failures) } else { verdict.pause(failures) };
            failures = if is_silent || verdict.is_failure() { failures + 1 } else { 0 };
            *told.lock() = Some(verdict.clone());
            if let Err(error) = self.tell(&name, &spec, &verdict).await {
                tracing::debug!(name, %error, "condition not written");
                // A conflict means a newer version, which wakes this task.
                if error.reason() != Reason::Conflict {
                    pause = pause.min(RETRY);
                }
            }
            match tokio::time::timeout(pause, woken.changed()).await {
                Ok(Ok(())) => learned = None,
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        }
    }

    /// Writes the condition, unless the APIService has come to mean another server.
    async fn tell(&self, name: &str, spec: &Spec, verdict: &Verdict) -> ApiResult<()> {
        let Some(entry) = self.kind().and_then(|kind| kind.get("", name)) else { return Ok(()) };
        match Service::of(&entry).and_then(|service| service.spec) {
            Some(own) if own == *spec => self.record(&entry, verdict).await,
            _ => Ok(()),
        }
    }
}

fn name_of(event: &Event) -> &str {
    // An event always has one side at least.
    event.new.as_ref().or(event.old.as_ref()).map_or("", |entry| entry.name())
}
