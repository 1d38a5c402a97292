//! Many pods: how fast they are created and listed, and what they cost in memory.

use super::{
    Bench, grouped, namespace,
    requests::{CLIENTS, plural},
};
use crate::{
    client::Call,
    load::{Clients, Until},
    objects,
    peer::{Kind, Peer, With},
    results::{Sink, less},
};
use anyhow::{Result, ensure};
use std::sync::{Arc, atomic::AtomicU64};

const MOST_CLIENTS: usize = 64;
const FULL_LISTS: usize = 10;

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let (few, many) = (bench.scale.few_pods, bench.scale.many_pods);
    let peer = Peer::start(&bench.programs, kind, With::Nothing).await?;
    let mut clients = memory(&peer, many, sink).await?;
    namespace(&mut peer.endpoint().connect().await?, "few").await?;
    fill(&mut clients, "few", few).await?;
    for (namespace, count) in [("few", few), ("many", many)] {
        let queries = [
            ("all", String::new(), "all"),
            ("label", "?labelSelector=app%3Dweb-7".to_owned(), "by label, a hundredth"),
            ("field", "?fieldSelector=spec.nodeName%3Dnode-7".to_owned(), "by `spec.nodeName`, a hundredth"),
        ];
        for (id, query, words) in queries {
            let path = format!("{}{query}", pods(namespace));
            for at_once in CLIENTS {
                let path = path.clone();
                let list = move |_| Call::get(path.clone());
                let seen =
                    clients.run(at_once, Until::Time(bench.scale.list_time), &Arc::default(), list).await;
                let what = format!("list of {} pods, {words}, {}", grouped(count), plural(at_once));
                sink.load(&format!("{namespace}-{id}-{at_once}"), &what, seen);
            }
        }
    }
    drop((clients, peer));
    if let Some(most) = bench.scale.most_pods {
        let peer = Peer::start(&bench.programs, kind, With::Nothing).await?;
        memory(&peer, most, sink).await?;
    }
    Ok(())
}

/// Memory before and after this many pods, and while they are listed.
async fn memory(peer: &Peer, count: u64, sink: &mut Sink) -> Result<Clients> {
    let mut clients = Clients::connect(peer.endpoint(), MOST_CLIENTS).await?;
    namespace(&mut peer.endpoint().connect().await?, "many").await?;
    peer.quiet().await?;
    let pods_words = grouped(count);
    sink.one("memory-0", "memory without pods, 64 connections", less("MiB"), peer.memory_mib()?);
    let seen = fill(&mut clients, "many", count).await;
    sink.load(&format!("fill-{count}"), &format!("create {pods_words} pods, {MOST_CLIENTS} clients"), seen);
    peer.quiet().await?;
    let what = format!("memory with {pods_words} pods");
    sink.one(&format!("memory-{count}"), &what, less("MiB"), peer.memory_mib()?);
    peer.forget_peak()?;
    let list = |_| Call::get(pods("many"));
    let lists = Until::Count(FULL_LISTS as u64);
    let seen = clients.run(FULL_LISTS, lists, &Arc::default(), list).await?;
    ensure!(seen.failed == 0, "{} of {FULL_LISTS} lists failed: {:?}", seen.failed, seen.reason);
    let what = format!("peak memory during {FULL_LISTS} lists of {pods_words} pods at once");
    sink.one(&format!("peak-{count}"), &what, less("MiB"), peer.peak_mib()?);
    Ok(clients)
}

/// Creates this many pods.
async fn fill(clients: &mut Clients, namespace: &str, count: u64) -> Result<crate::load::Seen> {
    let path = pods(namespace);
    let make = move |n| Call::post(path.clone(), objects::placed_pod(n));
    let seen = clients.run(MOST_CLIENTS, Until::Count(count), &Arc::new(AtomicU64::new(0)), make).await?;
    ensure!(seen.failed == 0, "{} of {count} pods were refused: {:?}", seen.failed, seen.reason);
    Ok(seen)
}
