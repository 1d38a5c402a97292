//! Creating, starting and changing one container.

use super::{Node, StartError, Subject};
use crate::{
    build::{self, ContainerInputs, ContainerRef, Refused},
    env::{self, Surroundings},
    plan::{
        containers,
        resize::{Limits, Target},
    },
    supported,
};
use proa_runtime_shim::{ContainerConfig, ContainerState, Image, Runtime, Sandbox, SandboxConfig};

/// Everything that a container is created from.
struct Made {
    sandbox: String,
    config: ContainerConfig,
    of: SandboxConfig,
}

impl<R: Runtime> Node<R> {
    /// Creates and starts a container; its id.
    pub(super) async fn start(
        &self,
        subject: &Subject,
        container: &str,
        attempt: u32,
    ) -> Result<String, StartError> {
        let result = self.try_start(subject, container, attempt).await;
        if let (Err(error), Some(spec)) = (&result, containers::find(&subject.pod, container)) {
            subject.teller.warn(spec, "Failed", &format!("Error: {}", error.message));
        }
        result
    }
    async fn try_start(
        &self,
        subject: &Subject,
        container: &str,
        attempt: u32,
    ) -> Result<String, StartError> {
        let made = self.make(subject, container, attempt).await?;
        let spec = containers::find(&subject.pod, container);
        let tell = |reason: &str, note: &str| {
            if let Some(spec) = spec {
                subject.teller.tell(spec, reason, note);
            }
        };
        let failed =
            |reason| move |error: proa_runtime_shim::Error| StartError { reason, message: error.to_string() };
        let created = self.runtime.create_container(&made.sandbox, &made.config, &made.of).await;
        let id = created.map_err(failed("CreateContainerError"))?;
        (subject.register)(&id);
        tell("Created", "Container created");
        self.runtime.start_container(&id).await.map_err(failed("RunContainerError"))?;
        tell("Started", "Container started");
        Ok(id)
    }
    async fn make(&self, subject: &Subject, name: &str, attempt: u32) -> Result<Made, StartError> {
        let container = build::containers::find(&subject.pod, name)
            .ok_or_else(|| Refused::config("the container is no longer in the pod"))?;
        let sandbox = subject.sandbox.as_ref().ok_or_else(|| Refused::config("the pod has no sandbox"))?;
        let image = subject.image.as_ref().ok_or_else(|| Refused::config("the image is not there"))?;
        let config = self.configuration(subject, &container, attempt, sandbox, image).await?;
        let of = build::sandbox(&subject.pod, &self.config, sandbox.attempt, &self.dns)?;
        Ok(Made { sandbox: sandbox.id.clone(), config, of })
    }
    async fn configuration(
        &self,
        subject: &Subject,
        container: &ContainerRef<'_>,
        attempt: u32,
        sandbox: &Sandbox,
        image: &Image,
    ) -> Result<ContainerConfig, Refused> {
        let at = containers::find(&subject.pod, container.name()).map(containers::Spec::field_path);
        let at = at.unwrap_or_default();
        if let Some(why) = supported::container_refusal(&container.spec, &at, &self.facts) {
            return Err(Refused::config(why));
        }
        let (pod, mounted) = (&subject.pod, &*subject.mounted);
        let addresses = self.addresses(subject);
        let around = Surroundings { pod_ips: &addresses, facts: &self.facts, volumes: mounted };
        let env = env::resolve(pod, &container.spec, &self.sources, around).await?;
        let files = self.volumes.prepare(pod, container, attempt, &env, &addresses, mounted).await?;
        let inputs = ContainerInputs {
            image: image.id.clone(),
            image_uid: image.uid,
            image_username: image.username.clone(),
            env,
            files,
            attempt,
            target: target(subject, container, sandbox)?,
        };
        build::container(pod, container, &inputs, &self.config, &self.facts)
    }
    /// Changes the limits of the pod's cgroup, then those of containers to what their specs say now.
    pub(super) async fn resize(
        &self,
        subject: &Subject,
        limits: Limits,
        targets: &[Target],
    ) -> Result<(), String> {
        self.verify_memory(targets).await?;
        self.make_cgroup(subject, limits)?;
        for target in targets {
            let Some(container) = build::containers::find(&subject.pod, &target.container) else { continue };
            let limits = build::resources::of_container(&subject.pod, &container, &self.facts);
            let updated = self.runtime.update_container(&target.id, &limits).await;
            updated.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
    /// Containers that shall have less memory fit into it: where the kernel does not refuse, it kills.
    async fn verify_memory(&self, targets: &[Target]) -> Result<(), String> {
        if targets.iter().all(|target| target.shrinks_to.is_none()) {
            return Ok(());
        }
        let stats = self.runtime.container_stats().await.map_err(|error| error.to_string())?;
        for Target { container, id, shrinks_to } in targets {
            let Some(limit) = shrinks_to else { continue };
            let used = stats.iter().find(|stats| stats.id == *id).map_or(0, |stats| stats.working_set_bytes);
            if i64::try_from(used).is_ok_and(|used| used >= *limit) {
                return Err(format!(
                    "cannot decrease memory limits: attempting to set container {container:?} memory limit \
                     ({limit}) below current usage ({used})"
                ));
            }
        }
        Ok(())
    }
}

/// The container whose processes an ephemeral container shall see.
fn target(
    subject: &Subject,
    container: &ContainerRef<'_>,
    sandbox: &Sandbox,
) -> Result<Option<String>, Refused> {
    let Some(name) = container.target else { return Ok(None) };
    let runs = subject.containers.iter().find(|status| {
        status.container.name == name
            && status.container.state == ContainerState::Running
            && status.container.sandbox == sandbox.id
    });
    match runs {
        Some(status) => Ok(Some(status.container.id.clone())),
        None => Err(Refused::config(format!("unable to find target container \"{name}\""))),
    }
}

impl From<Refused> for StartError {
    fn from(refused: Refused) -> Self {
        Self { reason: refused.reason, message: refused.message }
    }
}
