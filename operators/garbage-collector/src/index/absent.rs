//! Owners that are not in the graph: what the API server says about them.
//!
//! Invariants: a question is asked once however many objects ask it; an owner found absent stays absent, since uids are
//! never used twice; one found present is believed once, for the graph will show it soon.
//! Upstream: pkg/controller/garbagecollector/uid_cache.go, garbagecollector.go (isDangling).

use super::{Graph, Uid, is_waiting, uid};
use futures::StreamExt as _;
use proa_kit::{ObjectRef, Reader, decide::Feed, views::Owner};
use std::collections::{HashMap, HashSet};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// Absent owners remembered.
const REMEMBERED: usize = 16_384;
/// Questions at once.
const AT_ONCE: usize = 32;

/// An owner's uid and the namespace in which its name was looked up; empty for a cluster-scoped one.
type Place = (Uid, Box<str>);

/// What is known about an owner that is not in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It does not exist.
    Absent,
    /// It exists; whether it waits for its dependents.
    Present {
        /// It is going, in the foreground.
        waiting: bool,
    },
}

/// A question to the API server.
#[derive(Debug)]
pub struct Question {
    place: Place,
    object: ObjectRef,
}

/// Questions and answers.
#[derive(Debug, Default)]
pub struct Answers {
    /// Where questions go.
    pub(crate) ask: Option<UnboundedSender<Question>>,
    absent: HashSet<Place>,
    present: HashMap<Place, bool>,
    asking: HashMap<Place, HashSet<Uid>>,
    unresolved: HashSet<Uid>,
}

impl Answers {
    /// What is known about an owner.
    pub fn known(&self, owner: Uid, namespace: &str) -> Option<Known> {
        let place = (owner, namespace.into());
        if self.absent.contains(&place) {
            return Some(Known::Absent);
        }
        self.present.get(&place).map(|waiting| Known::Present { waiting: *waiting })
    }
    /// The answer was used.
    pub fn used(&mut self, owner: Uid, namespace: &str) {
        self.present.remove(&(owner, namespace.into()));
    }
    /// An object's owner is seen to be gone.
    pub(super) fn absent(&mut self, owner: Uid, namespace: &str) {
        if self.absent.len() >= REMEMBERED {
            self.absent.clear();
        }
        self.absent.insert((owner, namespace.into()));
    }
    /// An object is seen.
    pub(super) fn present(&mut self, owner: Uid) {
        if !self.present.is_empty() {
            self.present.retain(|(own, _), _| *own != owner);
        }
    }
    /// Asks about an owner for an object.
    pub fn ask(&mut self, owner: &Owner, object: ObjectRef, by: Uid) {
        let place = (uid(&owner.uid), object.namespace.clone());
        let waiting = self.asking.entry(place.clone()).or_default();
        let is_first = waiting.is_empty();
        waiting.insert(by);
        if let Some(ask) = self.ask.as_ref().filter(|_| is_first) {
            let question = Question { place, object: object.with_uid(&owner.uid) };
            // The receiver lives as long as the operator.
            drop(ask.send(question));
        }
    }
    /// An owner's kind is not served.
    pub fn unresolved(&mut self, by: Uid) {
        self.unresolved.insert(by);
    }
    pub(super) fn take_unresolved(&mut self) -> HashSet<Uid> {
        std::mem::take(&mut self.unresolved)
    }
    fn answered(&mut self, place: Place, known: Known) -> HashSet<Uid> {
        let by = self.asking.remove(&place).unwrap_or_default();
        match known {
            Known::Absent => self.absent(place.0, &place.1),
            Known::Present { waiting } => drop(self.present.insert(place, waiting)),
        }
        by
    }
}

/// Answers questions by reading from the API server, waking who asked. Ends never: the graph holds the other end.
pub(crate) async fn answer(reader: Reader, feed: Feed<Graph, Uid>, mut asked: UnboundedReceiver<Question>) {
    let questions = futures::stream::poll_fn(|context| asked.poll_recv(context));
    questions
        .for_each_concurrent(AT_ONCE, |question| {
            let (reader, feed) = (&reader, &feed);
            async move {
                let known = look_up(reader, &question.object).await;
                feed.take_in(|graph, wake| {
                    graph.answers.answered(question.place, known).into_iter().for_each(|id| wake.mark(id));
                });
            }
        })
        .await;
}

/// Asks until there is an answer.
async fn look_up(reader: &Reader, object: &ObjectRef) -> Known {
    let mut failures = 0;
    loop {
        match reader.get_metadata(object).await {
            Ok(Some(meta)) if meta.uid == object.uid => return Known::Present { waiting: is_waiting(&meta) },
            Ok(_) => return Known::Absent,
            Err(error) => {
                failures += 1;
                tracing::debug!(%error, "owner could not be looked up; asking again");
                tokio::time::sleep(proa_kit::backoff::delay(failures + 4)).await;
            }
        }
    }
}
