//! Connections to webhooks that wait for the next question.

use crate::dial::{Driver, Sender};
use parking_lot::Mutex;
use proa_registry::webhook::WebhookClient;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a connection waits; as Go's transport.
const LONGEST: Duration = Duration::from_secs(90);
/// How many wait for the same webhook.
const MOST: usize = 8;
/// How many wait in all.
const MOST_IN_ALL: usize = 100;

/// Whom a connection leads to, and who vouched for that.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) authority: String,
    pub(super) client: WebhookClient,
}

struct Waiting {
    since: Instant,
    sender: Sender,
    driver: Driver,
}

/// Waiting connections by whom they lead to.
#[derive(Default)]
pub(super) struct Idle(Mutex<HashMap<Key, Vec<Waiting>>>);

impl Idle {
    /// The connection that waited least.
    pub(super) fn take(&self, key: &Key) -> Option<(Sender, Driver)> {
        let mut all = self.0.lock();
        let waiting = all.get_mut(key)?;
        let found = waiting.pop();
        if waiting.is_empty() {
            all.remove(key);
        }
        found.filter(is_fresh).map(|w| (w.sender, w.driver))
    }

    /// Keeps a connection whose answer has been read.
    pub(super) fn put(&self, key: Key, sender: Sender, driver: Driver) {
        let mut all = self.0.lock();
        all.retain(|_, waiting| {
            waiting.retain(is_fresh);
            !waiting.is_empty()
        });
        if all.values().map(Vec::len).sum::<usize>() >= MOST_IN_ALL {
            return;
        }
        let waiting = all.entry(key).or_default();
        if waiting.len() < MOST {
            waiting.push(Waiting { since: Instant::now(), sender, driver });
        }
    }
}

fn is_fresh(waiting: &Waiting) -> bool {
    waiting.since.elapsed() < LONGEST && !waiting.sender.is_closed()
}
