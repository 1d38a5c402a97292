//! The resolver configuration of pods.
//!
//! Owns: what a DNS policy and `dnsConfig` come to, the limits of resolvers, and reading the node's `resolv.conf`.
//! Everything but [`read`] is pure. Upstream: `pkg/kubelet/network/dns/dns.go`, `pkg/apis/core/validation` for limits.

use super::{is_host_network, namespace};
use crate::AgentConfig;
use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};
use proa_runtime_shim::DnsConfig;
use std::{fs, io, path::Path};

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
/// What pods that use the cluster's DNS are given: short names of other namespaces have up to four dots.
const CLUSTER_OPTION: &str = "ndots:5";

/// Reads a `resolv.conf`.
pub(crate) fn read(path: &Path) -> io::Result<DnsConfig> {
    fs::read_to_string(path).map(|text| parse(&text))
}

/// A pod's resolver configuration, and warnings about what was left out (events `DNSConfigForming`).
pub(crate) fn of_pod(pod: &Pod, config: &AgentConfig, host: &DnsConfig) -> (DnsConfig, Vec<String>) {
    let spec = pod.spec.as_ref();
    let mut warnings = Vec::new();
    let mut dns = match spec.and_then(|spec| spec.dns_policy.as_deref()) {
        Some("None") => DnsConfig::default(),
        Some("Default") => host.clone(),
        Some("ClusterFirstWithHostNet") => of_cluster(pod, config, host, &mut warnings),
        _ if is_host_network(pod) => host.clone(),
        _ => of_cluster(pod, config, host, &mut warnings),
    };
    if let Some(more) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        append(&mut dns, more);
    }
    limit(&mut dns, &mut warnings);
    (dns, warnings)
}

fn of_cluster(pod: &Pod, config: &AgentConfig, host: &DnsConfig, warnings: &mut Vec<String>) -> DnsConfig {
    if config.cluster_dns.is_empty() {
        let policy = pod.spec.as_ref().and_then(|spec| spec.dns_policy.as_deref()).unwrap_or("ClusterFirst");
        warnings.push(format!(
            "pod: {:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using {policy:?} policy. \
             Falling back to \"Default\" policy.",
            super::display(pod)
        ));
        return host.clone();
    }
    let domain = &config.cluster_domain;
    let own = [format!("{}.svc.{domain}", namespace(pod)), format!("svc.{domain}"), domain.clone()];
    DnsConfig {
        servers: config.cluster_dns.iter().map(ToString::to_string).collect(),
        searches: distinct(own.into_iter().chain(host.searches.iter().cloned())),
        options: vec![CLUSTER_OPTION.to_owned()],
    }
}

fn append(dns: &mut DnsConfig, more: &PodDNSConfig) {
    let joined = |old: &mut Vec<String>, new: &Option<Vec<String>>| {
        *old = distinct(std::mem::take(old).into_iter().chain(new.iter().flatten().cloned()));
    };
    joined(&mut dns.servers, &more.nameservers);
    joined(&mut dns.searches, &more.searches);
    for option in more.options.iter().flatten() {
        let name = option.name.as_deref().unwrap_or_default();
        let value = option.value.as_deref().filter(|value| !value.is_empty());
        let text = value.map_or_else(|| name.to_owned(), |value| format!("{name}:{value}"));
        match dns.options.iter_mut().find(|old| option_name(old) == name) {
            Some(old) => *old = text,
            None => dns.options.push(text),
        }
    }
}

fn option_name(option: &str) -> &str {
    option.split_once(':').map_or(option, |(name, _)| name)
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in all {
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
    kept
}

/// Leaves out what resolvers would not read.
fn limit(dns: &mut DnsConfig, warnings: &mut Vec<String>) {
    if dns.servers.len() > MAX_SERVERS {
        dns.servers.truncate(MAX_SERVERS);
        warnings.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            dns.servers.join(" ")
        ));
    }
    let before = dns.searches.len();
    dns.searches.truncate(MAX_SEARCHES);
    while dns.searches.join(" ").len() > MAX_SEARCH_CHARS {
        dns.searches.pop();
    }
    if dns.searches.len() < before {
        warnings.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            dns.searches.join(" ")
        ));
    }
}

fn parse(text: &str) -> DnsConfig {
    let mut dns = DnsConfig::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => dns.servers.extend(words.next().map(str::to_owned)),
            // The last list counts. A final dot says what a search list means anyway.
            Some("search") => dns.searches = words.map(|name| without_dot(name).to_owned()).collect(),
            Some("options") => {
                for option in words {
                    dns.options.retain(|old| option_name(old) != option_name(option));
                    dns.options.push(option.to_owned());
                }
            }
            _ => {}
        }
    }
    dns
}

fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(name)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases read better without borrows")]
mod tests {
    use super::*;
    use crate::build::tests::config;
    use serde_json::{Value, json};

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&s| s.to_owned()).collect()
    }

    fn host() -> DnsConfig {
        parse(
            "# c\nnameserver 192.0.2.53\nsearch old\nsearch corp.example. lan\noptions ndots:1 rotate\noptions ndots:2\n",
        )
    }

    fn of(spec: Value) -> (DnsConfig, Vec<String>) {
        let pod =
            serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}))
                .unwrap();
        of_pod(&pod, &config(), &host())
    }

    #[test]
    fn the_nodes_own_file() {
        let host = host();
        assert_eq!(host.servers, texts(&["192.0.2.53"]));
        assert_eq!(host.searches, texts(&["corp.example", "lan"]));
        assert_eq!(host.options, texts(&["rotate", "ndots:2"]));
        assert_eq!(parse("search .\n").searches, texts(&["."]));
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none")).is_err());
        fs::write(dir.path().join("resolv.conf"), "nameserver ::1\n").unwrap();
        assert_eq!(read(&dir.path().join("resolv.conf")).unwrap().servers, texts(&["::1"]));
    }

    #[test]
    fn policies() {
        let cluster = DnsConfig {
            servers: texts(&["10.96.0.10"]),
            searches: texts(&[
                "shop.svc.cluster.local",
                "svc.cluster.local",
                "cluster.local",
                "corp.example",
                "lan",
            ]),
            options: texts(&["ndots:5"]),
        };
        for (policy, host_network, want) in [
            ("ClusterFirst", false, cluster.clone()),
            ("ClusterFirst", true, host()),
            ("ClusterFirstWithHostNet", true, cluster),
            ("Default", false, host()),
            ("None", false, DnsConfig::default()),
        ] {
            let (dns, warnings) =
                of(json!({"containers": [], "dnsPolicy": policy, "hostNetwork": host_network}));
            assert_eq!((dns, warnings), (want, vec![]), "{policy} {host_network}");
        }
    }

    #[test]
    fn a_pods_own_configuration_is_merged() {
        let (dns, _) = of(json!({"containers": [], "dnsPolicy": "ClusterFirst", "dnsConfig": {
            "nameservers": ["10.96.0.10", "1.1.1.1"], "searches": ["lan", "x.y"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        }}));
        assert_eq!(dns.servers, texts(&["10.96.0.10", "1.1.1.1"]));
        assert_eq!(dns.searches.last().unwrap(), "x.y");
        assert_eq!(dns.options, texts(&["ndots:2", "edns0"]));
    }

    #[test]
    fn what_resolvers_do_not_read_is_left_out_with_a_warning() {
        let searches: Vec<String> = (0..33).map(|i| format!("s{i}")).collect();
        let spec = json!({"containers": [], "dnsPolicy": "None",
                          "dnsConfig": {"nameservers": ["1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4"], "searches": searches}});
        let (dns, warnings) = of(spec);
        assert_eq!((dns.servers.len(), dns.searches.len(), warnings.len()), (3, 32, 2));
        assert!(
            warnings[0].ends_with("the applied nameserver line is: 1.0.0.1 1.0.0.2 1.0.0.3"),
            "{warnings:?}"
        );
        let long: Vec<String> = (0..20).map(|i| format!("{i:0>200}")).collect();
        let (dns, warnings) =
            of(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"searches": long}}));
        assert_eq!((dns.searches.len(), warnings.len()), (10, 1));
    }

    #[test]
    fn without_a_cluster_dns_the_nodes_own_is_used() {
        let pod =
            serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"containers": []}})).unwrap();
        let config = AgentConfig { cluster_dns: vec![], ..config() };
        let (dns, warnings) = of_pod(&pod, &config, &host());
        assert_eq!(dns, host());
        assert!(warnings[0].contains("Falling back to \"Default\" policy"), "{warnings:?}");
    }
}
