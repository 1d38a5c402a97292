//! Volumes of pods: made before containers start, kept up to date, removed when the pod is gone.
//!
//! Owns: everything below `ROOT/pods`, laid out as upstream lays it out, and the mounts there, in the agent's mount
//! namespace. Invariants: [`Volumes::mount`] may be repeated and changes nothing that is right; content of ConfigMaps,
//! Secrets and the rest is swapped whole, so a reader never sees half of it; what the agent left behind is found again
//! from the disk and the kernel's table of mounts (N4); no path that a container could have bent is followed out of its
//! volume. Work on one pod is done one after the other. Persistent volumes are directories of the node that outlive pods:
//! nothing of them is made or removed here. Deliberately absent: CSI and network file systems (`supported` and `claimed`
//! refuse them), the size of `emptyDir` on disk (`eviction` watches it).
//! Upstream: `pkg/volume/{emptydir,configmap,secret,projected,downwardapi,hostpath}`, `pkg/volume/util`.

mod atomic;
pub(crate) mod beneath;
mod claimed;
mod empty_dir;
mod files;
mod gather;
mod host_path;
pub(crate) mod images;
pub(crate) mod layout;
mod mount_table;
mod ownership;
mod payload;
mod subpath;
mod teardown;
mod trust;

pub(crate) use claimed::is_read_only;
pub(crate) use files::ContainerFiles;

use crate::{
    AgentConfig,
    build::{ContainerRef, NodeFacts, Refused, uid},
    sources::Sources,
};
use claimed::{Claimed, Group};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, Volume};
use layout::Layout;
use ownership::Ownership;
use parking_lot::Mutex;
use payload::Payload;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// Reason of the event about a volume that cannot be made.
pub(crate) const FAILED_MOUNT: &str = "FailedMount";

/// Pods that are refreshed at a time.
const REFRESHES: usize = 8;

/// Why a volume cannot be made now. The next attempt may work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct VolumeError {
    /// Name of the volume in its pod.
    pub(crate) volume: String,
    /// Reason of the event.
    pub(crate) reason: &'static str,
    /// Message for the user.
    pub(crate) message: String,
}

impl VolumeError {
    /// The volume of that name.
    pub(crate) fn new(volume: &str, why: &str) -> Self {
        let message = format!("MountVolume.SetUp failed for volume {volume:?} : {why}");
        Self { volume: volume.to_owned(), reason: FAILED_MOUNT, message }
    }
    /// What its claim stands for is not known.
    fn unprocessed(volume: &str, why: &str) -> Self {
        let message = format!(
            "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to process \
             volumes=[{volume}]: {why}"
        );
        Self { volume: volume.to_owned(), reason: FAILED_MOUNT, message }
    }
}

/// The volumes of a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mounted {
    /// Path on the node, by name of the volume; only volumes that containers use.
    pub(crate) paths: BTreeMap<String, PathBuf>,
    /// Those that could not be made. Containers must wait until there are none.
    pub(crate) unmet: Vec<VolumeError>,
}

/// See the module's text. Clones share everything.
#[derive(Clone)]
pub(crate) struct Volumes(Arc<Inner>);

struct Inner {
    layout: Layout,
    config: Arc<AgentConfig>,
    facts: NodeFacts,
    sources: Sources,
    pods: Mutex<HashMap<String, Arc<Present>>>,
}

/// A pod that has volumes. The lock is held for as long as one of its operations takes.
#[derive(Default)]
struct Present {
    turn: tokio::sync::Mutex<()>,
    latest: Mutex<Option<(Arc<Pod>, Vec<IpAddr>)>>,
    /// What its claims stand for, by volume: that does not change while it is here.
    claimed: Mutex<HashMap<String, Claimed>>,
}

/// What is to be done for one volume, with everything at hand.
enum Work {
    EmptyDir { directory: PathBuf, kind: empty_dir::Kind },
    Content { directory: PathBuf, kind: empty_dir::Kind, payload: Payload },
    HostPath { path: PathBuf, type_: String },
    Claimed { claimed: Claimed, mark: PathBuf, group: Option<Group> },
}

impl Volumes {
    /// Volumes below the agent's directory.
    pub(crate) fn new(config: Arc<AgentConfig>, sources: Sources, facts: NodeFacts) -> Self {
        let layout = Layout::new(&config.root);
        Self(Arc::new(Inner { layout, config, facts, sources, pods: Mutex::default() }))
    }

    /// Makes the volumes that the pod's containers use, and brings those that are there up to date.
    pub(crate) async fn mount(&self, pod: &Arc<Pod>, pod_ips: &[IpAddr]) -> Mounted {
        let present = self.present(uid(pod));
        let _turn = present.turn.lock().await;
        *present.latest.lock() = Some((pod.clone(), pod_ips.to_vec()));
        self.0.sources.register(pod);
        self.mount_all(pod, pod_ips).await
    }

    async fn mount_all(&self, pod: &Arc<Pod>, pod_ips: &[IpAddr]) -> Mounted {
        let mut mounted = Mounted::default();
        for volume in used_volumes(pod) {
            match self.mount_one(pod, pod_ips, volume).await {
                Ok(path) => drop(mounted.paths.insert(volume.name.clone(), path)),
                Err(unmet) => mounted.unmet.push(unmet),
            }
        }
        mounted
    }

    async fn mount_one(
        &self,
        pod: &Arc<Pod>,
        pod_ips: &[IpAddr],
        volume: &Volume,
    ) -> Result<PathBuf, VolumeError> {
        let failed = |why: String| VolumeError::new(&volume.name, &why);
        let work = match claimed::claim_name(pod, volume) {
            Some(claim) => self.claimed(pod, volume, claim).await?,
            None => self.work(pod, pod_ips, volume).await.map_err(failed)?,
        };
        let ownership = Ownership::of(pod);
        let pod_directory = self.0.layout.pod(uid(pod));
        blocking(move || {
            layout::make_private(&pod_directory)?;
            carry_out(&work, &ownership)
        })
        .await
        .map_err(|error| failed(error.to_string()))
    }

    async fn claimed(
        &self,
        pod: &Arc<Pod>,
        volume: &Volume,
        (claim, is_own): (String, bool),
    ) -> Result<Work, VolumeError> {
        let Inner { layout, sources, config, .. } = &*self.0;
        let present = self.present(uid(pod));
        let known = present.claimed.lock().get(&volume.name).cloned();
        let claimed = match known {
            Some(claimed) => claimed,
            None => claimed::find(pod, volume, (&claim, is_own), sources, &config.node)
                .await
                .map_err(|why| VolumeError::unprocessed(&volume.name, &why))?,
        };
        present.claimed.lock().insert(volume.name.clone(), claimed.clone());
        let group = Group::of(pod, volume, Ownership::of(pod).fs_group);
        Ok(Work::Claimed { claimed, mark: layout.volume(uid(pod), claimed::PLUGIN, &volume.name), group })
    }

    async fn work(&self, pod: &Arc<Pod>, pod_ips: &[IpAddr], volume: &Volume) -> Result<Work, String> {
        let Inner { layout, facts, sources, .. } = &*self.0;
        if let Some(source) = &volume.host_path {
            let type_ = source.type_.clone().unwrap_or_default();
            return Ok(Work::HostPath { path: source.path.clone().into(), type_ });
        }
        let plugin = layout::plugin(volume).ok_or("this node does not have this type of volume")?;
        let directory = layout.volume(uid(pod), plugin, &volume.name);
        let kind = empty_dir::Kind::of(pod, volume, facts);
        if volume.empty_dir.is_some() {
            return Ok(Work::EmptyDir { directory, kind });
        }
        let payload = gather::payload(pod, volume, sources, pod_ips, facts).await?;
        Ok(Work::Content { directory, kind, payload })
    }

    /// The files that one container is given: its mounts, the hosts file, the file for its last message. Makes them, and
    /// the directory of its log.
    pub(crate) async fn prepare(
        &self,
        pod: &Arc<Pod>,
        container: &ContainerRef<'_>,
        attempt: u32,
        env: &[(String, String)],
        pod_ips: &[IpAddr],
        mounted: &Mounted,
    ) -> Result<ContainerFiles, Refused> {
        let present = self.present(uid(pod));
        let _turn = present.turn.lock().await;
        let request = files::Request {
            layout: self.0.layout.clone(),
            config: self.0.config.clone(),
            pod: pod.clone(),
            container: container.spec.clone().into_owned(),
            attempt,
            env: env.to_vec(),
            pod_ips: pod_ips.iter().map(ToString::to_string).collect(),
            paths: mounted.paths.clone(),
        };
        let made = tokio::task::spawn_blocking(move || files::make(&request)).await;
        made.unwrap_or_else(|error| Err(Refused::config(error.to_string())))
    }

    /// Unmounts and removes everything of a pod, known or left behind.
    pub(crate) async fn unmount(&self, pod_uid: &str) -> io::Result<()> {
        let present = self.present(pod_uid);
        let _turn = present.turn.lock().await;
        *present.latest.lock() = None;
        self.0.sources.release(pod_uid);
        let directory = self.0.layout.pod(pod_uid);
        let subpaths = self.0.layout.subpaths(pod_uid);
        blocking(move || teardown::remove(&directory, &subpaths)).await?;
        self.0.pods.lock().remove(pod_uid);
        Ok(())
    }

    /// UIDs of pods that something is left of: directories or mounts.
    pub(crate) fn known(&self) -> io::Result<BTreeSet<String>> {
        teardown::known(&self.0.layout.pods())
    }

    /// Keeps content up to date until shutdown: whenever something changes that pods use, their volumes are refreshed
    /// and `changed` is told, with what could not be refreshed.
    pub(crate) async fn run(
        &self,
        shutdown: CancellationToken,
        changed: impl Fn(&Arc<Pod>, &[VolumeError]) + Send + Sync,
    ) {
        let refresh = async {
            loop {
                let pods = stream::iter(self.0.sources.changed().await);
                let refreshed =
                    pods.for_each_concurrent(REFRESHES, |pod_uid| self.refresh(pod_uid, &changed));
                refreshed.await;
            }
        };
        shutdown.run_until_cancelled(refresh).await;
    }

    async fn refresh(&self, pod_uid: String, changed: &(impl Fn(&Arc<Pod>, &[VolumeError]) + Send + Sync)) {
        let Some(present) = self.0.pods.lock().get(&pod_uid).cloned() else { return };
        let _turn = present.turn.lock().await;
        // Looked up in turn: what was unmounted meanwhile must not come back.
        let latest = present.latest.lock().clone();
        let Some((pod, pod_ips)) = latest else { return };
        let mounted = self.mount_all(&pod, &pod_ips).await;
        changed(&pod, &mounted.unmet);
    }

    fn present(&self, pod_uid: &str) -> Arc<Present> {
        self.0.pods.lock().entry(pod_uid.to_owned()).or_default().clone()
    }
}

fn carry_out(work: &Work, ownership: &Ownership) -> io::Result<PathBuf> {
    match work {
        Work::HostPath { path, type_ } => host_path::check(path, type_).map(|()| path.clone()),
        Work::Claimed { claimed, mark, group } => claimed::set_up(claimed, mark, *group),
        Work::EmptyDir { directory, kind } => {
            empty_dir::make(directory, kind, ownership.fs_group).map(|()| directory.clone())
        }
        Work::Content { directory, kind, payload } => {
            empty_dir::make(directory, kind, None)?;
            atomic::write(directory, payload, ownership.fs_group)?;
            Ok(directory.clone())
        }
    }
}

/// The volumes that a container mounts or takes variables from, but images. Upstream makes no others.
fn used_volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let used = layout::used_names(pod);
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    // Images are mounted by the runtime.
    volumes.filter(move |volume| used.contains(&volume.name) && volume.image.is_none())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
