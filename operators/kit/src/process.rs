//! An operator as a process of its own: it runs until it is told to end, and only while it leads, where a lease says who does.

use crate::{
    leader::{ElectionConfig, elect},
    run::RunConfig,
};
use kube::Client;
use std::future::Future;
use tokio::signal::unix::{SignalKind, signal};

/// Name of this process that no other has: the host's, which in a pod is the pod's, and the process number.
pub fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    format!("{host}_{}", std::process::id())
}

/// Runs an operator until SIGTERM or SIGINT. With a lease, of several processes only the one that holds it acts; it is
/// released at the end, so that the next takes over at once.
///
/// # Errors
/// The signals cannot be waited for.
pub async fn run_until_ended<F: Future<Output = ()>>(
    client: Client,
    lease: Option<ElectionConfig>,
    run: impl FnOnce(Client, RunConfig) -> F,
) -> std::io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut config = RunConfig { identity: identity().into(), ..RunConfig::default() };
    let shutdown = config.shutdown.clone();
    let election = lease.map(|lease| {
        let (election, leadership) = elect(client.clone(), lease, config.clock.clone(), shutdown.clone());
        config.leadership = Some(leadership);
        tokio::spawn(election)
    });
    let operator = run(client, config);
    let ended = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        shutdown.cancel();
    };
    // The operator ends by the shutdown; then the lease may be given away.
    tokio::join!(operator, ended);
    if let Some(election) = election {
        // It ends with the shutdown; that it panicked is in the log.
        drop(election.await);
    }
    Ok(())
}
