//! One batch being put together: which writes win, and what they change. Pure but for asking for heads.

use std::collections::HashMap;

use crate::{Change, CommitError, Expect, Key, Published, Revision, Write};

/// The writes of a batch that were admitted so far.
pub(super) struct Round<'a> {
    published: &'a dyn Published,
    /// What the admitted writes made of their keys.
    pending: HashMap<Key, Option<Revision>>,
    /// The last revision that is visible, or will be with this batch.
    current: Revision,
    /// The last revision that was given out: it may be later, after a failed batch.
    pub(super) last: Revision,
    /// What the admitted writes change, in order.
    pub(super) changes: Vec<Change>,
}

impl<'a> Round<'a> {
    pub(super) fn new(published: &'a dyn Published, current: Revision, last: Revision) -> Self {
        Round { published, pending: HashMap::new(), current, last, changes: Vec::new() }
    }

    fn head(&self, key: &Key) -> Option<Revision> {
        self.pending.get(key).copied().unwrap_or_else(|| self.published.head(key))
    }

    fn holds(&self, key: &Key, expect: Expect) -> bool {
        expect == Expect::Any || expect.holds(self.head(key))
    }

    /// Admits a write whole, or says why not. One that changes nothing gets the revision before it.
    pub(super) fn admit(&mut self, write: Write) -> Result<Revision, CommitError> {
        let Write { ops, guards } = write;
        if let Some(guard) = guards.into_iter().find(|guard| !self.holds(&guard.key, guard.expect)) {
            return Err(CommitError::GuardFailed { key: guard.key });
        }
        if let Some(op) = ops.iter().find(|op| !self.holds(&op.key, op.expect)) {
            return Err(CommitError::Conflict { key: op.key.clone() });
        }
        let revision = self.last.next();
        for op in ops {
            if op.value.is_none() && self.head(&op.key).is_none() {
                continue;
            }
            self.pending.insert(op.key.clone(), op.value.is_some().then_some(revision));
            self.changes.push(Change { revision, key: op.key, value: op.value });
            (self.current, self.last) = (revision, revision);
        }
        Ok(self.current)
    }
}
