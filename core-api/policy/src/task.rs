//! A task of the core that keeps objects of one kind as they should be, woken by changes of that kind only. What needs no
//! place inside of the core is an operator instead.

use crate::objects;
use proa_meta::{ApiResult, Gvr};
use proa_registry::Registry;
use std::{sync::Arc, time::Duration};

/// Pause after a round that failed.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Runs a round at the start and after changes, until the registry is gone or the task is dropped.
pub(crate) async fn at_changes<F: Future<Output = ApiResult<()>>>(
    registry: Arc<Registry>,
    gvr: &Gvr,
    purpose: &'static str,
    round: impl Fn(Arc<Registry>) -> F,
) {
    let Ok(kind) = objects::kind(&registry, gvr) else {
        tracing::error!(%gvr, purpose, "not served: nothing is done");
        return;
    };
    let mut changed = kind.changed();
    drop(kind);
    loop {
        changed.borrow_and_update();
        if let Err(error) = round(registry.clone()).await {
            tracing::warn!(%error, purpose, "failed and is tried again");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}
