//! Kernel parameters that pods may set: those that reach no other pod.
//!
//! Pure. Upstream: `pkg/kubelet/sysctl/{allowlist,safe_sysctls}.go`, component-helpers `node/util/sysctl/namespace.go`.

const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Which namespaces of the node a pod is in.
#[derive(Clone, Copy)]
pub(super) struct Host {
    pub(super) network: bool,
    pub(super) ipc: bool,
}

/// Why a parameter may not be set.
pub(super) fn refusal(name: &str, host: Host) -> Option<String> {
    let name = sysctl_name(name);
    if !SAFE.contains(&name.as_str()) {
        return Some(format!("{name:?} not allowlisted"));
    }
    let (namespace, is_nodes) =
        if name.starts_with("net.") { ("net", host.network) } else { ("ipc", host.ipc) };
    is_nodes.then(|| format!("{name:?} not allowed with host {namespace} enabled"))
}

/// A parameter's name with dots; `net/ipv4/conf/eno2.100/rp_filter` is `net.ipv4.conf.eno2/100.rp_filter`.
pub(crate) fn sysctl_name(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}
