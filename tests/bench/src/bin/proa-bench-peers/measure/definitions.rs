//! What CustomResourceDefinitions cost.

use super::{Bench, SOON, grouped};
use crate::{
    client::Call,
    objects,
    peer::{Kind, Peer, With},
    results::{Sink, less},
};
use anyhow::Result;
use std::time::Instant;

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let count = bench.scale.definitions;
    let peer = Peer::start(&bench.programs, kind, With::Nothing).await?;
    peer.quiet().await?;
    let before = peer.memory_mib()?;
    let mut connection = peer.endpoint().connect().await?;
    let begun = Instant::now();
    for number in 0..count {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        connection.send(&Call::post(path, objects::definition(number))).await?;
    }
    for number in 0..count {
        let plural = objects::definition_plural(number);
        let path = format!("/apis/{}/v1/namespaces/default/{plural}", objects::GROUP);
        connection.insist(&Call::get(path), SOON).await?;
    }
    let words = grouped(count);
    let served = begun.elapsed().as_secs_f64();
    sink.one("served", &format!("{words} definitions created and served"), less("s"), served);
    peer.quiet().await?;
    let each = (peer.memory_mib()? - before) * 1024.0 / count as f64;
    sink.one("each", &format!("memory of each of {words} definitions"), less("KiB"), each);
    Ok(())
}
