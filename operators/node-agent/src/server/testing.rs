//! What the server's tests are made of: a runtime that does as told, its streaming server, pods, and clients.

pub(crate) mod client;
pub(crate) mod streaming;

use super::{ContainerEntry, ContainerRun, PodEntry, PodLookup};
use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use proa_runtime_shim::{
    Container, ContainerConfig, ContainerState, ContainerStats, ContainerStatus, Error, Event, ExecOutput,
    FilesystemUsage, Image, LinuxResources, RegistryAuth, Result, Runtime, Sandbox, SandboxConfig,
    SandboxStats, Streams, Version,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{broadcast, watch};

/// Stats of a container that uses nothing.
pub(crate) fn container_stats(
    id: &str,
    pod: &str,
    namespace: &str,
    uid: &str,
    container: &str,
) -> ContainerStats {
    let labels = [
        ("io.kubernetes.pod.name", pod),
        ("io.kubernetes.pod.namespace", namespace),
        ("io.kubernetes.pod.uid", uid),
        ("io.kubernetes.container.name", container),
    ];
    ContainerStats {
        id: id.to_owned(),
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        at: Timestamp::now(),
        cpu_nanoseconds: 0,
        working_set_bytes: 0,
        rss_bytes: 0,
        major_page_faults: 0,
        page_faults: 0,
        writable_layer_bytes: 0,
        writable_layer_inodes: 0,
    }
}

/// A command and its streams.
pub(crate) type Asked = (Vec<String>, Streams);

/// A runtime with one container, `c1`, that does as told.
#[derive(Clone)]
pub(crate) struct StubRuntime {
    /// Where its streaming server listens.
    pub(crate) streaming: String,
    /// The container's log.
    pub(crate) log: PathBuf,
    events: broadcast::Sender<Event>,
    running: watch::Sender<bool>,
    /// How often the log was opened anew.
    pub(crate) reopened: watch::Sender<usize>,
    /// What was asked for: commands and streams.
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
}

impl StubRuntime {
    pub(crate) fn new(log: &Path, streaming: String) -> Self {
        Self {
            streaming,
            log: log.to_owned(),
            events: broadcast::channel(16).0,
            running: watch::channel(true).0,
            reopened: watch::channel(0).0,
            asked: Arc::default(),
        }
    }

    /// Ends the container.
    pub(crate) fn end(&self) {
        self.running.send_replace(false);
        // Nobody may be listening.
        let _ = self.events.send(Event::Exited { id: "c1".to_owned() });
    }

    fn container(&self) -> Container {
        let is_running = *self.running.borrow();
        Container {
            id: "c1".to_owned(),
            sandbox: "s1".to_owned(),
            name: "app".to_owned(),
            attempt: 0,
            state: if is_running { ContainerState::Running } else { ContainerState::Exited },
            created: Timestamp::UNIX_EPOCH,
            image: String::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }
}

/// How many streams the runtime waits for: the errors' own, too.
fn count(streams: Streams) -> usize {
    let Streams { stdin, stdout, stderr, tty } = streams;
    1 + [stdin, stdout, stderr, tty].into_iter().filter(|wanted| *wanted).count()
}

fn unsupported<T>(operation: &'static str) -> Result<T> {
    Err(Error::Failed { operation, message: "this stub does not do that".to_owned() })
}

impl Runtime for StubRuntime {
    async fn version(&self) -> Result<Version> {
        Ok(Version::default())
    }
    async fn run_sandbox(&self, _: &SandboxConfig) -> Result<String> {
        unsupported("RunPodSandbox")
    }
    async fn stop_sandbox(&self, _: &str) -> Result<()> {
        unsupported("StopPodSandbox")
    }
    async fn remove_sandbox(&self, _: &str) -> Result<()> {
        unsupported("RemovePodSandbox")
    }
    async fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        Ok(Vec::new())
    }
    async fn sandboxes_of(&self, _: &str) -> Result<Vec<Sandbox>> {
        Ok(Vec::new())
    }
    async fn create_container(&self, _: &str, _: &ContainerConfig, _: &SandboxConfig) -> Result<String> {
        unsupported("CreateContainer")
    }
    async fn start_container(&self, _: &str) -> Result<()> {
        unsupported("StartContainer")
    }
    async fn stop_container(&self, _: &str, _: Duration) -> Result<()> {
        unsupported("StopContainer")
    }
    async fn remove_container(&self, _: &str) -> Result<()> {
        unsupported("RemoveContainer")
    }
    async fn containers(&self) -> Result<Vec<Container>> {
        Ok(vec![self.container()])
    }
    async fn containers_of(&self, _: &str) -> Result<Vec<Container>> {
        self.containers().await
    }
    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        if id != "c1" {
            return Err(Error::NotFound { what: format!("container {id:?}") });
        }
        Ok(ContainerStatus {
            container: self.container(),
            started: None,
            finished: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image_name: String::new(),
            image_reference: String::new(),
            log_path: self.log.clone(),
        })
    }
    async fn update_container(&self, _: &str, _: &LinuxResources) -> Result<()> {
        unsupported("UpdateContainerResources")
    }
    async fn reopen_log(&self, _: &str) -> Result<()> {
        std::fs::write(&self.log, "").unwrap();
        self.reopened.send_modify(|n| *n += 1);
        Ok(())
    }
    async fn container_stats(&self) -> Result<Vec<ContainerStats>> {
        Ok(vec![container_stats("c1", "web", "shop", "u1", "app")])
    }
    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>> {
        unsupported("ListPodSandboxStats")
    }
    async fn exec(&self, _: &str, command: &[String], _: Duration) -> Result<ExecOutput> {
        let exit_code = command.last().and_then(|c| c.parse().ok()).unwrap_or_default();
        Ok(ExecOutput { stdout: b"out ".to_vec(), stderr: b"err".to_vec(), exit_code })
    }
    async fn exec_url(&self, id: &str, command: &[String], streams: Streams) -> Result<String> {
        self.asked.lock().push((command.to_vec(), streams));
        Ok(format!("{}/exec/{id}/{}/{}", self.streaming, count(streams), command.join("-")))
    }
    async fn attach_url(&self, id: &str, streams: Streams) -> Result<String> {
        self.asked.lock().push((vec![], streams));
        Ok(format!("{}/attach/{id}/{}/cat", self.streaming, count(streams)))
    }
    async fn port_forward_url(&self, sandbox: &str) -> Result<String> {
        Ok(format!("{}/portforward/{sandbox}", self.streaming))
    }
    async fn image(&self, _: &str) -> Result<Option<Image>> {
        Ok(None)
    }
    async fn pull_image(&self, _: &str, _: Option<&RegistryAuth>) -> Result<String> {
        unsupported("PullImage")
    }
    async fn images(&self) -> Result<Vec<Image>> {
        Ok(Vec::new())
    }
    async fn remove_image(&self, _: &str) -> Result<()> {
        unsupported("RemoveImage")
    }
    async fn image_filesystem(&self) -> Result<FilesystemUsage> {
        Ok(FilesystemUsage { mountpoint: "/".into(), used_bytes: 1, used_inodes: 1 })
    }
    async fn mount_image(&self, _: &str, _: &str, _: &str, _: &std::path::Path) -> Result<()> {
        unsupported("mount an image")
    }
    async fn release_image_mounts(&self, _: &str) -> Result<()> {
        unsupported("release images")
    }
    fn events(&self) -> BoxStream<'static, Result<Event>> {
        let events = self.events.subscribe();
        let next = |mut events: broadcast::Receiver<Event>| async {
            let event = events.recv().await.ok()?;
            Some((Ok(event), events))
        };
        futures::stream::unfold(events, next).boxed()
    }
}

/// The pod `shop/web` with its container `app`.
#[derive(Clone)]
pub(crate) struct StubPods {
    pub(crate) log: PathBuf,
    /// Their ids.
    pub(crate) container: String,
    pub(crate) sandbox: String,
}

impl PodLookup for StubPods {
    fn pod(&self, namespace: &str, name: &str) -> Option<PodEntry> {
        let current = ContainerRun { id: self.container.clone(), log: self.log.clone(), is_running: true };
        let app = ContainerEntry { current: Some(current), previous: None };
        let pod = self.pods().remove(0);
        ((namespace, name) == ("shop", "web")).then(|| PodEntry {
            pod,
            sandbox: Some(self.sandbox.clone()),
            containers: BTreeMap::from([("app".to_owned(), app)]),
        })
    }
    fn pods(&self) -> Vec<Arc<Pod>> {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
            "spec": {"containers": [{"name": "app"}, {"name": "side"}]},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "side", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ContainerCreating"}},
            }]},
        });
        vec![Arc::new(serde_json::from_value(pod).unwrap())]
    }
}
