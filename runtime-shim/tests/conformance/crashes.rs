//! Crashes and clean-up of real nodes.

use crate::{
    node::{Node, left_over},
    suite::{self, Setup, exited, has_said},
};
use proa_runtime_shim::{
    ContainerState, Mount, Propagation, Runtime as _, SandboxState,
    daemon::{Daemon, sweep},
};
use rustix::{
    mount::{MountFlags, mount},
    process::{Pid, Signal, kill_process},
};
use std::{fs, path::Path, time::Duration};

fn setup(node: &Node) -> Setup {
    Setup { logs: node.dir().join("logs"), cgroup_parent: node.config.cgroup_parent.clone() }
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

/// N3
#[tokio::test(flavor = "multi_thread")]
async fn pods_outlive_a_killed_containerd_and_a_killed_supervisor() {
    let mut node = Node::start().await;
    node.load_program().await;
    let (runtime, setup) = (node.runtime().await, setup(&node));
    let goes_on = suite::start(&runtime, &setup, &["run"]).await;
    let ends = suite::start(&runtime, &setup, &["after", "100", "9"]).await;
    has_said(&goes_on, "running").await;
    let address = runtime.sandboxes_of(&goes_on.of.uid).await.unwrap()[0].addresses.clone();
    kill(node.pid());
    let answers = async { while runtime.version().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), answers).await.expect("containerd is started again");
    assert_eq!(exited(&runtime, &ends.container).await.exit_code, 9, "an end meanwhile is not lost");
    let status = runtime.container_status(&goes_on.container).await.unwrap();
    assert_eq!(status.container.state, ContainerState::Running);
    assert_eq!(runtime.sandboxes_of(&goes_on.of.uid).await.unwrap()[0].addresses, address);
    let command = suite::words(&["/program", "say", "alive"]);
    let said = runtime.exec(&goes_on.container, &command, Duration::from_secs(60)).await.unwrap();
    assert_eq!(said.stdout, b"alive\n");
    // Now the other way round: this process goes and comes back.
    node.leave().await;
    let containerd = runtime.version().await.unwrap();
    node.return_to().await;
    assert_eq!(runtime.version().await.unwrap(), containerd);
    let adopted = node.pid();
    node.leave().await;
    node.return_to().await;
    assert_eq!(node.pid(), adopted, "the same process is adopted");
    assert_eq!(
        runtime.container_status(&goes_on.container).await.unwrap().container.state,
        ContainerState::Running
    );
    runtime.stop_container(&goes_on.container, Duration::from_secs(60)).await.unwrap();
    assert_eq!(exited(&runtime, &goes_on.container).await.exit_code, 0);
    node.stop().await;
}

/// N4
#[tokio::test(flavor = "multi_thread")]
async fn a_swept_node_leaves_nothing_and_starts_again() {
    let mut node = Node::start().await;
    node.load_program().await;
    let (runtime, setup) = (node.runtime().await, setup(&node));
    let pod = suite::start(&runtime, &setup, &["stubborn"]).await;
    has_said(&pod, "stubborn").await;
    // A volume of the agent.
    let volume = node.config.shared.join("volume");
    fs::create_dir_all(&volume).unwrap();
    mount("tmpfs", &volume, "tmpfs", MountFlags::empty(), None).unwrap();
    node.leave().await;
    kill(node.pid());
    let config = node.config.clone();
    tokio::task::spawn_blocking(move || sweep(&config)).await.unwrap().unwrap();
    assert_eq!(left_over(&node.config), Vec::<String>::new());
    node.return_to().await;
    let lost = &runtime.sandboxes_of(&pod.of.uid).await.unwrap()[0];
    assert_eq!(lost.state, SandboxState::NotReady);
    let status = runtime.container_status(&pod.container).await.unwrap();
    assert_eq!((status.container.state, status.exit_code), (ContainerState::Exited, 255));
    suite::remove(&runtime, &pod).await;
    let again = suite::start(&runtime, &setup, &["exit", "0"]).await;
    assert_eq!(exited(&runtime, &again.container).await.exit_code, 0);
    node.stop().await;
}

/// Killed shims take their pods along, but not the node.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_pods_were_killed_goes_on() {
    let node = Node::start().await;
    node.load_program().await;
    let (runtime, setup) = (node.runtime().await, setup(&node));
    let pod = suite::start(&runtime, &setup, &["run"]).await;
    has_said(&pod, "running").await;
    let shim = shim_of(&pod.sandbox);
    kill(shim);
    let status = exited(&runtime, &pod.container).await;
    assert_ne!(status.exit_code, 0);
    kill(node.pid());
    let answers = async { while runtime.version().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), answers).await.expect("containerd is started again");
    suite::remove(&runtime, &pod).await;
    let again = suite::start(&runtime, &setup, &["exit", "0"]).await;
    assert_eq!(exited(&runtime, &again.container).await.exit_code, 0);
    node.stop().await;
}

/// N4: containerd is killed between a sandbox's parts, and never knew of what was made.
#[tokio::test(flavor = "multi_thread")]
async fn what_containerd_lost_goes_when_it_starts_again() {
    let mut node = Node::start().await;
    node.load_program().await;
    let (runtime, setup) = (node.runtime().await, setup(&node));
    let pod = suite::start(&runtime, &setup, &["run"]).await;
    has_said(&pod, "running").await;
    node.leave().await;
    kill(node.pid());
    let lost = "feedface".repeat(8);
    let addresses = node.config.addresses.join(&node.config.links[0]);
    fs::write(addresses.join("192.0.2.7"), format!("{lost}\r\neth0")).unwrap();
    let bundle = node.config.state.join("io.containerd.runtime.v2.task/k8s.io").join(&lost);
    fs::create_dir_all(&bundle).unwrap();
    let hierarchies = Path::new("/sys/fs/cgroup");
    let memory = hierarchies.join("memory");
    let hierarchy = if memory.exists() { &memory } else { hierarchies };
    let cgroup = hierarchy.join(setup.cgroup_parent.trim_start_matches('/')).join("pod").join(&lost);
    fs::create_dir_all(&cgroup).unwrap();
    let mut process = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(cgroup.join("cgroup.procs"), process.id().to_string()).unwrap();
    node.return_to().await;
    assert!(!process.wait().unwrap().success(), "the lost container's process is killed");
    assert!(!cgroup.exists() && !bundle.exists());
    let left: Vec<_> = fs::read_dir(&addresses).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let of_pod = runtime.sandboxes_of(&pod.of.uid).await.unwrap()[0].addresses[0].to_string();
    assert!(!left.contains(&"192.0.2.7".into()) && left.contains(&of_pod.into()), "{left:?}");
    let status = runtime.container_status(&pod.container).await.unwrap();
    assert_eq!(status.container.state, ContainerState::Running, "what it knows is left alone");
    suite::remove(&runtime, &pod).await;
    node.stop().await;
}

fn shim_of(sandbox: &str) -> u32 {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_shim = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("containerd-shim-runc-v2") && line.contains(sandbox)
    };
    ids.find(is_shim).expect("the pod has a shim")
}

/// Mounts that the agent makes after the node's start reach containers, and theirs reach it.
#[tokio::test(flavor = "multi_thread")]
async fn mounts_travel_between_agent_and_containers() {
    let node = Node::start().await;
    node.load_program().await;
    let (runtime, setup) = (node.runtime().await, setup(&node));
    let (volume, outer) = (node.config.shared.join("volume"), node.config.shared.join("outer"));
    fs::create_dir_all(&volume).unwrap();
    fs::create_dir_all(outer.join("later")).unwrap();
    mount("tmpfs", &volume, "tmpfs", MountFlags::empty(), None).unwrap();
    fs::write(volume.join("greeting"), "from the agent").unwrap();
    let (both, mut of) = (node.config.shared.join("both"), suite::pod(&setup));
    fs::create_dir_all(both.join("theirs")).unwrap();
    of.security.privileged = true;
    let at = suite::start_with(&runtime, of, &["run"], |config| {
        config.security.privileged = true;
        let to = |container_path: &str, host_path, propagation| Mount {
            container_path: container_path.into(),
            host_path,
            read_only: false,
            propagation,
        };
        config.mounts = vec![
            to("/volume", volume.clone(), Propagation::Private),
            to("/outer", outer.clone(), Propagation::HostToContainer),
            to("/both", both.clone(), Propagation::Bidirectional),
        ];
    })
    .await;
    let run = async |line: &[&str]| {
        let command = suite::words(&[&["/program"], line].concat());
        let output = runtime.exec(&at.container, &command, Duration::from_secs(60)).await.unwrap();
        assert_eq!(output.exit_code, 0, "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run(&["read", "/volume/greeting"]).await, "from the agent");
    mount("tmpfs", outer.join("later"), "tmpfs", MountFlags::empty(), None).unwrap();
    fs::write(outer.join("later/greeting"), "from later").unwrap();
    assert_eq!(run(&["read", "/outer/later/greeting"]).await, "from later");
    run(&["write", "/volume/answer", "from the container"]).await;
    assert_eq!(fs::read_to_string(volume.join("answer")).unwrap(), "from the container");
    run(&["mount", "/both/theirs"]).await;
    run(&["write", "/both/theirs/answer", "from below"]).await;
    assert_eq!(fs::read_to_string(both.join("theirs/answer")).unwrap(), "from below");
    suite::remove(&runtime, &at).await;
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_never_was_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let config = proa_runtime_shim::daemon::DaemonConfig {
        root: path("root"),
        state: path("state"),
        shared: path("shared"),
        cni_conf: path("cni"),
        addresses: path("addresses"),
        registries: path("registries"),
        cgroup_parent: format!("/pt-none-{}", std::process::id()),
        links: vec![],
    };
    Daemon::stop(config.clone()).await.unwrap();
    let long = proa_runtime_shim::daemon::DaemonConfig { state: path(&"x".repeat(120)), ..config };
    let error = Daemon::start_or_adopt(long).await.unwrap_err().to_string();
    assert!(error.contains("too long"), "{error}");
}
