//! Which pods have something to look at: a set that coalesces.

use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::Notify;

/// Marked pods, by UID. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Marks(Arc<(Mutex<BTreeSet<String>>, Notify)>);

impl Marks {
    /// Marks pods.
    pub(super) fn add(&self, pods: impl IntoIterator<Item = String>) {
        self.0.0.lock().extend(pods);
        self.0.1.notify_one();
    }
    /// Waits until there are marks, and takes them.
    pub(super) async fn take(&self) -> BTreeSet<String> {
        loop {
            let taken = std::mem::take(&mut *self.0.0.lock());
            if !taken.is_empty() {
                return taken;
            }
            // A permit is kept when nobody waits, so a mark set just before is not missed.
            self.0.1.notified().await;
        }
    }
}
