//! What is there for nothing: containerd failed, or ran out of time, while it made a sandbox or took one away, and forgot
//! it. No event tells this, so it is looked for, seldom; with nothing to find a look costs a walk over `/proc`.
//!
//! What containerd does not list while nobody makes or removes anything is suspected, and lost when that is so at the next
//! look as well.

use super::{DaemonConfig, Result, blocking, orphans::Found};
use crate::{Containerd, containerd};
use std::{collections::HashSet, path::PathBuf};

/// What was suspected at the last look.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Sandboxes and containers that have shims, bundles or addresses.
    ids: HashSet<String>,
    /// Network namespaces.
    namespaces: HashSet<PathBuf>,
}

impl Suspects {
    /// Whether nothing was.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.namespaces.is_empty()
    }

    /// Looks; what is there that was suspected before and still is.
    ///
    /// # Errors
    /// containerd does not say what it knows.
    pub(super) async fn look(&mut self, config: &DaemonConfig) -> Result<Found> {
        let calls = containerd::under_way();
        let inventory = config.clone();
        let found = blocking(move || Ok(Found::now(&inventory))).await?;
        let known = containerd::known(&Containerd::connect(&config.socket()).await?).await?;
        // What was being made need not be listed yet.
        if calls > 0 || containerd::under_way() > 0 {
            return Ok(Found::default());
        }
        let unlisted = found.not_in(&known);
        let now = Self { ids: unlisted.ids(), namespaces: unlisted.namespaces() };
        let lost = unlisted.only(|id| self.ids.contains(id), |namespace| self.namespaces.contains(namespace));
        *self = now;
        Ok(lost)
    }
}
