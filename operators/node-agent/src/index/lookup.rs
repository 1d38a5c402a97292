//! What the server is told about pods.

use super::{Entry, Index, Shown};
use crate::server::{ContainerEntry, ContainerRun, PodEntry, PodLookup};
use k8s_openapi::api::core::v1::Pod;
use proa_kit::Key;
use proa_runtime_shim::{ContainerState, ContainerStatus, SandboxState};
use std::{collections::BTreeMap, sync::Arc};

impl PodLookup for Index {
    fn pod(&self, namespace: &str, name: &str) -> Option<PodEntry> {
        let state = self.0.read();
        let entry = state.pods.get(state.names.get(&Key::new(namespace, name))?)?;
        let sandboxes = &entry.shown.observed.sandboxes;
        let ready = sandboxes.iter().find(|sandbox| sandbox.state == SandboxState::Ready);
        Some(PodEntry {
            pod: with_status(entry),
            sandbox: ready.map(|sandbox| sandbox.id.clone()),
            containers: containers(&entry.shown),
        })
    }
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.0.read().pods.values().filter(|entry| !entry.is_gone).map(with_status).collect()
    }
}

fn with_status(entry: &Entry) -> Arc<Pod> {
    if entry.shown.status.phase.is_none() {
        return entry.pod.clone();
    }
    Arc::new(Pod { status: Some(entry.shown.status.clone()), ..(*entry.pod).clone() })
}

fn containers(shown: &Shown) -> BTreeMap<String, ContainerEntry> {
    let mut entries: BTreeMap<String, ContainerEntry> = BTreeMap::new();
    for status in &shown.observed.containers {
        let entry = entries.entry(status.container.name.clone()).or_default();
        match (&entry.current, &entry.previous) {
            (None, _) => entry.current = Some(run(status)),
            (Some(_), None) => entry.previous = Some(run(status)),
            (Some(_), Some(_)) => {}
        }
    }
    entries
}

fn run(status: &ContainerStatus) -> ContainerRun {
    ContainerRun {
        id: status.container.id.clone(),
        log: status.log_path.clone(),
        is_running: status.container.state == ContainerState::Running,
    }
}
