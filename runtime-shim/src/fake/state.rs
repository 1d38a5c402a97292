//! The records behind the fake: plain data, changed under one lock.

use super::{
    Pull, now,
    program::{self, Program},
};
use crate::{
    Container, ContainerConfig, ContainerState, ContainerStats, ContainerStatus, Error, Image,
    LinuxResources, NamespaceMode, Result, Sandbox, SandboxConfig, SandboxState, SandboxStats,
};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

#[derive(Default)]
pub(super) struct State {
    /// How many sandboxes and containers there have been; ids count up, so their order is that of creation.
    made: u32,
    pub(super) sandboxes: BTreeMap<String, SandboxRecord>,
    pub(super) containers: BTreeMap<String, ContainerRecord>,
    pub(super) images: Vec<Image>,
    pub(super) pulls: HashMap<String, Pull>,
    pub(super) failures: HashMap<&'static str, (u32, String)>,
    pub(super) stats: BTreeMap<String, ContainerStats>,
    pub(super) calls: Vec<String>,
    pub(super) is_away: bool,
}

pub(super) struct SandboxRecord {
    pub(super) sandbox: Sandbox,
    pub(super) config: SandboxConfig,
}

pub(super) struct ContainerRecord {
    pub(super) status: ContainerStatus,
    pub(super) config: ContainerConfig,
    pub(super) resources: LinuxResources,
}

fn not_found(what: &str) -> Error {
    Error::NotFound { what: what.to_owned() }
}

fn failed(operation: &'static str, message: &str) -> Error {
    Error::Failed { operation, message: message.to_owned() }
}

impl State {
    pub(super) fn check_here(&self) -> Result<()> {
        if self.is_away { Err(Error::Unavailable { why: "it was taken away".to_owned() }) } else { Ok(()) }
    }

    pub(super) fn enter(&mut self, operation: &'static str, on: &str) -> Result<()> {
        self.check_here()?;
        self.calls.push(format!("{operation} {on}"));
        match self.failures.get_mut(operation) {
            Some((times, message)) if *times > 0 => {
                *times -= 1;
                Err(failed(operation, message))
            }
            _ => Ok(()),
        }
    }

    fn next(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}-{:06}", self.made)
    }
}

/// Sandboxes.
impl State {
    pub(super) fn sandbox(&self, id: &str) -> Result<&SandboxRecord> {
        self.sandboxes.get(id).ok_or_else(|| not_found(id))
    }

    pub(super) fn add_sandbox(&mut self, config: &SandboxConfig) -> String {
        let id = self.next("sandbox");
        let on_node = config.security.namespaces.network == NamespaceMode::Node;
        let address = IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 88, 0, 0)) + self.made));
        let sandbox = Sandbox {
            id: id.clone(),
            name: config.name.clone(),
            namespace: config.namespace.clone(),
            uid: config.uid.clone(),
            attempt: config.attempt,
            state: SandboxState::Ready,
            created: now(),
            addresses: if on_node { vec![] } else { vec![address] },
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        self.sandboxes.insert(id.clone(), SandboxRecord { sandbox, config: config.clone() });
        id
    }

    pub(super) fn set_not_ready(&mut self, id: &str) {
        if let Some(record) = self.sandboxes.get_mut(id) {
            record.sandbox.state = SandboxState::NotReady;
            record.sandbox.addresses.clear();
        }
    }

    pub(super) fn sandboxes_of(&self, pod_uid: &str) -> Vec<Sandbox> {
        let all = self.sandboxes.values().rev().map(|record| &record.sandbox);
        all.filter(|sandbox| sandbox.uid == pod_uid).cloned().collect()
    }

    pub(super) fn all_sandbox_stats(&self) -> Vec<SandboxStats> {
        let ready = self.sandboxes.values().map(|record| &record.sandbox);
        let stats = |sandbox: &Sandbox| SandboxStats {
            id: sandbox.id.clone(),
            uid: sandbox.uid.clone(),
            at: now(),
            received_bytes: 0,
            sent_bytes: 0,
            processes: 1 + self.running_in(&sandbox.id).len() as u64,
        };
        ready.filter(|sandbox| sandbox.state == SandboxState::Ready).map(stats).collect()
    }
}

/// Containers.
impl State {
    pub(super) fn container(&self, id: &str) -> Result<&ContainerRecord> {
        self.containers.get(id).ok_or_else(|| not_found(id))
    }

    pub(super) fn container_mut(&mut self, id: &str) -> Result<&mut ContainerRecord> {
        self.containers.get_mut(id).ok_or_else(|| not_found(id))
    }

    pub(super) fn add_container(
        &mut self,
        sandbox: &str,
        config: &ContainerConfig,
        of: &SandboxConfig,
    ) -> Result<String> {
        if self.sandbox(sandbox)?.sandbox.state != SandboxState::Ready {
            return Err(failed("create_container", "the sandbox is not ready"));
        }
        let image = self.image(&config.image).ok_or_else(|| not_found(&config.image))?;
        let id = self.next("container");
        let container = Container {
            id: id.clone(),
            sandbox: sandbox.to_owned(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            created: now(),
            image: image.id.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        let status = ContainerStatus {
            container,
            started: None,
            finished: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image_name: image.tags.first().cloned().unwrap_or_else(|| image.id.clone()),
            image_reference: image.digests.first().cloned().unwrap_or(image.id),
            log_path: of.log_directory.join(&config.log_path),
        };
        let record = ContainerRecord { status, config: config.clone(), resources: config.resources.clone() };
        self.containers.insert(id.clone(), record);
        Ok(id)
    }

    /// Starts a container and writes what it says to its log.
    pub(super) fn start(&mut self, id: &str) -> Result<Program> {
        let record = self.container_mut(id)?;
        let program = program::of(&record.config);
        if record.status.container.state != ContainerState::Created {
            return Err(failed("start_container", "the container was started before"));
        }
        if program == Program::NoStart {
            return Err(failed("start_container", "exec: no-start: not found"));
        }
        record.status.container.state = ContainerState::Running;
        record.status.started = Some(now());
        write_log(&record.status.log_path, program::line(&record.config));
        Ok(program)
    }

    /// Ends a container; says whether it ran.
    pub(super) fn finish(&mut self, id: &str, code: i32, reason: &str) -> bool {
        let Some(record) = self.containers.get_mut(id) else { return false };
        if record.status.container.state != ContainerState::Running {
            return false;
        }
        record.status.container.state = ContainerState::Exited;
        record.status.finished = Some(now());
        record.status.exit_code = code;
        reason.clone_into(&mut record.status.reason);
        true
    }

    pub(super) fn is_running(&self, id: &str) -> bool {
        self.running_program(id).is_some()
    }

    pub(super) fn running_program(&self, id: &str) -> Option<Program> {
        let record = self.containers.get(id)?;
        let is_running = record.status.container.state == ContainerState::Running;
        is_running.then(|| program::of(&record.config))
    }

    pub(super) fn running_in(&self, sandbox: &str) -> Vec<String> {
        let all = self.containers.values().map(|record| &record.status.container);
        let running = all.filter(|c| c.sandbox == sandbox && c.state == ContainerState::Running);
        running.map(|container| container.id.clone()).collect()
    }

    pub(super) fn remove_container(&mut self, id: &str) -> Result<()> {
        if self.is_running(id) {
            return Err(failed("remove_container", "the container runs"));
        }
        self.containers.remove(id);
        self.stats.remove(id);
        Ok(())
    }

    pub(super) fn containers_of(&self, pod_uid: &str) -> Vec<Container> {
        let is_of = |c: &Container| self.sandboxes.get(&c.sandbox).is_some_and(|s| s.sandbox.uid == pod_uid);
        let all = self.containers.values().rev().map(|record| &record.status.container);
        all.filter(|container| is_of(container)).cloned().collect()
    }

    pub(super) fn reopen_log(&mut self, id: &str) -> Result<()> {
        let record = self.container(id)?;
        write_log(&record.status.log_path, Some(String::new()));
        Ok(())
    }

    pub(super) fn all_stats(&self) -> Vec<ContainerStats> {
        let all = self.containers.values().map(|record| &record.status.container);
        let stats = |container: &Container| {
            let known = self.stats.get(&container.id).cloned();
            known.unwrap_or_else(|| no_use(container))
        };
        all.filter(|container| container.state == ContainerState::Running).map(stats).collect()
    }
}

fn no_use(container: &Container) -> ContainerStats {
    ContainerStats {
        id: container.id.clone(),
        labels: container.labels.clone(),
        at: now(),
        cpu_nanoseconds: 0,
        working_set_bytes: 0,
        rss_bytes: 0,
        major_page_faults: 0,
        page_faults: 0,
        writable_layer_bytes: 0,
        writable_layer_inodes: 0,
    }
}

/// Makes a log as the runtime would, if its directory is there: the agent makes it.
fn write_log(path: &Path, line: Option<String>) {
    let Ok(mut file) = fs::File::options().create(true).append(true).open(path) else { return };
    if let Some(line) = line.filter(|line| !line.is_empty()) {
        let _ = writeln!(file, "{} stdout F {line}", now());
    }
}

/// Images.
impl State {
    pub(super) fn image(&self, reference: &str) -> Option<Image> {
        let is_named = |image: &&Image| {
            image.id == reference || image.tags.iter().chain(&image.digests).any(|name| name == reference)
        };
        self.images.iter().find(is_named).cloned()
    }

    pub(super) fn add_image(&mut self, reference: &str, mut image: Image) -> String {
        if let Some(present) = self.image(reference) {
            return present.id;
        }
        if image.id.is_empty() {
            self.made += 1;
            image.id = format!("sha256:{:064x}", self.made);
        }
        if image.tags.is_empty() && !reference.contains('@') {
            image.tags.push(reference.to_owned());
        }
        if image.digests.is_empty() {
            let repository = reference.split('@').next().unwrap_or(reference);
            image.digests.push(format!("{repository}@{}", image.id));
        }
        let id = image.id.clone();
        self.images.push(image);
        id
    }

    pub(super) fn pull(&mut self, reference: &str) -> Result<String> {
        check_name(reference)?;
        let Some(pull) = self.pulls.get_mut(reference) else {
            return Ok(self.add_image(reference, Image::default()));
        };
        if pull.failures > 0 {
            pull.failures -= 1;
            return Err(Error::Pull { image: reference.to_owned(), why: pull.why.clone() });
        }
        let image = pull.image.clone();
        Ok(self.add_image(reference, image))
    }

    pub(super) fn remove_image(&mut self, reference: &str) {
        let Some(image) = self.image(reference) else { return };
        self.images.retain(|present| present.id != image.id);
    }
}

/// Refuses what is no image reference at all.
fn check_name(reference: &str) -> Result<()> {
    let repository = reference.split(['@', ':']).next().unwrap_or_default();
    let is_name = !repository.is_empty()
        && !reference.contains(char::is_whitespace)
        && !repository.contains(|c: char| c.is_ascii_uppercase());
    if is_name {
        return Ok(());
    }
    let why = "invalid reference format".to_owned();
    Err(Error::InvalidImageName { image: reference.to_owned(), why })
}
