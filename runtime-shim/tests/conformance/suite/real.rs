//! What only a runtime with real processes can show.

use super::{
    PATIENCE, Setup, Started, container, exited, has_said, image, pod, remove, start, start_with, words,
};
use futures::FutureExt as _;
use proa_runtime_shim::{ContainerConfig, Error, LinuxResources, NamespaceMode, Runtime, SandboxConfig};
use std::{fs, time::Duration};

pub(crate) async fn run<R: Runtime>(runtime: R, setup: &Setup) {
    assert_eq!(runtime.network_fault().await.unwrap(), None);
    // Boxed, because together they are too large for a test's stack.
    futures::future::join_all([
        a_pod_has_its_own_network_and_names(&runtime, setup).boxed(),
        a_pod_may_use_the_nodes_network(&runtime, setup).boxed(),
        environment_user_and_directory_are_set(&runtime, setup).boxed(),
        limits_change_in_place(&runtime, setup).boxed(),
        a_rotated_log_is_opened_anew(&runtime, setup).boxed(),
        containers_join_anothers_processes(&runtime, setup).boxed(),
        a_command_that_takes_too_long_is_killed(&runtime, setup).boxed(),
        other_runtimes_can_be_asked_for(&runtime, setup).boxed(),
    ])
    .await;
}

async fn exec<R: Runtime>(runtime: &R, at: &Started, line: &[&str]) -> String {
    let line: Vec<&str> = ["/program"].iter().chain(line).copied().collect();
    let output = runtime.exec(&at.container, &words(&line), PATIENCE).await.unwrap();
    assert_eq!(output.exit_code, 0, "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn a_pod_has_its_own_network_and_names<R: Runtime>(runtime: &R, setup: &Setup) {
    let mut of = pod(setup);
    of.dns = Some(proa_runtime_shim::DnsConfig {
        servers: words(&["10.96.0.10"]),
        searches: words(&["default.svc.cluster.local"]),
        options: words(&["ndots:5"]),
    });
    of.sysctls = [("net.ipv4.ping_group_range".into(), "0 0".into())].into();
    let at = start_with(runtime, of, &["run"], |_| {}).await;
    assert_eq!(exec(runtime, &at, &["read", "/etc/hostname"]).await.trim(), at.of.name);
    let dns = exec(runtime, &at, &["read", "/etc/resolv.conf"]).await;
    assert_eq!(dns, "search default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n");
    let links = exec(runtime, &at, &["read", "/proc/net/dev"]).await;
    assert_eq!(links.lines().skip(2).count(), 2, "loopback and one more: {links}");
    assert_eq!(exec(runtime, &at, &["read", "/proc/sys/net/ipv4/ping_group_range"]).await, "0\t0\n");
    remove(runtime, &at).await;
}

async fn a_pod_may_use_the_nodes_network<R: Runtime>(runtime: &R, setup: &Setup) {
    let mut of = SandboxConfig { hostname: String::new(), ..pod(setup) };
    of.security.namespaces.network = NamespaceMode::Node;
    let namespaces = of.security.namespaces.clone();
    let on_node = |config: &mut ContainerConfig| config.security.namespaces = namespaces;
    let at = start_with(runtime, of, &["run"], on_node).await;
    assert!(runtime.sandboxes_of(&at.of.uid).await.unwrap()[0].addresses.is_empty());
    let nodes = fs::read_link("/proc/self/ns/net").unwrap();
    let of_pod = exec(runtime, &at, &["link", "/proc/self/ns/net"]).await;
    assert_eq!(of_pod.trim(), nodes.display().to_string());
    remove(runtime, &at).await;
}

async fn environment_user_and_directory_are_set<R: Runtime>(runtime: &R, setup: &Setup) {
    let at = start_with(runtime, pod(setup), &["run"], |config| {
        config.env = vec![("GREETING".into(), "a b".into())];
        config.security.run_as_user = Some(1234);
        config.security.run_as_group = Some(4321);
        config.security.read_only_rootfs = true;
        config.security.no_new_privs = true;
        config.security.capabilities.drop = words(&["ALL"]);
    })
    .await;
    assert_eq!(exec(runtime, &at, &["ids"]).await, "1234 4321\n");
    assert!(exec(runtime, &at, &["read", "/proc/self/environ"]).await.contains("GREETING=a b\0"));
    let status = exec(runtime, &at, &["read", "/proc/self/status"]).await;
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("CapBnd:\t0000000000000000"), "{status}");
    let write = words(&["/program", "write", "/x", "y"]);
    assert_ne!(runtime.exec(&at.container, &write, PATIENCE).await.unwrap().exit_code, 0);
    remove(runtime, &at).await;
}

async fn limits_change_in_place<R: Runtime>(runtime: &R, setup: &Setup) {
    let limits = LinuxResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit: 64 << 20,
        oom_score_adj: 900,
        ..LinuxResources::default()
    };
    let set = |config: &mut ContainerConfig| config.resources = limits.clone();
    let at = start_with(runtime, pod(setup), &["run"], set).await;
    assert_eq!(exec(runtime, &at, &["read", "/proc/1/oom_score_adj"]).await, "900\n");
    let more = LinuxResources { memory_limit: 128 << 20, ..limits };
    runtime.update_container(&at.container, &more).await.unwrap();
    let dir = format!("{}/{}", at.of.cgroup_parent, at.container);
    let files = [("memory", "memory.limit_in_bytes"), ("", "memory.max")];
    let path = |(controller, file): &(&str, &str)| format!("/sys/fs/cgroup/{controller}{dir}/{file}");
    let found = files.iter().find_map(|file| fs::read_to_string(path(file)).ok());
    assert_eq!(found.expect("the container's cgroup is where it was asked for"), "134217728\n");
    remove(runtime, &at).await;
}

async fn a_rotated_log_is_opened_anew<R: Runtime>(runtime: &R, setup: &Setup) {
    let at = start(runtime, setup, &["run"]).await;
    has_said(&at, "running").await;
    let log = at.of.log_directory.join("main.log");
    fs::rename(&log, at.of.log_directory.join("main.log.1")).unwrap();
    runtime.reopen_log(&at.container).await.unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
    remove(runtime, &at).await;
}

/// As ephemeral containers do.
async fn containers_join_anothers_processes<R: Runtime>(runtime: &R, setup: &Setup) {
    let at = start(runtime, setup, &["run"]).await;
    let mut config = container(&at.of, &image(runtime).await, &["read", "/proc/1/cmdline"]);
    config.name = "debugger".into();
    config.log_path = "debugger.log".into();
    config.security.namespaces.pid = NamespaceMode::Target(at.container.clone());
    let id = runtime.create_container(&at.sandbox, &config, &at.of).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    let status = exited(runtime, &id).await;
    assert!(fs::read_to_string(status.log_path).unwrap().contains("/program\0run"));
    remove(runtime, &at).await;
}

async fn a_command_that_takes_too_long_is_killed<R: Runtime>(runtime: &R, setup: &Setup) {
    let at = start(runtime, setup, &["run"]).await;
    let command = words(&["/program", "stubborn"]);
    let hanging = runtime.exec(&at.container, &command, Duration::from_millis(500)).await;
    assert!(matches!(hanging, Err(Error::Timeout { .. })), "{hanging:?}");
    let is_alone = async || {
        let stats = runtime.sandbox_stats().await.unwrap();
        // The container and the sandbox.
        stats.iter().any(|stats| stats.id == at.sandbox && stats.processes == 2)
    };
    let killed = async { while !is_alone().await {} };
    tokio::time::timeout(PATIENCE, killed).await.expect("the command is killed");
    remove(runtime, &at).await;
}

async fn other_runtimes_can_be_asked_for<R: Runtime>(runtime: &R, setup: &Setup) {
    let unknown = SandboxConfig { runtime_handler: "no-such-runtime".into(), ..pod(setup) };
    let error = runtime.run_sandbox(&unknown).await.unwrap_err().to_string();
    assert!(error.contains("no-such-runtime"), "{error}");
}
