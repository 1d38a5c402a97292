//! Golden cases: a pod and what was observed of it, from YAML.

use super::{Observed, Probed};
use crate::plan::{Situation, memory::Memory};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use proa_kit::testing::golden::Case;
use proa_runtime_shim::{Container, ContainerState, ContainerStatus, Sandbox, SandboxState};
use serde::Deserialize;
use std::{collections::BTreeMap, net::IpAddr};

/// What a case says.
pub(crate) struct Seen {
    pub(crate) pod: Pod,
    is_gone: bool,
    observed: Observed,
    probes: BTreeMap<String, Probed>,
    memory: Memory,
}

impl Seen {
    pub(crate) fn of(case: &Case) -> Self {
        let sandboxes: Vec<SeenSandbox> = case.observed("sandboxes");
        let containers: Vec<SeenContainer> = case.observed("containers");
        Self {
            pod: case.object(),
            is_gone: case.observed("gone"),
            observed: Observed {
                sandboxes: sandboxes.into_iter().map(Into::into).collect(),
                containers: containers.into_iter().map(Into::into).collect(),
            },
            probes: case.observed("probes"),
            memory: case.observed("memory"),
        }
    }
    pub(crate) fn situation(&self, now: Timestamp) -> Situation<'_> {
        let Self { pod, is_gone, observed, probes, memory } = self;
        Situation { pod, is_gone: *is_gone, observed, probes, memory, now }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenSandbox {
    id: String,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    dead: bool,
    #[serde(default)]
    addresses: Vec<IpAddr>,
}

impl From<SeenSandbox> for Sandbox {
    fn from(seen: SeenSandbox) -> Self {
        Self {
            id: seen.id,
            name: String::new(),
            namespace: String::new(),
            uid: String::new(),
            attempt: seen.attempt,
            state: if seen.dead { SandboxState::NotReady } else { SandboxState::Ready },
            created: Timestamp::UNIX_EPOCH,
            addresses: seen.addresses,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SeenContainer {
    name: String,
    id: String,
    #[serde(default = "first_sandbox")]
    sandbox: String,
    #[serde(default)]
    attempt: u32,
    state: String,
    #[serde(default)]
    exit_code: i32,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

fn first_sandbox() -> String {
    "s1".to_owned()
}

impl From<SeenContainer> for ContainerStatus {
    fn from(seen: SeenContainer) -> Self {
        let state = match seen.state.as_str() {
            "running" => ContainerState::Running,
            "exited" => ContainerState::Exited,
            "created" => ContainerState::Created,
            "unknown" => ContainerState::Unknown,
            other => panic!("no state: {other}"),
        };
        Self {
            container: Container {
                id: seen.id,
                sandbox: seen.sandbox,
                name: seen.name,
                attempt: seen.attempt,
                state,
                created: Timestamp::UNIX_EPOCH,
                image: "sha256:1".to_owned(),
                labels: BTreeMap::new(),
                annotations: seen.annotations,
            },
            started: seen.started,
            finished: seen.finished,
            exit_code: seen.exit_code,
            reason: seen.reason,
            message: seen.message,
            image_name: "docker.io/library/app:1".to_owned(),
            image_reference: "docker.io/library/app@sha256:2".to_owned(),
            log_path: "/log".into(),
        }
    }
}
