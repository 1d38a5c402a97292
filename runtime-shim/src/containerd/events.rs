//! containerd's events: the starts, ends and memory shortages of tasks.
//!
//! An end is told when CRI knows of it, which is later: containerd tells that a task exited, deletes it (40 ms), tells
//! that too, and another 25 ms later its CRI reports the new state. So ends are taken from the deletions, and held
//! back until the state can be read.

use super::{Containerd, errors, sandbox};
use crate::{Event, Result};
use containerd_client::{
    events::{TaskDelete, TaskOom, TaskStart},
    services::v1::{SubscribeRequest, events_client::EventsClient},
    types::Envelope,
};
use futures::{
    TryStreamExt as _, future,
    stream::{self, BoxStream, StreamExt as _},
};
use k8s_cri::v1;
use prost::Message;
use std::time::Duration;

const TOPICS: [&str; 3] = ["/tasks/start", "/tasks/delete", "/tasks/oom"];

/// Where CRI keeps its containers.
pub(crate) const NAMESPACE: &str = "k8s.io";

/// Ends held back at a time.
const HELD: usize = 64;
/// First wait for a state; each further one is twice as long, together one and a quarter seconds.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 8;

pub(super) fn subscribe(containerd: &Containerd) -> BoxStream<'static, Result<Event>> {
    let containerd = containerd.clone();
    let mut client = EventsClient::new(containerd.channel.clone());
    let filters = TOPICS.map(|topic| format!("namespace=={NAMESPACE},topic==\"{topic}\"")).to_vec();
    let failed = |status: &tonic::Status| errors::from_status("events", Duration::ZERO, status);
    let subscribed = async move {
        let answer = client.subscribe(SubscribeRequest { filters }).await;
        let envelopes = answer.map_err(|status| failed(&status))?.into_inner();
        Ok(envelopes.map_err(move |status| failed(&status)))
    };
    stream::once(subscribed)
        .try_flatten()
        .try_filter_map(|envelope| future::ready(Ok(event(&envelope))))
        .map(move |event| settled(containerd.clone(), event))
        .buffer_unordered(HELD)
        .boxed()
}

/// What an envelope says; nothing for commands that were run in a container.
fn event(envelope: &Envelope) -> Option<Event> {
    let body = envelope.event.as_ref()?.value.as_slice();
    match envelope.topic.as_str() {
        "/tasks/start" => Some(Event::Started { id: TaskStart::decode(body).ok()?.container_id }),
        "/tasks/oom" => Some(Event::OutOfMemory { id: TaskOom::decode(body).ok()?.container_id }),
        "/tasks/delete" => {
            let gone = TaskDelete::decode(body).ok()?;
            let is_container = gone.id.is_empty() || gone.id == gone.container_id;
            is_container.then_some(Event::Exited { id: gone.container_id })
        }
        _ => None,
    }
}

/// The event as soon as what it says can be read, or a little later in any case: events are only hints.
async fn settled(containerd: Containerd, event: Result<Event>) -> Result<Event> {
    if let Ok(Event::Exited { id }) = &event {
        for look in 0..LOOKS {
            if !runs(&containerd, id).await {
                break;
            }
            tokio::time::sleep(FIRST_LOOK * 2_u32.pow(look)).await;
        }
    }
    event
}

/// Whether CRI still says that a container or sandbox runs.
async fn runs(containerd: &Containerd, id: &str) -> bool {
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    match containerd.runtime.clone().container_status(request).await {
        Ok(said) => {
            said.into_inner().status.is_some_and(|s| s.state() == v1::ContainerState::ContainerRunning)
        }
        Err(status) if status.code() == tonic::Code::NotFound => {
            let status = sandbox::status(containerd, id).await;
            status.is_ok_and(|status| status.state() == v1::PodSandboxState::SandboxReady)
        }
        Err(_) => false,
    }
}
