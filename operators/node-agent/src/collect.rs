//! What nobody needs any more: pods that are gone (N4), and images when the disk fills up.
//!
//! Flow: a worker that is done hands its pod's uid over; after a start, and every minute, the runtime, the volumes, the
//! cgroups and the logs are compared with the pods of the API, and what belongs to none of them goes. Invariants: nothing
//! of a pod that somebody works on is touched; the pause image and images of any container stay. Dead containers of
//! pods that are still there are their workers' to remove.
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_gc.go, pkg/kubelet/images/image_gc_manager.go.

mod images;

use crate::{act::Node, build::labels, index::Index};
use futures::future::try_join;
use images::ImageCollector;
use proa_runtime_shim::{Container, ContainerState, Error, Runtime, Sandbox, SandboxState};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

/// Time between two comparisons.
const SWEEP: Duration = Duration::from_secs(60);
/// Time between two looks at the disk of images. Upstream: ImageGCPeriod.
const IMAGES: Duration = Duration::from_secs(300);

/// Why something could not be collected; it is tried again with the next comparison.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    /// The runtime.
    #[error("remove containers")]
    Runtime(#[from] Error),
    /// Images that are volumes.
    #[error("unmount images: {0}")]
    Images(String),
    /// Volumes.
    #[error("unmount volumes")]
    Volumes(#[source] io::Error),
    /// Cgroups.
    #[error("remove cgroup")]
    Cgroup(#[source] io::Error),
    /// Logs.
    #[error("remove logs")]
    Logs(#[source] io::Error),
}

/// What is there of pods, whoever they are.
#[derive(Debug, Default)]
struct Left {
    sandboxes: BTreeMap<String, Vec<Sandbox>>,
    /// Only those that have no sandbox any more.
    containers: BTreeMap<String, Vec<Container>>,
    others: BTreeSet<String>,
    logs: BTreeMap<String, PathBuf>,
}

/// Removes what nobody needs.
pub(crate) struct Collector<R> {
    node: Arc<Node<R>>,
    index: Index,
    images: Arc<ImageCollector<R>>,
}

impl<R: Runtime> Collector<R> {
    /// A collector beside the workers of `index`.
    pub(crate) fn new(node: Arc<Node<R>>, index: Index, changed: Arc<tokio::sync::Notify>) -> Self {
        let images = Arc::new(ImageCollector::new(node.runtime.clone(), changed));
        Self { node, index, images }
    }
    /// Collects for ever. The index must hold all pods of the API.
    pub(crate) async fn run(&self, mut over: mpsc::UnboundedReceiver<String>) {
        let (mut sweeps, mut disks) = (interval(SWEEP), interval(IMAGES));
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        disks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(uid) = over.recv() => self.collect_one(&uid).await,
                _ = sweeps.tick() => self.sweep().await,
                _ = disks.tick() => self.images.collect_if_full(self.node.clock.now()).await,
            }
        }
    }
    /// Removes everything that can be spared: the node runs out of disk.
    pub(crate) async fn reclaim(&self) {
        self.sweep().await;
        self.images.collect_all(self.node.clock.now()).await;
    }
    /// Compares everything with the pods of the API.
    async fn sweep(&self) {
        let left = match self.look().await {
            Ok(left) => left,
            Err(error) => return tracing::debug!(%error, "what is left of pods cannot be read"),
        };
        for uid in left.uids().filter(|uid| !self.index.holds(uid)) {
            self.remove(uid, &left).await;
        }
    }
    async fn collect_one(&self, uid: &str) {
        if self.index.holds(uid) {
            return;
        }
        match self.look_for(uid).await {
            Ok(left) => self.remove(uid, &left).await,
            Err(error) => tracing::debug!(uid, %error, "what is left of a pod cannot be read"),
        }
    }
    async fn look(&self) -> Result<Left, Error> {
        let (sandboxes, containers) =
            try_join(self.node.runtime.sandboxes(), self.node.runtime.containers()).await?;
        let mut left = self.left(sandboxes, containers).await;
        left.others = self.node.volumes.known().unwrap_or_default();
        left.others.extend(self.node.cgroups.known());
        Ok(left)
    }
    async fn look_for(&self, uid: &str) -> Result<Left, Error> {
        let runtime = &self.node.runtime;
        let (sandboxes, containers) = try_join(runtime.sandboxes_of(uid), runtime.containers_of(uid)).await?;
        Ok(self.left(sandboxes, containers).await)
    }
    async fn left(&self, sandboxes: Vec<Sandbox>, containers: Vec<Container>) -> Left {
        let mut left = Left { logs: logs(&self.node.config.pod_logs).await, ..Left::default() };
        let has_sandbox: BTreeSet<String> = sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        for sandbox in sandboxes.into_iter().filter(|sandbox| !sandbox.uid.is_empty()) {
            left.sandboxes.entry(sandbox.uid.clone()).or_default().push(sandbox);
        }
        for container in containers.into_iter().filter(|container| !has_sandbox.contains(&container.sandbox))
        {
            if let Some(uid) = container.labels.get(labels::POD_UID).cloned() {
                left.containers.entry(uid).or_default().push(container);
            }
        }
        left
    }
    async fn remove(&self, uid: &str, left: &Left) {
        if let Err(error) = self.try_remove(uid, left).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(uid, %error, cause, "what is left of a pod stays for now");
        } else {
            tracing::info!(uid, "removed what was left of a pod");
        }
    }
    async fn try_remove(&self, uid: &str, left: &Left) -> Result<(), CollectError> {
        let Node { runtime, volumes, cgroups, probes, .. } = &*self.node;
        probes.forget(uid);
        for sandbox in left.sandboxes.get(uid).into_iter().flatten() {
            if sandbox.state == SandboxState::Ready {
                runtime.stop_sandbox(&sandbox.id).await?;
            }
            runtime.remove_sandbox(&sandbox.id).await?;
        }
        for container in left.containers.get(uid).into_iter().flatten() {
            if container.state != ContainerState::Exited {
                runtime.stop_container(&container.id, Duration::ZERO).await?;
            }
            runtime.remove_container(&container.id).await?;
        }
        self.node.release_images(uid).await.map_err(CollectError::Images)?;
        volumes.unmount(uid).await.map_err(CollectError::Volumes)?;
        cgroups.remove(uid).map_err(CollectError::Cgroup)?;
        match left.logs.get(uid) {
            Some(folder) => remove_folder(folder).await.map_err(CollectError::Logs),
            None => Ok(()),
        }
    }
}

impl Left {
    fn uids(&self) -> impl Iterator<Item = &String> {
        let mut all: BTreeSet<&String> = self.others.iter().collect();
        all.extend(self.sandboxes.keys().chain(self.containers.keys()).chain(self.logs.keys()));
        all.into_iter()
    }
}

/// Folders of logs, by uid: `NAMESPACE_NAME_UID`.
async fn logs(root: &Path) -> BTreeMap<String, PathBuf> {
    let mut folders = BTreeMap::new();
    let Ok(mut entries) = tokio::fs::read_dir(root).await else { return folders };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name();
        if let Some((_, uid)) = name.to_str().and_then(|name| name.rsplit_once('_')) {
            folders.insert(uid.to_owned(), entry.path());
        }
    }
    folders
}

async fn remove_folder(folder: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
