//! containerd's configuration as text.

use super::{DaemonConfig, facts::Facts};
use crate::hosts::quoted;
use std::path::Path;

/// Plugins that are not used; one of them would make `/opt/containerd`.
const WITHOUT: [&str; 8] = [
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
];

/// The whole file. `pause` is the image of sandboxes.
pub(super) fn render(config: &DaemonConfig, facts: &Facts, pause: &str) -> String {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let default = facts.runtimes.first().map_or("", |(name, _)| name);
    let runtimes: String =
        facts.runtimes.iter().map(|(name, program)| runtime(name, program, &config.state)).collect();
    format!(
        r#"# Written by Proa at every start of this node's containerd.
version = 2
root = {root}
state = {state}
oom_score = {oom_score}
disabled_plugins = {without}

[grpc]
  address = {socket}

[debug]
  level = "warn"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {pause}
  # Streams of exec, attach and port-forward: on a free port of loopback, behind URLs that cannot be guessed.
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_tcp_service = true
  # Network namespaces of pods lie below the state directory, not in the machine's /run/netns.
  netns_mounts_under_state_dir = true
  max_container_log_line_size = 16384
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = {no_hugetlb}
  restrict_oom_score_adj = {restrict}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {cni_bin}
    conf_dir = {cni_conf}
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {registries}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = {default}
{runtimes}"#,
        root = path(&config.root.join("containerd")),
        state = path(&config.state),
        without = serde_json::Value::from(WITHOUT.to_vec()),
        // As upstream's service: the last to go when the machine runs out of memory.
        oom_score = if facts.may_lower_oom_score { -999 } else { 0 },
        socket = path(&config.socket()),
        pause = quoted(pause),
        no_hugetlb = !facts.has_hugetlb,
        restrict = !facts.may_lower_oom_score,
        cni_bin = path(&facts.cni_bin),
        cni_conf = path(&config.cni_conf),
        registries = path(&config.registries),
        default = quoted(default),
    )
}

fn runtime(name: &str, program: &Path, state: &Path) -> String {
    format!(
        r#"    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        BinaryName = {program}
        Root = {root}
        SystemdCgroup = false
"#,
        program = quoted(&program.to_string_lossy()),
        root = quoted(&state.join("oci").to_string_lossy()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_this_machine_has() {
        let config = DaemonConfig {
            root: "/var/lib/proa/node".into(),
            state: "/run/proa/node".into(),
            shared: "/var/lib/proa/agent".into(),
            cni_conf: "/run/proa/cni".into(),
            addresses: "/var/lib/proa/addresses".into(),
            registries: "/var/lib/proa/registries".into(),
            cgroup_parent: "/proa".into(),
            links: vec![],
        };
        let facts = Facts {
            containerd: "/usr/bin/containerd".into(),
            runtimes: vec![("crun", "/usr/bin/crun".into()), ("runc", "/usr/sbin/runc".into())],
            cni_bin: "/usr/lib/cni".into(),
            may_lower_oom_score: false,
            has_hugetlb: false,
            hybrid: None,
        };
        let text = render(&config, &facts, "proa.internal/pause:1");
        for line in [
            "root = \"/var/lib/proa/node/containerd\"",
            "  address = \"/run/proa/node/containerd.sock\"",
            "  sandbox_image = \"proa.internal/pause:1\"",
            "oom_score = 0",
            "  restrict_oom_score_adj = true",
            "  disable_hugetlb_controller = true",
            "    default_runtime_name = \"crun\"",
            "        BinaryName = \"/usr/sbin/runc\"",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
        }
    }
}
