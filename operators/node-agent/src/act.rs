//! Carries steps of a plan out: the only code of the agent that changes runtime, kernel and API for a pod.
//!
//! Invariants: every step may be repeated; a step that fails says why in what it returns, and in an event; nothing here
//! decides. Deliberately absent: retries (the next plan has them) and waiting for anything but the step itself.
//! Upstream: pkg/kubelet/kuberuntime (SyncPod, startContainer, killContainer).

pub(crate) mod cgroups;
mod container;
pub(crate) mod tell;

use crate::{
    AgentConfig,
    build::{self, NodeFacts},
    hooks::Hooks,
    images::{ImageError, Images, Wanted},
    plan::{Step, containers, resize::Limits},
    probes::{Probes, Target},
    sources::Sources,
    volumes::{self, Mounted, VolumeError, Volumes},
};
use cgroups::Cgroups;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ImageVolumeSource, Pod};
use proa_kit::{Clock, Error as ApiError, ObjectRef, Writer, action::Action};
use proa_runtime_shim::{ContainerStatus, DnsConfig, Error, Image, Runtime, Sandbox};
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tell::Teller;

/// Everything that steps are carried out with; one for all pods.
pub(crate) struct Node<R> {
    pub(crate) runtime: R,
    /// As container ids name it.
    pub(crate) runtime_name: String,
    pub(crate) config: Arc<AgentConfig>,
    pub(crate) facts: NodeFacts,
    pub(crate) dns: DnsConfig,
    pub(crate) sources: Sources,
    pub(crate) volumes: Volumes,
    pub(crate) probes: Probes<R>,
    pub(crate) hooks: Hooks<R>,
    pub(crate) images: Images<R>,
    pub(crate) cgroups: Cgroups,
    pub(crate) writer: Writer,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a step needs besides its own words.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) pod: Arc<Pod>,
    pub(crate) teller: Teller,
    /// The newest sandbox.
    pub(crate) sandbox: Option<Sandbox>,
    pub(crate) containers: Arc<[ContainerStatus]>,
    pub(crate) mounted: Arc<Mounted>,
    /// The image of the container that is started.
    pub(crate) image: Option<Image>,
    /// What the pod's cgroup shall have.
    pub(crate) limits: Limits,
    /// CPU shares of all burstable pods of the node together.
    pub(crate) burstable_shares: i64,
    /// Told the id of what was created, before it can end.
    pub(crate) register: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What came of a step.
pub(crate) enum Outcome {
    /// Volumes are there, or some are not.
    Prepared(Result<Mounted, String>),
    /// A sandbox was made, or not.
    Sandboxed(Result<(), String>),
    /// An image is here, or not.
    Imaged { container: String, result: Result<Image, ImageError> },
    /// A container was started, or not.
    Started { container: String, result: Result<String, StartError> },
    /// Limits were changed, or not.
    Resized(Result<(), String>),
    /// A post-start hook ended.
    PostStarted { container: String, id: String, result: Result<(), String> },
    /// A pre-stop hook ended.
    PreStopped { id: String },
    /// Something in the runtime was stopped or removed, or not.
    Changed(Result<(), String>),
    /// Volumes and cgroup are gone, or not.
    Released(Result<(), String>),
    /// The API object is deleted, or not.
    Deleted(Result<(), String>),
}

/// Why a container does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartError {
    /// `CreateContainerConfigError`, `CreateContainerError`, `RunContainerError`.
    pub(crate) reason: &'static str,
    /// Text for people.
    pub(crate) message: String,
}

impl<R: Runtime> Node<R> {
    /// Carries a step out.
    pub(crate) async fn perform(&self, step: Step, subject: Subject) -> Outcome {
        match step {
            Step::Prepare => Outcome::Prepared(self.prepare(&subject).await),
            Step::Sandbox { attempt } => Outcome::Sandboxed(self.sandbox(&subject, attempt).await),
            Step::Image { container } => self.image(&subject, container).await,
            Step::Start { container, attempt } => {
                let result = self.start(&subject, &container, attempt).await;
                Outcome::Started { container, result }
            }
            Step::Resize { limits, containers } => {
                Outcome::Resized(self.resize(&subject, limits, &containers).await)
            }
            Step::PostStart { container, id } => self.post_start(&subject, container, id).await,
            Step::PreStop { container, id, deadline } => {
                if let Some(target) = self.target(&subject, &container, &id) {
                    self.hooks.pre_stop(&target, self.until(deadline)).await;
                }
                Outcome::PreStopped { id }
            }
            Step::Stop { id, deadline } => {
                Outcome::Changed(text(self.runtime.stop_container(&id, self.until(deadline)).await))
            }
            Step::StopSandbox { id } => Outcome::Changed(text(self.runtime.stop_sandbox(&id).await)),
            Step::RemoveContainer { id } => Outcome::Changed(self.remove(&subject, &id).await),
            Step::RemoveSandbox { id } => Outcome::Changed(text(self.runtime.remove_sandbox(&id).await)),
            Step::Release => Outcome::Released(self.release(&subject).await),
            Step::Delete => Outcome::Deleted(self.delete(subject.teller.reference()).await),
        }
    }
    async fn prepare(&self, subject: &Subject) -> Result<Mounted, String> {
        let (pod, teller) = (&subject.pod, &subject.teller);
        let made = self.make_cgroup(subject, subject.limits);
        if let Err(error) = &made {
            teller.warn_pod(
                "FailedCreatePodContainer",
                &format!("unable to ensure pod container exists: {error}"),
            );
        }
        made?;
        let mut mounted = self.volumes.mount(pod, &self.addresses(subject)).await;
        for (name, source) in volumes::images::of(pod) {
            match self.image_volume(subject, name, source).await {
                Ok(path) => drop(mounted.paths.insert(name.to_owned(), path)),
                Err(why) => mounted.unmet.push(VolumeError::new(name, &why)),
            }
        }
        for unmet in &mounted.unmet {
            teller.warn_pod(unmet.reason, &unmet.message);
        }
        Ok(mounted)
    }
    /// Mounts an image where a volume is, unless it is there.
    async fn image_volume(
        &self,
        subject: &Subject,
        volume: &str,
        source: &ImageVolumeSource,
    ) -> Result<PathBuf, String> {
        let uid = build::uid(&subject.pod);
        let at = volumes::images::directory(&self.config.root, uid, volume);
        if volumes::images::make(&at).await.map_err(|error| error.to_string())? {
            return Ok(at);
        }
        let image = self.images.ensure(&subject.pod, Wanted::Volume(source), &subject.teller).await;
        let image = image.map_err(|error| format!("{}: {}", error.reason, error.message))?;
        let mounted = self.runtime.mount_image(&image.id, uid, volume, &at).await;
        mounted.map(|()| at).map_err(|error| error.to_string())
    }
    /// Unmounts the images that are volumes of a pod, and lets the runtime remove them.
    pub(crate) async fn release_images(&self, uid: &str) -> Result<(), String> {
        if !volumes::images::unmount(&self.config.root, uid).await.map_err(|error| error.to_string())? {
            return Ok(());
        }
        self.runtime.release_image_mounts(uid).await.map_err(|error| error.to_string())
    }
    fn make_cgroup(&self, subject: &Subject, limits: Limits) -> Result<(), String> {
        let cgroup = build::resources::cgroup(&subject.pod, &self.config.cgroup_parent);
        let made = self.cgroups.weigh(subject.burstable_shares);
        let made = made.and_then(|()| self.cgroups.make(&cgroup, &limits.linux()));
        made.map_err(|error| error.to_string())
    }
    async fn sandbox(&self, subject: &Subject, attempt: u32) -> Result<(), String> {
        let made = match build::sandbox(&subject.pod, &self.config, attempt, &self.dns) {
            Ok(config) => match make_directory(&config.log_directory).await {
                Ok(()) => self.runtime.run_sandbox(&config).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            Err(refused) => Err(refused.to_string()),
        };
        match made {
            Ok(id) => {
                (subject.register)(&id);
                Ok(())
            }
            Err(message) => {
                let note = format!("Failed to create pod sandbox: {message}");
                subject.teller.warn_pod("FailedCreatePodSandBox", &note);
                Err(message)
            }
        }
    }
    async fn image(&self, subject: &Subject, container: String) -> Outcome {
        let Some(spec) = containers::find(&subject.pod, &container) else {
            let message = "the container is no longer in the pod".to_owned();
            let result = Err(ImageError { reason: "ErrImagePull", message });
            return Outcome::Imaged { container, result };
        };
        let result = self.images.ensure(&subject.pod, Wanted::Container(spec), &subject.teller).await;
        if let Err(error) = &result {
            subject.teller.warn(spec, "Failed", &format!("Error: {}", error.reason));
        }
        Outcome::Imaged { container, result }
    }
    async fn post_start(&self, subject: &Subject, container: String, id: String) -> Outcome {
        let result = match self.target(subject, &container, &id) {
            Some(target) => self.hooks.post_start(&target).await.map_err(|error| error.to_string()),
            None => Ok(()),
        };
        Outcome::PostStarted { container, id, result }
    }
    /// What a hook or probe is aimed at.
    fn target(&self, subject: &Subject, container: &str, id: &str) -> Option<Target> {
        let spec = build::containers::find(&subject.pod, container)?.spec.into_owned();
        let address = self.addresses(subject).first().copied().unwrap_or(self.config.address);
        Some(Target::new(&subject.pod, spec, id.to_owned(), address))
    }
    /// The pod's addresses; the node's on its network.
    fn addresses(&self, subject: &Subject) -> Vec<IpAddr> {
        if build::is_host_network(&subject.pod) {
            return vec![self.config.address];
        }
        subject.sandbox.as_ref().map(|sandbox| sandbox.addresses.clone()).unwrap_or_default()
    }
    fn until(&self, deadline: Timestamp) -> Duration {
        Duration::try_from(deadline.duration_since(self.clock.now())).unwrap_or_default()
    }
    /// Removes a dead container with its log.
    async fn remove(&self, subject: &Subject, id: &str) -> Result<(), String> {
        text(self.runtime.remove_container(id).await)?;
        let Some(status) = subject.containers.iter().find(|status| status.container.id == id) else {
            return Ok(());
        };
        remove_logs(&status.log_path).await.map_err(|error| error.to_string())
    }
    async fn release(&self, subject: &Subject) -> Result<(), String> {
        let uid = build::uid(&subject.pod);
        self.probes.forget(uid);
        self.release_images(uid).await?;
        self.volumes.unmount(uid).await.map_err(|error| error.to_string())?;
        let removed = self.cgroups.remove(uid).and_then(|()| self.cgroups.weigh(subject.burstable_shares));
        removed.map_err(|error| error.to_string())
    }
    async fn delete(&self, pod: &ObjectRef) -> Result<(), String> {
        let results = self.writer.act(&[Action::delete(pod.clone()).within(0)]).await;
        match results.error() {
            // Another pod of that name: this one is gone.
            Some(error) if error.is_conflict() => Ok(()),
            Some(error) => Err(ApiError::message(error)),
            None => Ok(()),
        }
    }
}

fn text(result: Result<(), Error>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

async fn make_directory(path: &Path) -> std::io::Result<()> {
    tokio::fs::create_dir_all(path).await
}

/// Removes a log and what it was rotated to.
async fn remove_logs(log: &Path) -> std::io::Result<()> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else { return Ok(()) };
    let name = name.to_string_lossy().into_owned();
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        let own = entry.file_name();
        let own = own.to_string_lossy();
        if *own == *name || own.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.')) {
            match tokio::fs::remove_file(entry.path()).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
