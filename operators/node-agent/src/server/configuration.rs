//! How the agent is set up, in the words of a `KubeletConfiguration`.

use crate::{AgentConfig, logs::Limits};
use serde_json::{Value, json};

/// Answer to `/configz`: the fields that the agent has.
pub(super) fn configz(config: &AgentConfig) -> Value {
    let limits = Limits::default();
    json!({"kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.server.listen.ip(),
        "port": config.server.listen.port(),
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}},
        "authorization": {"mode": "Webhook"},
        "cgroupRoot": config.cgroup_parent,
        "clusterDNS": config.cluster_dns,
        "clusterDomain": config.cluster_domain,
        "containerLogMaxFiles": limits.files,
        "containerLogMaxSize": format!("{}Mi", limits.size >> 20),
        "evictionHard": config.eviction_hard.json(),
        "maxPods": config.max_pods,
        "podCIDR": config.pod_cidr,
        "podLogsDir": config.pod_logs,
        "resolvConf": config.resolv_conf,
    }})
}
