//! Priority and fairness: who is answered now, who waits, who is told to come back later.
//!
//! Owns: the FlowSchemas and PriorityLevelConfigurations as they are at present, the seats of each level. [`schema`] says
//! what a request falls under, [`seats`] how many seats each level has, [`queues`] who is next. A request reads one
//! snapshot of the schemas, which is swapped when an object changes; a level's queues are behind a lock that is held for
//! some hundred nanoseconds and never while anything is waited for. While there are no such objects (a registry without
//! the kinds), one level has all seats. Upstream: apiserver `pkg/util/flowcontrol`.

mod queues;
mod schema;
mod seats;

use crate::{
    api::{Limits, Response},
    request_info::RequestInfo,
    respond,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use proa_meta::{Gvr, User, identity};
use proa_registry::Registry;
use queues::{Entered, Place, Queues, Queuing};
use seats::Bounds;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, hash_map::RandomState},
    fmt::Write as _,
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMAS: Gvr = Gvr::new(GROUP, "v1", "flowschemas");
const LEVELS: Gvr = Gvr::new(GROUP, "v1", "prioritylevelconfigurations");
/// How often levels lend and give back seats. Upstream: `borrowingAdjustmentPeriod`.
const PERIOD: Duration = Duration::from_secs(10);
/// What of an earlier need counts after a period. Upstream: `seatDemandSmoothingCoefficient`.
const MEMORY: f64 = 0.977;
/// The queues of a server without objects.
const PLAIN: Queuing = Queuing::new(128, 6, 75);

/// All levels of a server.
pub(crate) struct Flows {
    total: usize,
    hasher: RandomState,
    present: ArcSwap<Present>,
}

/// The objects as they are.
struct Present {
    /// In the order in which they are tried.
    schemas: Vec<Schema>,
    levels: BTreeMap<String, (Arc<Level>, Bounds)>,
    /// What falls under no schema.
    rest: Arc<Level>,
}

/// What is read of a FlowSchema or PriorityLevelConfiguration.
#[derive(Debug, Deserialize)]
struct Object<S> {
    metadata: Metadata,
    #[serde(default)]
    spec: S,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    uid: String,
}

struct Schema {
    name: String,
    spec: schema::Spec,
    level: Arc<Level>,
    uids: Uids,
}

/// What an answer says of how it was classified.
#[derive(Clone, Debug)]
pub(crate) struct Uids {
    pub(crate) schema: HeaderValue,
    pub(crate) level: HeaderValue,
}

/// One level.
pub(crate) struct Level {
    exempt: bool,
    queues: Mutex<Queues<oneshot::Sender<()>>>,
    /// What it needs, smoothed over time.
    need: Mutex<f64>,
}

/// A request's place; dropping it gives it to the next.
pub(crate) struct Ticket {
    level: Arc<Level>,
    place: Place,
    seated: Instant,
}

/// What becomes of a request.
pub(crate) enum Turn {
    /// It is answered at once.
    Now(Option<Ticket>),
    /// It is answered when the receiver says so. The ticket is held meanwhile.
    Later(Ticket, oneshot::Receiver<()>),
    /// It has to come back later.
    Refused(&'static str),
}

impl Flows {
    /// One level with all seats.
    pub(crate) fn new(limits: &Limits) -> Self {
        let total = limits.read_in_flight + limits.write_in_flight;
        let rest = Arc::new(Level::new(false, Some(PLAIN), total));
        let present = Present { schemas: Vec::new(), levels: BTreeMap::new(), rest };
        Self { total, hasher: RandomState::new(), present: ArcSwap::from_pointee(present) }
    }

    /// Finds a request's level and enters it.
    pub(crate) fn enter(
        &self,
        info: &RequestInfo,
        user: &User,
        width: impl FnOnce() -> usize,
    ) -> (Option<Uids>, Turn) {
        let present = self.present.load();
        let schema = present.schemas.iter().find(|schema| schema.spec.matches(info, user));
        let (level, flow, uids) = match schema {
            Some(schema) => {
                let flow = (schema.name.as_str(), schema.spec.flow(info, user));
                (&schema.level, flow, Some(schema.uids.clone()))
            }
            // Upstream's schema `exempt`, which no server is without.
            None if user.in_group(identity::MASTERS) => return (None, Turn::Now(None)),
            None => (&present.rest, ("", user.name.as_str()), None),
        };
        if level.exempt {
            return (uids, Turn::Now(None));
        }
        (uids, level.enter(self.hasher.hash_one(flow), width()))
    }

    /// Reads the objects anew. Levels that stay keep their requests.
    pub(crate) fn load(&self, registry: &Registry) {
        let (Some(schemas), Some(levels)) = (registry.kind(&SCHEMAS), registry.kind(&LEVELS)) else { return };
        let (schemas, levels) = (schemas.snapshot(), levels.snapshot());
        let levels = levels.iter().filter_map(|entry| read(&entry.key, entry.decode())).collect();
        let schemas = schemas.iter().filter_map(|entry| read(&entry.key, entry.decode())).collect();
        self.set(schemas, levels);
    }

    fn set(&self, mut schemas: Vec<Object<schema::Spec>>, levels: Vec<Object<seats::Spec>>) {
        let before = self.present.load_full();
        let bounds = seats::bounds(self.total, &levels.iter().map(|level| &level.spec).collect::<Vec<_>>());
        let mut uids = BTreeMap::new();
        let known = levels.into_iter().zip(bounds).map(|(object, bounds)| {
            let (name, exempt, queuing) =
                (object.metadata.name, object.spec.is_exempt(), object.spec.queuing());
            let same = before.levels.get(&name).map(|(level, _)| level);
            let same = same.filter(|level| level.exempt == exempt).cloned();
            let level = same.unwrap_or_else(|| Arc::new(Level::new(exempt, queuing, bounds.nominal)));
            level.queues.lock().set_queuing(queuing);
            uids.insert(name.clone(), header(&object.metadata.uid));
            (name, (level, bounds))
        });
        let levels: BTreeMap<_, _> = known.collect();
        self.share_out(&levels);
        schemas.sort_by(|a, b| {
            let key = |one: &Object<schema::Spec>| (one.spec.precedence(), one.metadata.name.clone());
            key(a).cmp(&key(b))
        });
        // A schema whose level is missing counts for nothing; its status says so.
        let schemas = schemas.into_iter().filter_map(|object| {
            let level = levels.get(object.spec.level())?.0.clone();
            let uids =
                Uids { schema: header(&object.metadata.uid), level: uids.get(object.spec.level())?.clone() };
            Some(Schema { name: object.metadata.name, spec: object.spec, level, uids })
        });
        let schemas = schemas.collect();
        let rest = levels.get("catch-all").map_or(&before.rest, |(level, _)| level).clone();
        self.present.store(Arc::new(Present { schemas, levels, rest }));
    }

    /// Gives each level the seats that it needs, as far as others do not.
    fn share_out(&self, levels: &BTreeMap<String, (Arc<Level>, Bounds)>) {
        let levels: Vec<_> = levels.values().filter(|(level, _)| !level.exempt).collect();
        let needs: Vec<_> = levels.iter().map(|(level, bounds)| (*bounds, level.need(*bounds))).collect();
        for ((level, _), seats) in levels.into_iter().zip(seats::share_out(self.total, &needs)) {
            let next = level.queues.lock().resize(seats);
            wake(next);
        }
    }

    /// Follows the objects and lends seats, until the registry is gone or the future is dropped.
    pub(crate) async fn run(&self, registry: std::sync::Weak<Registry>) {
        let changes = |gvr| registry.upgrade()?.kind(gvr).map(|kind| kind.changed());
        let (Some(mut schemas), Some(mut levels)) = (changes(&SCHEMAS), changes(&LEVELS)) else { return };
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut has_changed = true;
        loop {
            if has_changed {
                schemas.borrow_and_update();
                levels.borrow_and_update();
                let Some(registry) = registry.upgrade() else { return };
                self.load(&registry);
            } else {
                // Needs change without an object's changing.
                self.share_out(&self.present.load().levels);
            }
            has_changed = tokio::select! {
                is_there = schemas.changed() => if is_there.is_ok() { true } else { return },
                is_there = levels.changed() => if is_there.is_ok() { true } else { return },
                _ = period.tick() => false,
            };
        }
    }

    /// The levels as upstream's debugging path shows them.
    pub(crate) fn dump_levels(&self) -> Response {
        let mut text = String::from(
            "PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, \
             DispatchedRequests, RejectedRequests\n",
        );
        for (name, (level, _)) in &self.present.load().levels {
            let _ = if level.exempt {
                writeln!(text, "{name}, <none>, <none>, <none>, <none>, <none>, <none>, <none>")
            } else {
                let (waiting, executing, active, counts) = level.queues.lock().state();
                let idle = waiting + executing == 0;
                let queues::Counts { dispatched, rejected } = counts;
                writeln!(
                    text,
                    "{name}, {active}, {idle}, false, {waiting}, {executing}, {dispatched}, {rejected}"
                )
            };
        }
        plain(text)
    }

    /// The queues as upstream's debugging path shows them.
    pub(crate) fn dump_queues(&self) -> Response {
        let mut text = String::from("PriorityLevelName, Index, PendingRequests, SeatsInUse, NextDispatchR\n");
        for (name, (level, _)) in self.present.load().levels.iter().filter(|(_, (level, _))| !level.exempt) {
            for (index, (waiting, seats, next)) in level.queues.lock().each().enumerate() {
                let _ = writeln!(text, "{name}, {index}, {waiting}, {seats}, {next:.8}ss");
            }
        }
        plain(text)
    }
}

impl Level {
    fn new(exempt: bool, queuing: Option<Queuing>, seats: usize) -> Self {
        Self { exempt, queues: Mutex::new(Queues::new(queuing, seats)), need: Mutex::new(0.0) }
    }

    fn enter(self: &Arc<Self>, flow: u64, width: usize) -> Turn {
        let mut told = None;
        let entered = self.queues.lock().enter(flow, width, || {
            let (sender, receiver) = oneshot::channel();
            told = Some(receiver);
            sender
        });
        let ticket = |place| Ticket { level: self.clone(), place, seated: Instant::now() };
        match (entered, told) {
            (Entered::Waits(place), Some(told)) => Turn::Later(ticket(place), told),
            (Entered::Seated(place) | Entered::Waits(place), _) => Turn::Now(Some(ticket(place))),
            (Entered::Refused(why), _) => Turn::Refused(why),
        }
    }

    /// What it needs: the most of the last period, or of earlier ones as they fade.
    fn need(&self, bounds: Bounds) -> f64 {
        let high = self.queues.lock().take_high() as f64;
        let mut need = self.need.lock();
        *need = high.max(*need * MEMORY + high * (1.0 - MEMORY));
        need.max(bounds.least as f64)
    }
}

impl Ticket {
    /// It is the request's turn.
    pub(crate) fn seated(&mut self) {
        self.seated = Instant::now();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let seconds = self.seated.elapsed().as_secs_f64();
        let next = self.level.queues.lock().leave(&self.place, seconds);
        wake(next);
    }
}

/// Who has given up meanwhile holds a ticket, whose drop seats the next.
fn wake(next: Vec<oneshot::Sender<()>>) {
    for waker in next {
        let _ = waker.send(());
    }
}

fn read<T: DeserializeOwned>(key: &str, object: Result<T, serde_json::Error>) -> Option<T> {
    object.inspect_err(|error| tracing::warn!(key, %error, "left out of priority and fairness")).ok()
}

fn header(uid: &str) -> HeaderValue {
    HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""))
}

fn plain(text: String) -> Response {
    respond::with_type(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        crate::api::Body::Whole(Bytes::from(text)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use serde_json::{Value, json};

    fn object<T: DeserializeOwned>(name: &str, spec: &Value) -> T {
        serde_json::from_value(
            json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": spec}),
        )
        .unwrap()
    }

    fn schema(name: &str, precedence: i64, user: &str, level: &str) -> Object<schema::Spec> {
        let everything = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
            "clusterScope": true}]);
        let subject = json!({"kind": "User", "user": {"name": user}});
        object(
            name,
            &json!({"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level},
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [{"subjects": [subject], "resourceRules": everything}]}),
        )
    }

    fn level(name: &str, shares: u32, response: &Value) -> Object<seats::Spec> {
        object(
            name,
            &json!({"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": response}}),
        )
    }

    fn flows(seats: usize) -> Flows {
        let flows = Flows::new(&Limits { read_in_flight: seats, write_in_flight: 0, ..Limits::default() });
        let queue = json!({"type": "Queue", "queuing": {"queues": 8, "handSize": 2, "queueLengthLimit": 3}});
        flows.set(
            vec![
                schema("everybody", 900, "*", "catch-all"),
                schema("ann", 10, "ann", "special"),
                schema("dangling", 1, "*", "missing"),
            ],
            vec![level("catch-all", 1, &json!({"type": "Reject"})), level("special", 1, &queue)],
        );
        flows
    }

    fn enter(flows: &Flows, user: &str) -> (Option<Uids>, Turn) {
        let info = crate::request_info::parse(&http::Method::GET, "/api/v1/pods", &Query::default()).unwrap();
        flows.enter(&info, &User::new(user, &[]), || 1)
    }

    #[test]
    fn the_first_schema_with_a_level_decides_and_levels_are_apart() {
        let flows = flows(2);
        let (uids, first) = enter(&flows, "ann");
        let uids = uids.unwrap();
        assert_eq!((uids.schema.as_bytes(), uids.level.as_bytes()), (&b"uid-ann"[..], &b"uid-special"[..]));
        let (_, second) = enter(&flows, "ann");
        let Turn::Later(waiting, mut told) = second else { panic!("one seat for two") };
        assert!(told.try_recv().is_err());
        let (uids, other) = enter(&flows, "bob");
        assert_eq!(uids.unwrap().level, "uid-catch-all");
        assert!(matches!(other, Turn::Now(Some(_))));
        assert!(matches!(enter(&flows, "carl").1, Turn::Refused("concurrency-limit")));
        drop(first);
        assert!(told.try_recv().is_ok(), "the seat goes on");
        drop((waiting, other));
        assert!(matches!(enter(&flows, "carl").1, Turn::Now(Some(_))));
        let masters = User::new("root", &[identity::MASTERS]);
        let info = crate::request_info::parse(&http::Method::GET, "/metrics", &Query::default()).unwrap();
        assert!(matches!(flows.enter(&info, &masters, || 1), (None, Turn::Now(None))));
    }

    #[test]
    fn levels_lend_seats_while_their_objects_stay() {
        let flows = flows(8);
        let queue = json!({"type": "Queue", "queuing": {"queues": 8, "handSize": 2, "queueLengthLimit": 3}});
        let idle =
            json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "lendablePercent": 100}});
        let schemas = vec![schema("ann", 10, "ann", "special")];
        flows.set(schemas, vec![object("idle", &idle), level("special", 1, &queue)]);
        let mut turns: Vec<_> = (0..10).map(|_| enter(&flows, "ann").1).collect();
        let waiting = turns.iter().position(|turn| matches!(turn, Turn::Later(..))).unwrap();
        flows.share_out(&flows.present.load().levels);
        let Turn::Later(_, told) = &mut turns[waiting] else { panic!("it waits") };
        assert!(told.try_recv().is_ok(), "the idle level's seats");
    }

    #[test]
    fn who_gives_up_after_being_seated_passes_the_seat_on() {
        let flows = flows(2);
        let (_, first) = enter(&flows, "ann");
        let (_, second) = enter(&flows, "ann");
        let (_, third) = enter(&flows, "ann");
        let Turn::Later(_ticket, mut told) = third else { panic!("it waits") };
        drop(first);
        drop(second);
        assert!(told.try_recv().is_ok());
    }

    #[test]
    fn levels_keep_their_requests_when_objects_change() {
        let flows = flows(2);
        let (_, first) = enter(&flows, "ann");
        let (_, second) = enter(&flows, "ann");
        let Turn::Later(_ticket, mut told) = second else { panic!("it waits") };
        let more = json!({"type": "Queue", "queuing": {"queues": 4, "handSize": 1, "queueLengthLimit": 3}});
        flows.set(
            vec![schema("ann", 10, "ann", "special")],
            vec![level("catch-all", 0, &json!({"type": "Reject"})), level("special", 100, &more)],
        );
        assert!(told.try_recv().is_ok(), "there are two seats now");
        drop(first);
        let Response { body, .. } = flows.dump_levels();
        let crate::api::Body::Whole(text) = body else { panic!("it is whole") };
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("\nspecial, 1, false, false, 0, 1, 2, 0\n"), "{text}");
    }
}
