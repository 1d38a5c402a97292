//! A runtime in memory, for tests of what drives one.
//!
//! Owns: sandboxes and containers that exist as records only. What a container does follows from its words (command and
//! arguments), see [`program`](self::program); a test may also end one by hand, let calls fail, or take the whole
//! runtime away. Invariants: clones share everything, so a new agent with the same fake is an agent that was restarted;
//! time is tokio's, so a paused clock works. Deliberately absent: images' contents, networks, limits.

pub mod program;
mod state;

use crate::{
    Container, ContainerConfig, ContainerState, ContainerStats, ContainerStatus, Error, Event, ExecOutput,
    FilesystemUsage, Image, LinuxResources, RegistryAuth, Result, Runtime, Sandbox, SandboxConfig,
    SandboxState, SandboxStats, Streams, Version,
};
use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use parking_lot::Mutex;
use program::Program;
use state::State;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Answers a command that is run in a container.
type Answer = dyn Fn(&Container, &[String]) -> Result<ExecOutput> + Send + Sync;

/// What pulling an image does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pull {
    /// How many pulls fail before one works.
    pub failures: u32,
    /// What a failure says.
    pub why: String,
    /// How long a pull takes.
    pub takes: Duration,
    /// What is there after it worked; id, tags and digests are made up where they are empty.
    pub image: Image,
}

/// A runtime in memory.
#[derive(Clone, Default)]
pub struct Fake {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    listeners: Mutex<Vec<mpsc::UnboundedSender<Event>>>,
    answer: Mutex<Option<Arc<Answer>>>,
}

/// What a test does to the runtime and reads from it.
impl Fake {
    /// An empty runtime in which every image can be pulled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what pulling `reference` does. Other images are there at once.
    pub fn on_pull(&self, reference: &str, pull: Pull) {
        self.shared.state.lock().pulls.insert(reference.to_owned(), pull);
    }

    /// Puts an image there without a pull.
    pub fn add_image(&self, reference: &str) {
        self.shared.state.lock().add_image(reference, Image::default());
    }

    /// Answers commands run in containers by `answer` instead of by their words.
    pub fn on_exec(
        &self,
        answer: impl Fn(&Container, &[String]) -> Result<ExecOutput> + Send + Sync + 'static,
    ) {
        *self.shared.answer.lock() = Some(Arc::new(answer));
    }

    /// Lets the next `times` calls of `operation` (name of the trait's function) fail with `message`.
    pub fn fail(&self, operation: &'static str, times: u32, message: &str) {
        self.shared.state.lock().failures.insert(operation, (times, message.to_owned()));
    }

    /// Ends a running container, as if its first process ended.
    pub fn exit(&self, id: &str, code: i32) {
        self.finish(id, code, program::reason(code));
    }

    /// Ends a running container for lack of memory.
    pub fn run_out_of_memory(&self, id: &str) {
        if self.shared.state.lock().is_running(id) {
            self.send(&Event::OutOfMemory { id: id.to_owned() });
        }
        self.finish(id, 137, "OOMKilled");
    }

    /// Ends a sandbox and all that runs in it, as if its first process were killed.
    pub fn lose_sandbox(&self, id: &str) {
        let running = self.shared.state.lock().running_in(id);
        for container in running {
            self.finish(&container, 137, "Error");
        }
        self.shared.state.lock().set_not_ready(id);
        self.send(&Event::Exited { id: id.to_owned() });
    }

    /// Takes the runtime away: all calls fail and event streams end. Containers go on.
    pub fn go_away(&self) {
        self.shared.state.lock().is_away = true;
        self.shared.listeners.lock().clear();
    }

    /// Brings the runtime back.
    pub fn come_back(&self) {
        self.shared.state.lock().is_away = false;
    }

    /// Says what a container uses.
    pub fn set_stats(&self, stats: ContainerStats) {
        self.shared.state.lock().stats.insert(stats.id.clone(), stats);
    }

    /// The calls that change something, in order: name of the function, a space, the name or id that was given.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.shared.state.lock().calls.clone()
    }

    /// The configuration a container was made from.
    #[must_use]
    pub fn config_of(&self, container: &str) -> Option<ContainerConfig> {
        self.shared.state.lock().containers.get(container).map(|record| record.config.clone())
    }

    /// The limits a container has now.
    #[must_use]
    pub fn resources_of(&self, container: &str) -> Option<LinuxResources> {
        self.shared.state.lock().containers.get(container).map(|record| record.resources.clone())
    }

    /// The configuration a sandbox was made from.
    #[must_use]
    pub fn sandbox_config_of(&self, sandbox: &str) -> Option<SandboxConfig> {
        self.shared.state.lock().sandboxes.get(sandbox).map(|record| record.config.clone())
    }
}

impl Fake {
    fn send(&self, event: &Event) {
        self.shared.listeners.lock().retain(|listener| listener.send(event.clone()).is_ok());
    }

    fn finish(&self, id: &str, code: i32, reason: &str) {
        if self.shared.state.lock().finish(id, code, reason) {
            self.send(&Event::Exited { id: id.to_owned() });
        }
    }

    /// Notes a call, and refuses it if the test wants that.
    fn enter(&self, operation: &'static str, on: &str) -> Result<()> {
        self.shared.state.lock().enter(operation, on)
    }

    fn look(&self) -> Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.shared.state.lock();
        state.check_here()?;
        Ok(state)
    }

    /// Lets a container that was started do what its words say.
    fn run(&self, id: &str, program: Program) {
        match program {
            Program::Exit { after, code } if after.is_zero() => self.exit(id, code),
            Program::Exit { after, code } => {
                let (fake, id) = (self.clone(), id.to_owned());
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    fake.exit(&id, code);
                });
            }
            Program::OutOfMemory => self.run_out_of_memory(id),
            Program::Run | Program::Stubborn | Program::NoStart => {}
        }
    }

    async fn end(&self, id: &str, grace: Duration) {
        let Some(program) = self.shared.state.lock().running_program(id) else { return };
        if program == Program::Stubborn {
            tokio::time::sleep(grace).await;
            self.exit(id, 137);
        } else {
            self.exit(id, 0);
        }
    }

    async fn wait_for_pull(&self, reference: &str) {
        let takes = self.shared.state.lock().pulls.get(reference).map(|pull| pull.takes);
        if let Some(takes) = takes.filter(|takes| !takes.is_zero()) {
            tokio::time::sleep(takes).await;
        }
    }
}

impl Runtime for Fake {
    async fn version(&self) -> Result<Version> {
        self.shared.state.lock().check_here()?;
        Ok(Version { name: "fake".to_owned(), version: "1".to_owned() })
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        self.enter("run_sandbox", &config.name)?;
        let id = self.shared.state.lock().add_sandbox(config);
        self.send(&Event::Started { id: id.clone() });
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        self.enter("stop_sandbox", id)?;
        if self.look()?.sandboxes.get(id).is_some_and(|s| s.sandbox.state == SandboxState::Ready) {
            self.lose_sandbox(id);
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.stop_sandbox(id).await?;
        self.enter("remove_sandbox", id)?;
        let mut state = self.shared.state.lock();
        state.sandboxes.remove(id);
        state.containers.retain(|_, record| record.status.container.sandbox != id);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        Ok(self.look()?.sandboxes.values().map(|record| record.sandbox.clone()).collect())
    }

    async fn sandboxes_of(&self, pod_uid: &str) -> Result<Vec<Sandbox>> {
        Ok(self.look()?.sandboxes_of(pod_uid))
    }

    async fn create_container(
        &self,
        sandbox: &str,
        config: &ContainerConfig,
        of: &SandboxConfig,
    ) -> Result<String> {
        self.enter("create_container", &config.name)?;
        self.shared.state.lock().add_container(sandbox, config, of)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        self.enter("start_container", id)?;
        let program = self.shared.state.lock().start(id)?;
        self.send(&Event::Started { id: id.to_owned() });
        self.run(id, program);
        Ok(())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        self.enter("stop_container", id)?;
        self.end(id, grace).await;
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.enter("remove_container", id)?;
        self.shared.state.lock().remove_container(id)
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        Ok(self.look()?.containers.values().map(|record| record.status.container.clone()).collect())
    }

    async fn containers_of(&self, pod_uid: &str) -> Result<Vec<Container>> {
        Ok(self.look()?.containers_of(pod_uid))
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        Ok(self.look()?.container(id)?.status.clone())
    }

    async fn update_container(&self, id: &str, resources: &LinuxResources) -> Result<()> {
        self.enter("update_container", id)?;
        self.shared.state.lock().container_mut(id)?.resources = resources.clone();
        Ok(())
    }

    async fn reopen_log(&self, id: &str) -> Result<()> {
        self.enter("reopen_log", id)?;
        self.shared.state.lock().reopen_log(id)
    }

    async fn container_stats(&self) -> Result<Vec<ContainerStats>> {
        Ok(self.look()?.all_stats())
    }

    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>> {
        Ok(self.look()?.all_sandbox_stats())
    }

    async fn exec(&self, container: &str, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        let of = self.look()?.container(container)?.status.container.clone();
        if of.state != ContainerState::Running {
            return Err(Error::Failed {
                operation: "exec",
                message: "the container does not run".to_owned(),
            });
        }
        let answer = self.shared.answer.lock().clone();
        match answer {
            Some(answer) => answer(&of, command),
            None => program::exec(command, timeout).await,
        }
    }

    async fn exec_url(&self, container: &str, _command: &[String], _streams: Streams) -> Result<String> {
        self.look()?.container(container)?;
        Ok(format!("http://127.0.0.1:1/exec/{container}"))
    }

    async fn attach_url(&self, container: &str, _streams: Streams) -> Result<String> {
        self.look()?.container(container)?;
        Ok(format!("http://127.0.0.1:1/attach/{container}"))
    }

    async fn port_forward_url(&self, sandbox: &str) -> Result<String> {
        self.look()?.sandbox(sandbox)?;
        Ok(format!("http://127.0.0.1:1/portforward/{sandbox}"))
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        Ok(self.look()?.image(reference))
    }

    async fn pull_image(&self, reference: &str, _auth: Option<&RegistryAuth>) -> Result<String> {
        self.enter("pull_image", reference)?;
        self.wait_for_pull(reference).await;
        self.shared.state.lock().pull(reference)
    }

    async fn images(&self) -> Result<Vec<Image>> {
        Ok(self.look()?.images.clone())
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        self.enter("remove_image", reference)?;
        self.shared.state.lock().remove_image(reference);
        Ok(())
    }

    /// A file with the image's id is all there is of it.
    async fn mount_image(&self, image: &str, _pod_uid: &str, volume: &str, at: &Path) -> Result<()> {
        self.enter("mount_image", volume)?;
        let failed =
            |error: std::io::Error| Error::Failed { operation: "mount_image", message: error.to_string() };
        std::fs::write(at.join("id"), image).map_err(failed)
    }

    async fn release_image_mounts(&self, pod_uid: &str) -> Result<()> {
        self.enter("release_image_mounts", pod_uid)
    }

    async fn image_filesystem(&self) -> Result<FilesystemUsage> {
        let used_bytes = self.look()?.images.iter().map(|image| image.size).sum();
        Ok(FilesystemUsage { mountpoint: "/".into(), used_bytes, used_inodes: 0 })
    }

    fn events(&self) -> BoxStream<'static, Result<Event>> {
        if let Err(error) = self.look() {
            return stream::iter([Err(error)]).boxed();
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared.listeners.lock().push(sender);
        stream::unfold(receiver, async |mut receiver| Some((Ok(receiver.recv().await?), receiver))).boxed()
    }
}

/// Now, to the precision that containerd has.
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
