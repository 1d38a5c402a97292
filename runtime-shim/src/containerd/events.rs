//! containerd's events: the starts, ends and memory shortages of tasks.

use super::{Containerd, errors};
use crate::{Event, Result};
use containerd_client::{
    events::{TaskExit, TaskOom, TaskStart},
    services::v1::{SubscribeRequest, events_client::EventsClient},
    types::Envelope,
};
use futures::{
    TryStreamExt as _, future,
    stream::{self, BoxStream, StreamExt as _},
};
use prost::Message;
use std::time::Duration;

const TOPICS: [&str; 3] = ["/tasks/start", "/tasks/exit", "/tasks/oom"];

/// Where CRI keeps its containers.
pub(crate) const NAMESPACE: &str = "k8s.io";

pub(super) fn subscribe(containerd: &Containerd) -> BoxStream<'static, Result<Event>> {
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
        .boxed()
}

/// What an envelope says; nothing for commands that were run in a container.
fn event(envelope: &Envelope) -> Option<Event> {
    let body = envelope.event.as_ref()?.value.as_slice();
    match envelope.topic.as_str() {
        "/tasks/start" => Some(Event::Started { id: TaskStart::decode(body).ok()?.container_id }),
        "/tasks/oom" => Some(Event::OutOfMemory { id: TaskOom::decode(body).ok()?.container_id }),
        "/tasks/exit" => {
            let exit = TaskExit::decode(body).ok()?;
            (exit.id == exit.container_id).then_some(Event::Exited { id: exit.container_id })
        }
        _ => None,
    }
}
