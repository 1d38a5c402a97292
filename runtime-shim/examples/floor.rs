//! How long a pod takes by direct calls of the runtime, on a node of its own: the floor under every agent.
//!
//! `cargo run --release -p proa-runtime-shim --example floor [PODS]`, as root. Prints milliseconds of each step.

use proa_runtime_shim::{
    ContainerConfig, Containerd, Result, Runtime as _, SandboxConfig,
    cni::{self, Subnet},
    daemon::{Daemon, DaemonConfig},
    pause,
};
use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};

const STEPS: [&str; 6] = ["sandbox", "create", "start", "stop", "stop sandbox", "remove"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pods = std::env::args().nth(1).map_or(Ok(20), |count| count.parse())?;
    let dir = std::env::temp_dir().join(format!("proa-floor-{}", std::process::id()));
    let config = node(&dir)?;
    let started = Instant::now();
    let result = match Daemon::start_or_adopt(config.clone()).await {
        Ok(_) => {
            println!("node: {:.0} ms", started.elapsed().as_secs_f64() * 1000.0);
            measure(&config, pods).await.map_err(Box::from)
        }
        Err(error) => Err(error.into()),
    };
    Daemon::stop(config).await?;
    fs::remove_dir_all(dir)?;
    result
}

fn node(dir: &Path) -> Result<DaemonConfig, Box<dyn Error>> {
    let pid = std::process::id();
    let name = format!("floor{pid:x}");
    let subnet = Subnet::parse(&format!("10.{}.{}.0/24", 224 + pid % 16, pid / 16 % 256))?;
    let network = cni::conflist(&name, &name, subnet, &dir.join("addresses"), 0);
    fs::create_dir_all(dir.join("cni"))?;
    fs::write(dir.join("cni/10-floor.conflist"), network)?;
    Ok(DaemonConfig {
        root: dir.join("root"),
        state: format!("/run/{name}").into(),
        shared: dir.join("shared"),
        cni_conf: dir.join("cni"),
        addresses: dir.join("addresses"),
        registries: dir.join("registries"),
        cgroup_parent: format!("/{name}"),
        links: vec![name],
    })
}

async fn measure(config: &DaemonConfig, pods: usize) -> Result<()> {
    let runtime = Containerd::connect(&config.socket()).await?;
    let image = runtime.image(&pause::IMAGE.name).await?.map(|image| image.id).unwrap_or_default();
    let mut times = [const { Vec::new() }; STEPS.len()];
    for at in 0..pods {
        for (times, took) in times.iter_mut().zip(pod(&runtime, config, &image, at).await?) {
            times.push(took);
        }
    }
    for (step, mut times) in STEPS.into_iter().zip(times) {
        times.sort();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let most = times.last().copied().unwrap_or_default();
        println!(
            "{step}: p50 {:.1} ms, most {:.1} ms",
            milliseconds(times[times.len() / 2]),
            milliseconds(most)
        );
    }
    Ok(())
}

/// A pod's life; how long each step took.
async fn pod(
    runtime: &Containerd,
    config: &DaemonConfig,
    image: &str,
    at: usize,
) -> Result<[Duration; STEPS.len()]> {
    let name = format!("pod-{at}");
    let of = SandboxConfig {
        hostname: name.clone(),
        namespace: "default".to_owned(),
        uid: name.clone(),
        log_directory: config.shared.join(&name),
        cgroup_parent: format!("{}/{name}", config.cgroup_parent),
        name,
        ..SandboxConfig::default()
    };
    let container = ContainerConfig {
        name: "main".to_owned(),
        image: image.to_owned(),
        log_path: "main.log".to_owned(),
        ..ContainerConfig::default()
    };
    let mut last = Instant::now();
    let mut lap = || std::mem::replace(&mut last, Instant::now()).elapsed();
    let sandbox = runtime.run_sandbox(&of).await?;
    let made_sandbox = lap();
    let id = runtime.create_container(&sandbox, &container, &of).await?;
    let created = lap();
    runtime.start_container(&id).await?;
    let started = lap();
    runtime.stop_container(&id, Duration::ZERO).await?;
    let stopped = lap();
    runtime.stop_sandbox(&sandbox).await?;
    let stopped_sandbox = lap();
    runtime.remove_sandbox(&sandbox).await?;
    Ok([made_sandbox, created, started, stopped, stopped_sandbox, lap()])
}
