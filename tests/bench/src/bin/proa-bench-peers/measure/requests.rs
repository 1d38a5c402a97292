//! Single objects: ConfigMaps of 1 KiB created, replaced and read.

use super::{Bench, namespace};
use crate::{
    client::Call,
    load::{Clients, Until},
    objects,
    peer::{Kind, Peer, With},
    results::Sink,
};
use anyhow::Result;
use std::sync::{Arc, atomic::AtomicU64};

pub(super) const CLIENTS: [usize; 3] = [1, 16, 64];
const MAPS: &str = "/api/v1/namespaces/bench/configmaps";
/// Objects that are read and replaced in turn.
const OBJECTS: u64 = 500;

/// Makes the nth request.
type Make = fn(u64) -> Call;

fn create(n: u64) -> Call {
    Call::post(MAPS, objects::config_map(&format!("new-{n}"), n))
}

fn replace(n: u64) -> Call {
    let name = format!("map-{}", n % OBJECTS);
    Call::put(format!("{MAPS}/{name}"), objects::config_map(&name, n))
}

fn get(n: u64) -> Call {
    Call::get(format!("{MAPS}/map-{}", n % OBJECTS))
}

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let peer = Peer::start(&bench.programs, kind, With::Nothing).await?;
    namespace(&mut peer.endpoint().connect().await?, "bench").await?;
    let most = CLIENTS.into_iter().max().unwrap_or(1);
    let mut clients = Clients::connect(peer.endpoint(), most).await?;
    let first = |n: u64| Call::post(MAPS, objects::config_map(&format!("map-{n}"), n));
    // Also warms all connections up.
    clients.run(most, Until::Count(OBJECTS), &Arc::default(), first).await?;
    let next = Arc::new(AtomicU64::new(0));
    let kinds: [(&str, &str, Make); 3] =
        [("create", "create", create), ("update", "update (PUT)", replace), ("get", "get", get)];
    for (id, what, make) in kinds {
        for count in CLIENTS {
            let seen = clients.run(count, Until::Time(bench.scale.time), &next, make).await;
            sink.load(&format!("{id}-{count}"), &format!("{what}, {}", plural(count)), seen);
        }
    }
    Ok(())
}

/// `1 client`, `16 clients`.
pub(super) fn plural(clients: usize) -> String {
    if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") }
}
