//! From the start of the first process to a ready API, and to a pod that has a node: the whole control plane works.

use super::{Bench, SOON};
use crate::{
    client::Call,
    objects,
    peer::{Kind, Peer, With},
    results::{Sink, less},
};
use anyhow::{Context, Result};
use tokio::time::timeout;

const PODS: &str = "/api/v1/namespaces/default/pods";

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let peer = Peer::start(&bench.programs, kind, With::Everything).await?;
    sink.one("ready", "API ready (`/readyz`)", less("ms"), peer.ready().as_secs_f64() * 1000.0);
    let mut connection = peer.endpoint().connect().await?;
    connection.insist(&Call::post("/api/v1/nodes", objects::node("first")), SOON).await?;
    // Refused until a controller has made the namespace's service account.
    connection.insist(&Call::post(PODS, objects::waiting_pod(0)), SOON).await?;
    let placed = format!("{PODS}?watch=true&fieldSelector=spec.nodeName%3Dfirst");
    let mut events = connection.watch(&placed).await?;
    timeout(SOON, events.next()).await.context("the first pod gets no node")??;
    let placed = peer.begun().elapsed().as_secs_f64() * 1000.0;
    sink.one("placed", "first pod has a node (API, controllers and scheduler work)", less("ms"), placed);
    Ok(())
}
