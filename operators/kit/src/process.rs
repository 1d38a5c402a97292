//! An operator as a process of its own: it runs until it is told to end, and only while it leads, where a lease says who does.

use crate::{
    leader::{ElectionConfig, elect},
    run::RunConfig,
};
use futures::FutureExt;
use jiff::Timestamp;
use kube::Client;
use std::future::{Future, ready};
use tokio::signal::unix::{SignalKind, signal};

/// A name that no other process has: that of the host, which in a pod is the pod's, and when and as what it was started.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}_{:x}", host.trim(), std::process::id(), Timestamp::now().as_microsecond())
}

/// Runs an operator until SIGTERM or SIGINT. With a lease, of several processes only the one that holds it acts and writes; it
/// is released at the end, so that the next takes over at once.
///
/// # Errors
/// The signals cannot be waited for.
pub async fn run_until_ended<F: Future<Output = ()>>(
    client: Client,
    lease: Option<ElectionConfig>,
    run: impl FnOnce(Client, RunConfig) -> F,
) -> std::io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut config = RunConfig::default();
    let shutdown = config.shutdown.clone();
    let (client, election) = match lease {
        Some(lease) => {
            config.identity = lease.identity.clone();
            let (election, leadership) = elect(client.clone(), lease, config.clock.clone(), shutdown.clone());
            let fenced = leadership.fence(client);
            config.leadership = Some(leadership);
            (fenced, election.boxed())
        }
        None => {
            config.identity = identity().into();
            (client, ready(()).boxed())
        }
    };
    let ended = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        shutdown.cancel();
    };
    tokio::join!(run(client, config), election, ended);
    Ok(())
}
