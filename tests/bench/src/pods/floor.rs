//! The same pods by direct calls of the node's own containerd.

use super::{COMMAND, IMAGE};
use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proa_runtime_shim::{ContainerConfig, Containerd, Runtime as _, SandboxConfig};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Where the cluster named `bench` has its containerd and its cgroups.
const SOCKET: &str = "/run/proa-bench/containerd.sock";
const CGROUP: &str = "/proa-bench/floor";

/// Starts pods, some at a time, and removes them; how long each took to run.
pub(super) async fn pods(count: usize, at_a_time: usize) -> Result<Vec<Duration>> {
    let runtime = Containerd::connect(Path::new(SOCKET)).await?;
    let image = runtime.image(IMAGE).await?.context("the image is not there")?.id;
    let logs = tempfile::tempdir()?;
    let one = |at: usize| start(&runtime, &image, logs.path(), at);
    let started: Vec<(String, Duration)> =
        stream::iter((0..count).map(one)).buffer_unordered(at_a_time).try_collect().await?;
    for (sandbox, _) in &started {
        runtime.stop_sandbox(sandbox).await?;
        runtime.remove_sandbox(sandbox).await?;
    }
    Ok(started.into_iter().map(|(_, took)| took).collect())
}

/// Starts one; its sandbox, and how long it took.
async fn start(runtime: &Containerd, image: &str, logs: &Path, at: usize) -> Result<(String, Duration)> {
    let name = format!("floor-{at}");
    let sandbox = SandboxConfig {
        hostname: name.clone(),
        namespace: "default".to_owned(),
        uid: name.clone(),
        log_directory: logs.join(&name),
        cgroup_parent: format!("{CGROUP}/{name}"),
        name,
        ..SandboxConfig::default()
    };
    let container = ContainerConfig {
        name: "main".to_owned(),
        image: image.to_owned(),
        command: COMMAND.map(str::to_owned).to_vec(),
        log_path: "main.log".to_owned(),
        ..ContainerConfig::default()
    };
    let begun = Instant::now();
    let id = runtime.run_sandbox(&sandbox).await?;
    let created = runtime.create_container(&id, &container, &sandbox).await?;
    runtime.start_container(&created).await?;
    Ok((id, begun.elapsed()))
}
