//! System objects besides policy.
//!
//! Pure: settings to objects. Upstream: `pkg/controlplane/controller/kubernetesservice/controller.go`,
//! `pkg/apis/scheduling/v1/helpers.go`.

use super::{Wanted, reconcile};
use crate::objects;
use proa_meta::Gvr;
use serde_json::{Value, json};
use std::net::IpAddr;

/// What the wiring knows of the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Cluster IP of the `kubernetes` Service: the first of the service range.
    pub service_ip: IpAddr,
    /// Where the API is reached from nodes.
    pub advertise: IpAddr,
    /// Port of the API.
    pub port: u16,
    /// PEM of the authority that signs client certificates.
    pub client_ca: String,
    /// PEM of the authority that signs the aggregation layer's client certificate.
    pub front_proxy_ca: String,
}

/// Further front proxies that extension servers may believe, beside this server's own.
#[derive(Clone, Debug, Default)]
pub struct FrontProxies {
    /// PEM of who signs their certificates; empty: there are none.
    pub authority: String,
    /// Common names of their certificates; empty: any.
    pub allowed_names: Vec<String>,
    /// Headers that name the user.
    pub username_headers: Vec<String>,
    /// Headers that name the user's uid.
    pub uid_headers: Vec<String>,
    /// Headers that name groups.
    pub group_headers: Vec<String>,
    /// What headers of further attributes start with.
    pub extra_prefixes: Vec<String>,
}

/// Namespaces that every cluster has and nobody can delete, but for the last.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The system namespaces.
pub(super) fn namespaces() -> Vec<Wanted> {
    let namespace = |name: &&str| {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Wanted { gvr: objects::NAMESPACES, object, reconcile: reconcile::keep }
    };
    NAMESPACES.iter().map(namespace).collect()
}

/// `system-node-critical` and `system-cluster-critical`.
pub(super) fn priority_classes() -> Vec<Wanted> {
    const CLASSES: [(&str, i64, &str); 2] = [
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ];
    let class = |(name, value, description): (&str, i64, &str)| Wanted {
        gvr: objects::PRIORITY_CLASSES,
        object: json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description, "preemptionPolicy": "PreemptLowerPriority"}),
        reconcile: reconcile::keep,
    };
    CLASSES.into_iter().map(class).collect()
}

/// Tells extension servers which client certificates and front proxies to trust.
pub(super) fn authentication(settings: &Settings, others: &FrontProxies) -> Wanted {
    let is_open = !others.authority.is_empty() && others.allowed_names.is_empty();
    let names = if is_open { Vec::new() } else { union("front-proxy-client", &others.allowed_names) };
    let list = |names: Vec<&str>| json!(names).to_string();
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": settings.client_ca,
            "requestheader-client-ca-file": format!("{}{}", settings.front_proxy_ca, others.authority),
            "requestheader-allowed-names": list(names),
            "requestheader-username-headers": list(union("X-Remote-User", &others.username_headers)),
            "requestheader-uid-headers": list(union("X-Remote-Uid", &others.uid_headers)),
            "requestheader-group-headers": list(union("X-Remote-Group", &others.group_headers)),
            "requestheader-extra-headers-prefix": list(union("X-Remote-Extra-", &others.extra_prefixes)),
        },
    });
    Wanted { gvr: objects::CONFIG_MAPS, object, reconcile: reconcile::overwrite }
}

/// The own one first.
fn union<'a>(own: &'a str, others: &'a [String]) -> Vec<&'a str> {
    let others = others.iter().map(String::as_str).filter(|other| !other.eq_ignore_ascii_case(own));
    std::iter::once(own).chain(others).collect()
}

/// The `kubernetes` Service, its Endpoints and its EndpointSlice.
pub(super) fn kubernetes_service(settings: &Settings) -> Vec<Wanted> {
    let wanted = |gvr: Gvr, object, reconcile| Wanted { gvr, object, reconcile };
    let port = json!({"name": "https", "port": settings.port, "protocol": "TCP"});
    let family = if settings.advertise.is_ipv4() { "IPv4" } else { "IPv6" };
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": settings.service_ip.to_string(), "sessionAffinity": "None",
            "ipFamilyPolicy": "SingleStack", "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": settings.port}]},
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": settings.advertise.to_string()}], "ports": [port]}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": family,
        "endpoints": [{"addresses": [settings.advertise.to_string()], "conditions": {"ready": true}}],
        "ports": [port],
    });
    let mut all = vec![wanted(objects::SERVICES, service, target_port)];
    if settings.advertise.is_loopback() {
        // Endpoints cannot name a loopback address, and no pod could reach it.
        tracing::warn!(advertise = %settings.advertise, "the Service `kubernetes` has no endpoints");
        return all;
    }
    all.push(wanted(objects::ENDPOINTS, endpoints, reconcile::overwrite));
    all.push(wanted(objects::ENDPOINT_SLICES, slice, reconcile::overwrite));
    all
}

/// Only the port behind the Service follows the settings: its address cannot change.
fn target_port(existing: &Value, wanted: &Value) -> Option<Value> {
    let (have, want) = (&existing["spec"]["ports"], &wanted["spec"]["ports"]);
    if have[0]["targetPort"] == want[0]["targetPort"] {
        return None;
    }
    let mut changed = existing.clone();
    changed["spec"]["ports"] = want.clone();
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_servers_hear_of_all_front_proxies() {
        let settings = Settings {
            service_ip: [10, 96, 0, 1].into(),
            advertise: [192, 168, 0, 2].into(),
            port: 1,
            client_ca: "clients".to_owned(),
            front_proxy_ca: "own".to_owned(),
        };
        let told = |others: &FrontProxies| authentication(&settings, others).object["data"].take();
        let alone = told(&FrontProxies::default());
        assert_eq!(alone["requestheader-allowed-names"], r#"["front-proxy-client"]"#);
        let mut others = FrontProxies {
            authority: "+theirs".to_owned(),
            allowed_names: vec!["gate".to_owned()],
            username_headers: vec!["x-remote-user".to_owned(), "X-User".to_owned()],
            ..FrontProxies::default()
        };
        let both = told(&others);
        assert_eq!(both["requestheader-client-ca-file"], "own+theirs");
        assert_eq!(both["requestheader-allowed-names"], r#"["front-proxy-client","gate"]"#);
        assert_eq!(both["requestheader-username-headers"], r#"["X-Remote-User","X-User"]"#);
        others.allowed_names.clear();
        assert_eq!(told(&others)["requestheader-allowed-names"], "[]", "any name");
    }

    #[test]
    fn service_follows_the_port_and_nothing_else() {
        let settings = |port| Settings {
            service_ip: [10, 96, 0, 1].into(),
            advertise: [192, 168, 0, 2].into(),
            port,
            client_ca: String::new(),
            front_proxy_ca: String::new(),
        };
        let objects = |port| kubernetes_service(&settings(port)).remove(0).object;
        assert_eq!(target_port(&objects(6443), &objects(6443)), None);
        let changed = target_port(&objects(6443), &objects(7443)).unwrap();
        assert_eq!(changed["spec"]["ports"][0]["targetPort"], 7443);
        assert_eq!(changed["spec"]["clusterIP"], "10.96.0.1");
    }
}
