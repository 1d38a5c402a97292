//! A node in a real API: registration, readiness, other people's writes, a restart.

use super::*;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Node, NodeCondition},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use proa_runtime_shim::fake::Fake;
use proa_test_cluster::Cluster;
use serde_json::json;
use tokio::{task::JoinHandle, time::timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "n1";

fn config(pod_cidr: &str) -> AgentConfig {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    AgentConfig {
        node: NAME.to_owned(),
        address: [192, 0, 2, 7].into(),
        labels: vec![("disk".to_owned(), "fast".to_owned())],
        root: std::env::temp_dir(),
        pod_logs: std::env::temp_dir(),
        pod_cidr: pod_cidr.to_owned(),
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf: "/etc/resolv.conf".into(),
        cgroup_parent: "/test".to_owned(),
        max_pods: 110,
        eviction_hard: crate::EvictionHard::default(),
        server: crate::ServerConfig { listen: any, certificate: vec![], key: vec![], client_ca: vec![] },
    }
}

struct Agent {
    pressure: watch::Sender<Pressure>,
    images: Arc<Notify>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), NodeError>>,
}

impl Agent {
    fn start(cluster: &Cluster, runtime: &Fake, pod_cidr: &'static str) -> Self {
        let (pressure, seen) = watch::channel(Pressure::default());
        let images = Arc::new(Notify::new());
        let shutdown = CancellationToken::new();
        let inputs =
            Inputs { port: 10_250, pressure: seen, images: images.clone(), runtime_grace: Duration::ZERO };
        let client = cluster.client(&format!("system:node:{NAME}"), &["system:nodes"]);
        let (runtime, token) = (runtime.clone(), shutdown.clone());
        let clock: Arc<dyn proa_kit::Clock> = Arc::new(proa_kit::clock::SystemClock);
        let task = tokio::spawn(async move {
            let recorder = Recorder::start(client.clone(), "kubelet", NAME, clock);
            run(client, runtime, &config(pod_cidr), inputs, recorder, token).await
        });
        Self { pressure, images, shutdown, task }
    }

    async fn stop(self) -> Result<(), NodeError> {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

/// Waits until the node fulfils the condition.
async fn until(cluster: &Cluster, fulfilled: impl Fn(&Node) -> bool) -> Node {
    let nodes: Api<Node> = Api::all(cluster.admin());
    let wait = await_condition(nodes, NAME, move |node: Option<&Node>| node.is_some_and(&fulfilled));
    timeout(PATIENCE, wait).await.unwrap().unwrap().unwrap()
}

async fn until_condition(
    cluster: &Cluster,
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
) -> Node {
    until(cluster, move |node| {
        condition(node, kind).is_some_and(|c| c.status == status && c.reason.as_deref() == Some(reason))
    })
    .await
}

#[tokio::test]
async fn a_node_registers_and_is_ready_when_its_runtime_is() {
    let cluster = Cluster::start().await.unwrap();
    let runtime = Fake::new();
    runtime.go_away();
    let agent = Agent::start(&cluster, &runtime, "10.244.3.0/24");
    let node = until_condition(&cluster, "Ready", "False", "KubeletNotReady").await;
    assert_eq!(node.metadata.labels.as_ref().unwrap()["kubernetes.io/hostname"], NAME);
    assert_eq!(node.metadata.labels.as_ref().unwrap()["disk"], "fast");
    assert_eq!(node.spec.as_ref().unwrap().pod_cidrs, Some(vec!["10.244.3.0/24".to_owned()]));
    runtime.come_back();
    let node = until_condition(&cluster, "Ready", "True", "KubeletReady").await;
    let status = node.status.unwrap();
    let info = status.node_info.unwrap();
    assert_eq!(info.container_runtime_version, "fake://1");
    assert_eq!(info.kubelet_version, cluster.admin().apiserver_version().await.unwrap().git_version);
    assert_eq!(status.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port, 10_250);
    assert_eq!(status.addresses.unwrap()[0].address, "192.0.2.7");
    let leases: Api<Lease> = Api::namespaced(cluster.admin(), "kube-node-lease");
    let renewed =
        |lease: Option<&Lease>| lease.is_some_and(|lease| lease.spec.as_ref().unwrap().renew_time.is_some());
    let lease = timeout(PATIENCE, await_condition(leases, NAME, renewed)).await.unwrap().unwrap().unwrap();
    assert_eq!(lease.metadata.owner_references.unwrap()[0].uid, node.metadata.uid.unwrap());
    runtime.go_away();
    until_condition(&cluster, "Ready", "False", "KubeletNotReady").await;
    runtime.come_back();
    until_condition(&cluster, "Ready", "True", "KubeletReady").await;
    agent.stop().await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn a_change_is_told_at_once() {
    let cluster = Cluster::start().await.unwrap();
    let runtime = Fake::new();
    let agent = Agent::start(&cluster, &runtime, "10.244.3.0/24");
    until_condition(&cluster, "Ready", "True", "KubeletReady").await;
    agent.pressure.send_replace(Pressure { disk: true, ..Pressure::default() });
    until_condition(&cluster, "DiskPressure", "True", "KubeletHasDiskPressure").await;
    runtime.add_image("registry.example/a:1");
    agent.images.notify_one();
    let has_image = |node: &Node| {
        let images = node.status.as_ref().and_then(|status| status.images.as_ref());
        images
            .is_some_and(|images| images.iter().any(|i| i.names.iter().flatten().any(|n| n.contains("/a:1"))))
    };
    until(&cluster, has_image).await;
    // As the node-lifecycle operator does with a node that it takes for lost.
    let lost = json!({"status": {"conditions": [
        {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "stopped posting"}]}});
    let nodes: Api<Node> = Api::all(cluster.admin());
    nodes.patch_status(NAME, &PatchParams::default(), &Patch::Strategic(lost)).await.unwrap();
    until_condition(&cluster, "Ready", "True", "KubeletReady").await;
    agent.stop().await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn a_restart_moves_no_transition_time() {
    let cluster = Cluster::start().await.unwrap();
    let runtime = Fake::new();
    let agent = Agent::start(&cluster, &runtime, "10.244.3.0/24");
    until_condition(&cluster, "Ready", "True", "KubeletReady").await;
    agent.stop().await.unwrap();
    // A label and a time that show what the next agent corrects and what it keeps.
    let nodes: Api<Node> = Api::all(cluster.admin());
    let labels = json!({"metadata": {"labels": {"kubernetes.io/os": "other", "disk": "slow"}}});
    nodes.patch(NAME, &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
    let old = "2020-01-01T00:00:00Z";
    let conditions = json!({"status": {"conditions": [{"type": "Ready", "lastTransitionTime": old}]}});
    nodes.patch_status(NAME, &PatchParams::default(), &Patch::Strategic(conditions)).await.unwrap();
    let agent = Agent::start(&cluster, &runtime, "10.244.3.0/24");
    let node =
        until(&cluster, |node| node.metadata.labels.as_ref().unwrap()["kubernetes.io/os"] == "linux").await;
    assert_eq!(node.metadata.labels.as_ref().unwrap()["disk"], "slow");
    let since = condition(&node, "Ready").unwrap().last_transition_time.clone().unwrap();
    assert_eq!(since.0, old.parse().unwrap());
    agent.stop().await.unwrap();
    let other = Agent::start(&cluster, &runtime, "10.244.4.0/24");
    let refused = timeout(PATIENCE, other.task).await.unwrap().unwrap().unwrap_err().to_string();
    assert!(refused.contains("podCIDR 10.244.3.0/24") && refused.contains("10.244.4.0/24"), "{refused}");
    cluster.stop().await;
}
