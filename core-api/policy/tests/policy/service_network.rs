//! Several ServiceCIDRs, and the IPAddresses of services.

use crate::{
    cluster::{Cluster, admin},
    policies::validates,
};
use proa_meta::Gvr;
use proa_policy::{objects, service_network};
use serde_json::{Value, json};
use std::time::Duration;

const SERVICES: &Gvr = &objects::SERVICES;
const NETWORKS: &Gvr = &objects::SERVICE_CIDRS;
const ADDRESSES: &Gvr = &objects::IP_ADDRESSES;

/// With the task of the core that is tested.
async fn start() -> Cluster {
    let cluster = Cluster::start().await;
    tokio::spawn(service_network::run(cluster.registry.clone()));
    cluster
}

impl Cluster {
    async fn service(&self, name: &str, ip: Option<&str>) -> Result<String, String> {
        let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        if let Some(ip) = ip {
            service["spec"]["clusterIP"] = json!(ip);
        }
        let made = self.create(SERVICES, "default", service).await.map_err(|e| e.message().to_owned())?;
        Ok(made["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned())
    }
    /// Waits until an object is as it should be.
    async fn until(&self, gvr: &Gvr, name: &str, is_right: impl Fn(Option<&Value>) -> bool) {
        let mut published = self.registry.published();
        let waited = async {
            while !is_right(self.get(gvr, "", name).as_ref()) {
                published.changed().await.expect("the registry lives");
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waited)
            .await
            .unwrap_or_else(|_| panic!("{gvr} {name}"));
    }
}

fn ready(network: Option<&Value>) -> &str {
    network.map_or("gone", |n| n["status"]["conditions"][0]["status"].as_str().unwrap_or("unknown"))
}

#[tokio::test]
async fn services_get_addresses_of_every_network_and_a_network_waits_for_them() {
    let cluster = start().await;
    let network = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["192.0.2.0/30"]}});
    let why = cluster.service("a", Some("192.0.2.1")).await.unwrap_err();
    assert!(
        why.contains(
            "failed to allocate IP 192.0.2.1: the provided network does not match the current range"
        ),
        "{why}"
    );
    cluster.create(NETWORKS, "", network.clone()).await.unwrap();
    cluster.until(NETWORKS, "more", |network| ready(network) == "True").await;
    let kept = cluster.get(NETWORKS, "", "more").unwrap();
    assert_eq!(kept["metadata"]["finalizers"], json!(["networking.k8s.io/service-cidr-finalizer"]));
    cluster.service("a", Some("192.0.2.1")).await.unwrap();
    let address = cluster.get(ADDRESSES, "", "192.0.2.1").unwrap();
    let labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    assert_eq!(address["metadata"]["labels"], labels);
    assert_eq!(
        address["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "a"})
    );

    cluster.delete(NETWORKS, "", "more").await.unwrap();
    cluster.until(NETWORKS, "more", |network| ready(network) == "False").await;
    assert!(cluster.service("b", Some("192.0.2.2")).await.is_err(), "it gives nothing any more");
    cluster.delete(SERVICES, "default", "a").await.unwrap();
    cluster.until(ADDRESSES, "192.0.2.1", |address| address.is_none()).await;
    cluster.until(NETWORKS, "more", |network| network.is_none()).await;
}

#[tokio::test]
async fn a_network_that_another_covers_may_go_at_once() {
    let cluster = start().await;
    let network = json!({"metadata": {"name": "part"}, "spec": {"cidrs": ["10.96.7.0/24"]}});
    cluster.create(NETWORKS, "", network).await.unwrap();
    cluster.until(NETWORKS, "part", |network| ready(network) == "True").await;
    cluster.service("a", Some("10.96.7.1")).await.unwrap();
    cluster.delete(NETWORKS, "", "part").await.unwrap();
    cluster.until(NETWORKS, "part", |network| network.is_none()).await;
}

#[tokio::test]
async fn addresses_of_others_are_left_alone_and_missing_ones_are_made_again() {
    let cluster = start().await;
    let parent = json!({"resource": "gateways", "group": "example.com", "name": "g"});
    let held = json!({"metadata": {"name": "10.96.0.77"}, "spec": {"parentRef": parent}});
    cluster.create(ADDRESSES, "", held).await.unwrap();
    let why = cluster.service("a", Some("10.96.0.77")).await.unwrap_err();
    assert!(why.contains("provided IP is already allocated"), "{why}");

    let ip = cluster.service("a", None).await.unwrap();
    let uid = |address: Option<&Value>| address.map(|a| a["metadata"]["uid"].clone());
    let first = uid(cluster.get(ADDRESSES, "", &ip).as_ref());
    cluster.delete(ADDRESSES, "", &ip).await.unwrap();
    cluster.until(ADDRESSES, &ip, |address| address.is_some() && uid(address) != first).await;

    let service = json!({"resource": "services", "namespace": "default", "name": "none"});
    let labels = json!({"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    let stray = json!({"metadata": {"name": "10.96.0.78", "labels": labels}, "spec": {"parentRef": service}});
    cluster.create(ADDRESSES, "", stray).await.unwrap();
    cluster.until(ADDRESSES, "10.96.0.78", |address| address.is_none()).await;
    assert!(cluster.get(ADDRESSES, "", "10.96.0.77").is_some());

    // What a finalizer keeps is marked with the service, and goes when the finalizer does.
    let target = cluster.target(ADDRESSES, "", &ip, &admin());
    let mut address = cluster.get(ADDRESSES, "", &ip).unwrap();
    address["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.update(&target, address).await.unwrap();
    cluster.delete(SERVICES, "default", "a").await.unwrap();
    cluster
        .until(ADDRESSES, &ip, |a| a.is_some_and(|a| a["metadata"]["deletionTimestamp"].is_string()))
        .await;
    assert!(cluster.service("b", Some(&ip)).await.is_err(), "it is still taken");
}

#[tokio::test]
async fn what_is_refused_holds_up_nothing_else_and_what_others_hold_is_made_when_it_goes() {
    let cluster = Cluster::start().await;
    let ip = cluster.service("a", None).await.unwrap();
    cluster.delete(ADDRESSES, "", &ip).await.unwrap();
    let parent = json!({"resource": "gateways", "group": "example.com", "name": "g"});
    let foreign = json!({"metadata": {"name": ip}, "spec": {"parentRef": parent}});
    cluster.create(ADDRESSES, "", foreign).await.unwrap();
    let rules = json!([{"operations": ["DELETE"], "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"],
        "resources": ["ipaddresses"]}]);
    let spec = json!({"matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "oldObject.metadata.name != '10.96.0.70'"}]});
    validates(&cluster, "stays", spec, json!({})).await;
    let labels = json!({"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    let service = json!({"resource": "services", "namespace": "default", "name": "none"});
    for name in ["10.96.0.70", "10.96.0.78"] {
        let stray = json!({"metadata": {"name": name, "labels": labels}, "spec": {"parentRef": service}});
        cluster.create(ADDRESSES, "", stray).await.unwrap();
    }
    tokio::spawn(service_network::run(cluster.registry.clone()));
    cluster.until(ADDRESSES, "10.96.0.78", |address| address.is_none()).await;
    assert!(cluster.get(ADDRESSES, "", "10.96.0.70").is_some());
    let is_own = |address: Option<&Value>| address.is_some_and(|a| a["spec"]["parentRef"]["name"] == "a");
    assert!(!is_own(cluster.get(ADDRESSES, "", &ip).as_ref()));
    cluster.delete(ADDRESSES, "", &ip).await.unwrap();
    cluster.until(ADDRESSES, &ip, is_own).await;
}
