//! What a control plane costs that nobody asks for anything.

use super::Bench;
use crate::{
    peer::{Kind, Peer, With},
    results::{Sink, less},
};
use anyhow::Result;

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let peer = Peer::start(&bench.programs, kind, With::Everything).await?;
    tokio::time::sleep_until((peer.begun() + bench.scale.settle).into()).await;
    let before = peer.cpu_seconds()?;
    tokio::time::sleep(bench.scale.idle).await;
    let share = (peer.cpu_seconds()? - before) / bench.scale.idle.as_secs_f64() * 100.0;
    sink.one("memory", "memory", less("MiB"), peer.memory_mib()?);
    let seconds = bench.scale.idle.as_secs();
    sink.one("cpu", &format!("processor over {seconds} s"), less("% of a core"), share);
    Ok(())
}
