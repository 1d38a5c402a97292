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
    let most = bench.scale.nodes.iter().copied().max().unwrap_or_default();
    for (key, words, count, pod) in [
        ("plain", "", plain, objects::waiting_pod as fn(u64) -> String),
        ("apart", " with required anti-affinity by host name", apart, objects::apart_pod),
    ] {
        let what = format!(
            "{} pods{words} that wait when the scheduler is started, {} nodes",
            grouped(count),
            grouped(most)
        );
        let outcome = started_late(bench, kind, most, count, pod).await;
        sink.outcome(&format!("late-{key}-{most}"), &what, &FIGURES, outcome);
    }
    Ok(())
}

/// Starts the scheduler when all pods are there: from its start until all have a node.
async fn started_late(
    bench: &Bench,
    kind: Kind,
    nodes: u64,
    count: u64,
    pod: fn(u64) -> String,
) -> Result<[f64; 2]> {
    let mut peer = Peer::start(&bench.programs, kind, With::Nothing).await?;
    let mut clients = Clients::connect(peer.endpoint(), CLIENTS).await?;
    make_nodes(&peer, &mut clients, nodes).await?;
    make(&mut clients, count, pod).await?;
    peer.quiet().await?;
    let path = placed_path();
    let mut connection = peer.endpoint().connect().await?;
    let events = connection.watch(&path).await?;
    let begun = Instant::now();
    peer.start_scheduler(&bench.programs, kind)?;
    let seen = AtomicU64::new(0);
    within(placed(&mut connection, events, &path, count, &seen), count, &seen).await?;
    Ok(rate(count, begun))
}

async fn make(clients: &mut Clients, count: u64, pod: fn(u64) -> String) -> Result<()> {
    let create = move |n| Call::post(PODS, pod(n));
    let made = clients.run(CLIENTS, Until::Count(count), &Arc::default(), create).await?;
    ensure!(made.failed == 0, "{} pods were refused: {:?}", made.failed, made.reason);
    Ok(())
}

/// A watch in which pods appear when they get a node.
fn placed_path() -> String {
    format!("{PODS}?watch=true&fieldSelector=spec.nodeName%21%3D")
}

/// Waits for all pods to have a node.
async fn within(placed: impl Future<Output = Result<()>>, count: u64, seen: &AtomicU64) -> Result<()> {
    timeout(BOUND_WITHIN, placed).await.with_context(|| {
        let seen = seen.load(Ordering::Relaxed);
        format!("{seen} of {count} pods have a node after {} s", BOUND_WITHIN.as_secs())
    })?
}

/// Pods per second, and seconds.
fn rate(count: u64, begun: Instant) -> [f64; 2] {
    let seconds = begun.elapsed().as_secs_f64();
    [count as f64 / seconds, seconds]
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
    let path = format!("{}&labelSelector=app%3D{app}", placed_path());
    let mut connection = peer.endpoint().connect().await?;
    let events = connection.watch(&path).await?;
    let begun = Instant::now();
    let seen = AtomicU64::new(0);
    let (made, all) = tokio::join!(
        make(clients, count, pod),
        within(placed(&mut connection, events, &path, count, &seen), count, &seen),
    );
    made.and(all)?;
    Ok(rate(count, begun))
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
