//! Writes the Node: registration, then its status whenever something in it changes.
//!
//! Upstream: `registerWithAPIServer`, `syncNodeStatus` in `pkg/kubelet/kubelet_node_status.go`.

use super::{Inputs, MANAGER, News, NodeError, facts::Facts, health::Health, now, register, status};
use crate::AgentConfig;
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use proa_runtime_shim::Runtime;
use serde_json::json;
use std::{pin::pin, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// Time between two reports although nothing changed.
const REPORT: Duration = Duration::from_secs(300);
/// Wait before a write that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Many images come at once, and a status lists them all: they are collected for so long.
const COLLECT: Duration = Duration::from_secs(1);
/// Images that a status lists.
const IMAGES: usize = 50;

pub(super) struct Reporter<'a, R> {
    pub(super) client: Client,
    pub(super) runtime: R,
    pub(super) config: &'a AgentConfig,
    pub(super) facts: Facts,
    pub(super) health: watch::Receiver<Health>,
    pub(super) inputs: Inputs,
    pub(super) news: News,
}

/// The status in the API, as far as known.
struct Published {
    status: NodeStatus,
    version: u64,
    at: Instant,
}

impl Published {
    fn of(node: Node) -> Self {
        let version = version(&node);
        Self { status: node.status.unwrap_or_default(), version, at: Instant::now() }
    }
    fn conditions(&self) -> &[NodeCondition] {
        self.status.conditions.as_deref().unwrap_or_default()
    }
}

fn version(node: &Node) -> u64 {
    node.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// What the loop woke for.
enum Woken {
    /// Something of the node itself.
    Changed,
    /// Images came or went.
    Images,
    /// The time for a report.
    Due,
    /// Somebody wrote the Node.
    Written(Box<Node>),
}

impl<R: Runtime> Reporter<'_, R> {
    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Creates the Node, or corrects the one that exists; tries for as long as it takes.
    pub(super) async fn register(&mut self) -> Result<Node, NodeError> {
        loop {
            match self.try_register().await {
                Ok(node) => return node,
                Err(error) => tracing::warn!(%error, "the node is not registered yet"),
            }
            sleep(AGAIN).await;
        }
    }

    async fn try_register(&mut self) -> kube::Result<Result<Node, NodeError>> {
        let status = self.observe(&[]).await;
        let node = register::node(self.config, status.clone());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match self.nodes().create(&params, &node).await {
            Ok(node) => {
                self.tell(&[], &status);
                Ok(Ok(node))
            }
            Err(kube::Error::Api(error)) if error.is_already_exists() => self.take_over().await,
            Err(error) => Err(error),
        }
    }

    async fn take_over(&self) -> kube::Result<Result<Node, NodeError>> {
        let node = self.nodes().get(&self.config.node).await?;
        match register::correction(&node, self.config) {
            Ok(None) => Ok(Ok(node)),
            Ok(Some(patch)) => {
                let patched = self.nodes().patch(&self.config.node, &params(), &Patch::Merge(patch)).await?;
                Ok(Ok(patched))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Keeps the status right for ever.
    pub(super) async fn run(mut self, node: Node) {
        self.tell_reboot(&node);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.config.node));
        let mut writes = pin!(watcher::watcher(self.nodes(), config).default_backoff());
        let mut published = Published::of(node);
        let mut must_write = true;
        loop {
            if let Err(error) = self.report(&mut published, must_write).await {
                tracing::warn!(%error, "the node's status was not written");
                sleep(AGAIN).await;
                continue;
            }
            must_write = match self.woken(&mut writes, published.at + REPORT).await {
                Woken::Due => true,
                Woken::Changed => false,
                Woken::Images => {
                    sleep(COLLECT).await;
                    false
                }
                Woken::Written(node) => {
                    self.taken_in(*node, &mut published);
                    false
                }
            };
        }
    }

    async fn woken(
        &mut self,
        writes: &mut (impl Stream<Item = watcher::Result<Event<Node>>> + Unpin),
        due: Instant,
    ) -> Woken {
        tokio::select! {
            Ok(()) = self.health.changed() => Woken::Changed,
            Ok(()) = self.inputs.pressure.changed() => Woken::Changed,
            () = self.inputs.images.notified() => Woken::Images,
            () = sleep_until(due) => Woken::Due,
            node = written(writes) => Woken::Written(Box::new(node)),
        }
    }

    /// Somebody else's write counts as published, so that the next report puts right what it got wrong.
    fn taken_in(&self, node: Node, published: &mut Published) {
        if version(&node) > published.version {
            *published = Published { at: published.at, ..Published::of(node) };
        }
    }

    /// Writes the status if it differs from the published one.
    async fn report(&mut self, published: &mut Published, must_write: bool) -> kube::Result<()> {
        let status = self.observe(published.conditions()).await;
        if !must_write && status::is_same(&status, &published.status) {
            return Ok(());
        }
        let mut body = json!({"status": status});
        if let Some(addresses) = body["status"]["addresses"].as_array_mut() {
            // The merge key of addresses is their type, which would keep an address that is gone.
            addresses.push(json!({"$patch": "replace"}));
        }
        let patch = Patch::Strategic(body);
        let node = self.nodes().patch_status(&self.config.node, &params(), &patch).await?;
        self.tell(published.conditions(), &status);
        *published = Published::of(node);
        Ok(())
    }

    async fn observe(&mut self, before: &[NodeCondition]) -> NodeStatus {
        let health = self.health.borrow_and_update().clone();
        let pressure = *self.inputs.pressure.borrow_and_update();
        let images = match health {
            Health::Up { .. } => self.runtime.images().await.unwrap_or_default(),
            Health::Unknown | Health::Down => Vec::new(),
        };
        status::status(&status::Observed {
            facts: &self.facts,
            config: self.config,
            port: self.inputs.port,
            health: &health,
            pressure,
            images: status::images(images, IMAGES),
            before,
            now: now(),
        })
    }

    fn tell(&self, before: &[NodeCondition], status: &NodeStatus) {
        for reason in status::news(before, status.conditions.as_deref().unwrap_or_default()) {
            self.news.became(reason);
        }
    }

    fn tell_reboot(&self, node: &Node) {
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        let before = info.map_or("", |info| info.boot_id.as_str());
        if !before.is_empty() && before != self.facts.boot_id {
            let note =
                format!("Node {} has been rebooted, boot id: {}", self.config.node, self.facts.boot_id);
            self.news.warn("Rebooted", &note);
        }
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

/// The next state of the Node that somebody wrote.
async fn written(writes: &mut (impl Stream<Item = watcher::Result<Event<Node>>> + Unpin)) -> Node {
    loop {
        match writes.next().await {
            Some(Ok(Event::Apply(node) | Event::InitApply(node))) => return node,
            Some(Ok(Event::Delete(node))) => {
                tracing::warn!(node = ?node.metadata.name, "the Node was deleted; start the agent anew to register it");
            }
            Some(Ok(Event::Init | Event::InitDone)) => {}
            Some(Err(error)) => tracing::debug!(%error, "the watch of the Node will be opened again"),
            None => std::future::pending().await,
        }
    }
}
