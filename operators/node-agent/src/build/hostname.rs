//! Host names of pods and their `/etc/hosts`.
//!
//! Pure. Invariants: a pod on the node's network has the node's name and the node's hosts file, with its own aliases
//! appended. Upstream: `pkg/kubelet/kubelet_pods.go` (`GeneratePodHostNameAndDomain`, `ensureHostsFile`),
//! `pkg/kubelet/util/util.go` (`GetNodenameForKernel`).

use super::{FAILED_CREATE_SANDBOX, Refused, name, namespace};
use k8s_openapi::api::core::v1::{HostAlias, Pod};
use std::fmt::Write as _;

/// Longest host name; the kernel's 64 bytes include the end.
const MAX_HOSTNAME: usize = 63;
/// Longest name of the kernel.
const MAX_KERNEL_NAME: usize = 64;

/// Short host name of a pod, and its domain: empty without a subdomain.
pub(crate) fn of_pod(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let Some(spec) = &pod.spec else { return (String::new(), String::new()) };
    if let Some(forced) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (truncated(forced), String::new());
    }
    let own = spec.hostname.as_deref().filter(|name| !name.is_empty());
    let domain = spec.subdomain.as_deref().filter(|name| !name.is_empty());
    let domain = domain.map(|sub| format!("{sub}.{}.svc.{cluster_domain}", namespace(pod)));
    (truncated(own.unwrap_or(name(pod))), domain.unwrap_or_default())
}

/// Host name of a pod's sandbox: empty on the node's network.
pub(crate) fn of_sandbox(pod: &Pod, cluster_domain: &str) -> Result<String, Refused> {
    if super::is_host_network(pod) {
        return Ok(String::new());
    }
    let (host, domain) = of_pod(pod, cluster_domain);
    let is_qualified = pod.spec.as_ref().is_some_and(|spec| spec.set_hostname_as_fqdn == Some(true));
    if !is_qualified || domain.is_empty() {
        return Ok(host);
    }
    let whole = format!("{host}.{domain}");
    if whole.len() <= MAX_KERNEL_NAME {
        return Ok(whole);
    }
    let message = format!(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long \
         ({MAX_KERNEL_NAME} characters is the max, {} characters requested)",
        whole.len()
    );
    Err(Refused { reason: FAILED_CREATE_SANDBOX, message })
}

fn truncated(hostname: &str) -> String {
    if hostname.len() <= MAX_HOSTNAME {
        return hostname.to_owned();
    }
    // Host names are ASCII; a server that let another one pass gets it cut at a character.
    let end = (0..=MAX_HOSTNAME).rev().find(|at| hostname.is_char_boundary(*at)).unwrap_or_default();
    hostname[..end].trim_end_matches(['-', '.']).to_owned()
}

/// The `/etc/hosts` of a pod. `node_hosts` is the node's own, used on the node's network only.
pub(crate) fn hosts_file(pod: &Pod, cluster_domain: &str, addresses: &[String], node_hosts: &str) -> String {
    let aliases = pod.spec.as_ref().and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
    let mut text = if super::is_host_network(pod) {
        format!("# Kubernetes-managed hosts file (host network).\n{node_hosts}")
    } else {
        managed(pod, cluster_domain, addresses)
    };
    append_aliases(&mut text, aliases);
    text
}

fn managed(pod: &Pod, cluster_domain: &str, addresses: &[String]) -> String {
    let (host, domain) = of_pod(pod, cluster_domain);
    let names = if domain.is_empty() { host } else { format!("{host}.{domain}\t{host}") };
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    for address in addresses {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

fn append_aliases(text: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    text.push_str("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}\t{names}", alias.ip);
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases read better without borrows")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec}))
            .unwrap()
    }

    #[test]
    fn names_of_sandboxes() {
        let long = "a".repeat(62) + "-b";
        for (spec, want) in [
            (json!({"containers": []}), "web-0"),
            (json!({"containers": [], "hostname": "h", "subdomain": "s"}), "h"),
            (
                json!({"containers": [], "hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true}),
                "h.s.shop.svc.cluster.local",
            ),
            (json!({"containers": [], "setHostnameAsFQDN": true}), "web-0"),
            (json!({"containers": [], "hostname": "h", "hostNetwork": true}), ""),
            (json!({"containers": [], "hostname": "h", "subdomain": "s", "hostnameOverride": "x.y"}), "x.y"),
            (json!({"containers": [], "hostname": long}), &long[..62]),
        ] {
            assert_eq!(of_sandbox(&pod(spec.clone()), "cluster.local").unwrap(), want, "{spec}");
        }
    }

    #[test]
    fn a_qualified_name_that_is_too_long_is_refused() {
        let pod = pod(
            json!({"containers": [], "setHostnameAsFQDN": true, "hostname": "h".repeat(40), "subdomain": "s"}),
        );
        let refused = of_sandbox(&pod, "cluster.local").unwrap_err();
        assert_eq!(refused.reason, "FailedCreatePodSandBox");
        assert!(
            refused.message.ends_with("(64 characters is the max, 65 characters requested)"),
            "{refused}"
        );
    }

    #[test]
    fn hosts_files() {
        let aliases = json!([{"ip": "1.2.3.4", "hostnames": ["a.b", "c"]}]);
        let own = pod(json!({"containers": [], "subdomain": "s", "hostAliases": aliases}));
        let addresses = ["10.244.0.5".to_owned()];
        let text = hosts_file(&own, "cluster.local", &addresses, "ignored");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{text}");
        assert!(
            text.ends_with(
                "10.244.0.5\tweb-0.s.shop.svc.cluster.local\tweb-0\n\n# Entries added by HostAliases.\n1.2.3.4\ta.b\tc\n"
            ),
            "{text}"
        );
        let host = pod(json!({"containers": [], "hostNetwork": true}));
        let text = hosts_file(&host, "cluster.local", &addresses, "127.0.0.1 node\n");
        assert_eq!(text, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 node\n");
    }
}
