//! Pods that wait for a node: from the first create to the last binding.

use super::{Bench, grouped, namespace};
use crate::{
    client::{Call, Connection, Lines},
    load::{Clients, Until},
    objects,
    peer::{Kind, Peer, With},
    results::{Figure, Sink, less, more},
};
use anyhow::{Context, Result, ensure};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::timeout;

const PODS: &str = "/api/v1/namespaces/bench/pods";
const CLIENTS: usize = 16;
/// How long pods may wait for their nodes.
const BOUND_WITHIN: Duration = Duration::from_secs(180);
const FIGURES: [Figure; 2] = [more("pods per s"), less("s")];

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let (plain, apart) = (bench.scale.waiting_pods, bench.scale.apart_pods);
    for nodes in &bench.scale.nodes {
        let words = grouped(*nodes);
        let peer = Peer::start(&bench.programs, kind, With::Scheduler).await?;
        let mut clients = Clients::connect(peer.endpoint(), CLIENTS).await?;
        make_nodes(&peer, &mut clients, *nodes).await?;
        peer.quiet().await?;
        let what = format!("{} pods on {words} nodes", grouped(plain));
        let outcome = bound(&peer, &mut clients, plain, "plain", objects::waiting_pod).await;
        sink.outcome(&format!("plain-{nodes}"), &what, &FIGURES, outcome);
        let what = format!("{} more with required anti-affinity by host name, {words} nodes", grouped(apart));
        let outcome = bound(&peer, &mut clients, apart, "apart", objects::apart_pod).await;
        sink.outcome(&format!("apart-{nodes}"), &what, &FIGURES, outcome);
    }
    Ok(())
}

async fn make_nodes(peer: &Peer, clients: &mut Clients, count: u64) -> Result<()> {
    namespace(&mut peer.endpoint().connect().await?, "bench").await?;
    let create = |n| Call::post("/api/v1/nodes", objects::node(&format!("node-{n}")));
    let untaint = |n| Call::merge(format!("/api/v1/nodes/node-{n}"), objects::no_taints());
    let made = clients.run(CLIENTS, Until::Count(count), &Arc::default(), create).await?;
    ensure!(made.failed == 0, "nodes were refused: {:?}", made.reason);
    let ready = clients.run(CLIENTS, Until::Count(count), &Arc::default(), untaint).await?;
    ensure!(ready.failed == 0, "taints stay: {:?}", ready.reason);
    Ok(())
}

/// Creates pods and waits until all have a node: pods per second, and seconds.
async fn bound(
    peer: &Peer,
    clients: &mut Clients,
    count: u64,
    app: &'static str,
    pod: fn(u64) -> String,
) -> Result<[f64; 2]> {
    let path = format!("{PODS}?watch=true&labelSelector=app%3D{app}&fieldSelector=spec.nodeName%21%3D");
    let mut connection = peer.endpoint().connect().await?;
    let events = connection.watch(&path).await?;
    let begun = Instant::now();
    let seen = AtomicU64::new(0);
    let next = Arc::default();
    let (made, all) = tokio::join!(
        clients.run(CLIENTS, Until::Count(count), &next, move |n| Call::post(PODS, pod(n))),
        timeout(BOUND_WITHIN, placed(&mut connection, events, &path, count, &seen)),
    );
    let made = made?;
    ensure!(made.failed == 0, "{} pods were refused: {:?}", made.failed, made.reason);
    all.with_context(|| {
        let seen = seen.load(Ordering::Relaxed);
        format!("{seen} of {count} pods have a node after {} s", BOUND_WITHIN.as_secs())
    })??;
    let seconds = begun.elapsed().as_secs_f64();
    Ok([count as f64 / seconds, seconds])
}

/// Reads until this many pods have a node: they appear in this watch when they get one. A server may end the watch of a
/// client that falls behind; a new one begins with all that have a node by then.
async fn placed(
    connection: &mut Connection,
    mut events: Lines,
    path: &str,
    count: u64,
    seen: &AtomicU64,
) -> Result<()> {
    while seen.load(Ordering::Relaxed) < count {
        match events.next().await {
            Ok(line) if line.starts_with(br#"{"type":"ADDED""#) => {
                seen.fetch_add(1, Ordering::Relaxed);
            }
            Ok(line) if !line.starts_with(br#"{"type":"ERROR""#) => {}
            _ => {
                seen.store(0, Ordering::Relaxed);
                events = connection.watch(path).await?;
            }
        }
    }
    Ok(())
}
