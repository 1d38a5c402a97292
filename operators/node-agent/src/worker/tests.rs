//! Workers against a real API server and the runtime in memory.

mod changes;

use crate::{
    AgentConfig, Pods, ServerConfig, act::cgroups::Cgroups, eviction::Pressure, index::Index,
    plan::memory::Verdict, status::patch, volumes::layout::Layout,
};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, ServiceAccount};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::watcher::{self, Event},
};
use proa_kit::{clock::SystemClock, events::Recorder};
use proa_runtime_shim::{
    ContainerState as State, Runtime as _,
    fake::{Fake, Pull},
};
use proa_test_cluster::Cluster;
use serde_json::{Value, json};
use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const NODE: &str = "n1";
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    cluster: Cluster,
    fake: Fake,
    root: tempfile::TempDir,
    index: Index,
    agent: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    async fn start() -> Self {
        let cluster = Cluster::start().await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin(), "default");
        let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let mut world = Self {
            cluster,
            fake: Fake::new(),
            root: tempfile::tempdir().unwrap(),
            index: Index::default(),
            agent: None,
        };
        world.start_agent();
        world
    }
    fn start_agent(&mut self) {
        let client =
            self.cluster.client(&format!("system:node:{NODE}"), &["system:nodes", "system:authenticated"]);
        let shutdown = CancellationToken::new();
        self.index = Index::default();
        let pods = self.pods(client);
        let until = shutdown.clone();
        let task = tokio::spawn(async move { pods.run(until).await.unwrap() });
        self.agent = Some((shutdown, task));
    }
    async fn stop_agent(&mut self) {
        if let Some((shutdown, task)) = self.agent.take() {
            shutdown.cancel();
            timeout(PATIENCE, task).await.unwrap().unwrap();
        }
    }
    fn pods(&self, client: Client) -> Pods<Fake> {
        let config = AgentConfig {
            node: NODE.to_owned(),
            address: IpAddr::from([127, 0, 0, 1]),
            labels: Vec::new(),
            root: self.root.path().join("agent"),
            pod_logs: self.root.path().join("logs"),
            pod_cidr: "10.244.0.0/24".to_owned(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            cgroup_parent: "/proa-test".to_owned(),
            max_pods: 110,
            // Whatever the machine is short of.
            eviction_hard: "".parse().unwrap(),
            server: ServerConfig {
                listen: ([127, 0, 0, 1], 0).into(),
                certificate: Vec::new(),
                key: Vec::new(),
                client_ca: Vec::new(),
            },
        };
        let clock = Arc::new(SystemClock);
        Pods {
            recorder: Recorder::start(client.clone(), "kubelet", NODE, clock.clone()),
            client,
            runtime: self.fake.clone(),
            cgroups: Cgroups::of_mounts(&config.cgroup_parent, ""),
            config: Arc::new(config),
            index: self.index.clone(),
            pressure: watch::Sender::new(Pressure::default()),
            news: Arc::new(Notify::new()),
            clock,
        }
    }
    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.admin(), "default")
    }
    async fn create(&self, name: &str, mut spec: Value) -> Pod {
        spec["nodeName"] = json!(NODE);
        spec["automountServiceAccountToken"] = json!(false);
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.api().create(&PostParams::default(), &pod).await.unwrap()
    }
    /// Waits until the pod is as wanted; `None` is a pod that is gone.
    async fn wait(&self, name: &str, what: &str, wanted: impl Fn(Option<&Pod>) -> bool) -> Option<Pod> {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = pin!(watcher::watcher(self.api(), config));
        let mut latest = None;
        let waiting = async {
            while let Some(event) = events.try_next().await.unwrap() {
                let is_listing = matches!(event, Event::Init | Event::InitApply(_));
                match event {
                    Event::Apply(pod) | Event::InitApply(pod) => latest = Some(pod),
                    Event::Delete(_) | Event::Init => latest = None,
                    Event::InitDone => {}
                }
                if !is_listing && wanted(latest.as_ref()) {
                    return;
                }
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            let status = self.api().get_opt(name).await.unwrap().and_then(|pod| pod.status);
            let status = serde_json::to_string(&status).unwrap();
            panic!("{name} never was {what}: {status}; runtime: {:?}", self.fake.calls());
        }
        latest
    }
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        self.wait(name, what, |pod| pod.is_some_and(&wanted)).await.unwrap()
    }
    async fn until_phase(&self, name: &str, phase: &str) -> Pod {
        self.until(name, phase, |pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some(phase))
            .await
    }
    async fn until_gone(&self, name: &str) {
        self.wait(name, "gone", |pod| pod.is_none()).await;
    }
    /// Waits until the runtime has nothing.
    async fn until_empty(&self) {
        let empty = async {
            while !self.fake.sandboxes().await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(PATIENCE, empty).await.is_ok(), "sandboxes stay: {:?}", self.fake.calls());
        assert!(self.fake.containers().await.unwrap().is_empty());
    }
    async fn delete(&self, name: &str, grace: Option<u32>) {
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
        drop(self.api().delete(name, &params).await.unwrap());
    }
    fn count(&self, call: &str) -> usize {
        self.fake.calls().iter().filter(|own| own.starts_with(call)).count()
    }
    async fn stop(mut self) {
        self.stop_agent().await;
        self.cluster.stop().await;
    }
}

fn containers(pod: &Pod) -> &[ContainerStatus] {
    pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default()
}

fn first(pod: &Pod) -> ContainerStatus {
    containers(pod).first().cloned().unwrap_or_default()
}

fn state(pod: &Pod) -> ContainerState {
    first(pod).state.unwrap_or_default()
}

fn is_waiting(pod: &Pod, reason: &str) -> bool {
    state(pod).waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some(reason))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn app(args: &Value) -> Value {
    json!({"terminationGracePeriodSeconds": 600, "containers": [{"name": "app", "image": "app:1", "args": args}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_pod_runs_and_goes_when_deleted() {
    let world = World::start().await;
    world.create("a", app(&json!(["run"]))).await;
    let pod = world.until("a", "ready", is_ready).await;
    let status = pod.status.clone().unwrap();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert!(status.pod_ip.is_some() && status.start_time.is_some());
    assert!(first(&pod).container_id.unwrap().starts_with("fake://"));
    assert_eq!(first(&pod).started, Some(true));
    world.delete("a", None).await;
    world.until_gone("a").await;
    world.until_empty().await;
    for call in ["run_sandbox", "create_container", "start_container", "stop_container", "remove_sandbox"] {
        assert_eq!(world.count(call), 1, "{call}: {:?}", world.fake.calls());
    }
    let logs = world.root.path().join("logs").join(format!("default_a_{}", pod.metadata.uid.unwrap()));
    let removed = async {
        while logs.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, removed).await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_is_started_again_and_then_backs_off() {
    let world = World::start().await;
    world.create("a", app(&json!(["exit", "3"]))).await;
    let pod = world.until("a", "backing off", |pod| is_waiting(pod, "CrashLoopBackOff")).await;
    let status = first(&pod);
    assert_eq!(status.restart_count, 1);
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    let message = state(&pod).waiting.unwrap().message.unwrap();
    assert!(message.starts_with("back-off 10s restarting failed container=app pod=a_default("), "{message}");
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Running"));
    world.delete("a", Some(1)).await;
    world.until_gone("a").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_come_first_and_a_pod_can_succeed() {
    let world = World::start().await;
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [
            {"name": "one", "image": "i:1", "args": ["exit", "0"]},
            {"name": "side", "image": "i:2", "restartPolicy": "Always", "args": ["run"]},
        ],
        "containers": [{"name": "app", "image": "app:1", "args": ["after", "50", "0"]}]});
    world.create("a", spec).await;
    let pod = world.until_phase("a", "Succeeded").await;
    let starts: Vec<String> =
        world.fake.calls().into_iter().filter(|call| call.starts_with("create_container")).collect();
    assert_eq!(starts, ["create_container one", "create_container side", "create_container app"]);
    assert_eq!(state(&pod).terminated.unwrap().reason.as_deref(), Some("Completed"));
    // Its containers stay for their logs until it is deleted.
    assert_eq!(world.fake.containers().await.unwrap().len(), 3);
    world.delete("a", None).await;
    world.until_gone("a").await;
    world.until_empty().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n3_a_new_agent_takes_over_what_runs() {
    let mut world = World::start().await;
    world.create("a", app(&json!(["run"]))).await;
    let before = first(&world.until("a", "ready", is_ready).await);
    world.stop_agent().await;
    // What happens meanwhile is seen later.
    world.create("b", app(&json!(["run"]))).await;
    world.start_agent();
    world.until("b", "ready", is_ready).await;
    let after = first(&world.until("a", "ready", is_ready).await);
    assert_eq!(before, after);
    assert_eq!((world.count("run_sandbox"), world.count("create_container")), (2, 2));
    world.stop_agent().await;
    world.delete("a", Some(0)).await;
    world.delete("b", Some(600)).await;
    world.start_agent();
    world.until_gone("b").await;
    world.until_empty().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sandbox_and_a_lost_runtime_are_survived() {
    let world = World::start().await;
    world.create("a", app(&json!(["run"]))).await;
    let before = first(&world.until("a", "ready", is_ready).await);
    let sandbox = world.fake.sandboxes().await.unwrap().remove(0);
    world.fake.lose_sandbox(&sandbox.id);
    let again = |pod: &Pod| is_ready(pod) && first(pod).container_id != before.container_id;
    let pod = world.until("a", "running again", again).await;
    // It may have been started once more in the sandbox that was going.
    let count = first(&pod).restart_count;
    assert!(count > 0);
    world.fake.go_away();
    world.create("b", app(&json!(["run"]))).await;
    world.fake.come_back();
    world.until("b", "ready", is_ready).await;
    assert_eq!(first(&world.until("a", "ready", is_ready).await).restart_count, count);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_told_and_holds_nobody_up() {
    let world = World::start().await;
    let pull = Pull { failures: 9, why: "no such image".to_owned(), ..Pull::default() };
    world.fake.on_pull("gone:1", pull);
    let spec = json!({"containers": [{"name": "app", "image": "gone:1"}, {"name": "b", "image": "b:1"}]});
    world.create("a", spec).await;
    let wanted = |pod: &Pod| is_waiting(pod, "ErrImagePull") && containers(pod)[1].ready;
    let pod = world.until("a", "waiting for its image", wanted).await;
    assert!(state(&pod).waiting.unwrap().message.unwrap().contains("no such image"));
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Pending"));
    world.create("bad", json!({"containers": [{"name": "app", "image": "Bad Name"}]})).await;
    world.until("bad", "refused", |pod| is_waiting(pod, "InvalidImageName")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_pod_has_gone_when_its_volumes_have() {
    let world = World::start().await;
    let mut spec = app(&json!(["run"]));
    spec["containers"][0]["volumeMounts"] = json!([{"name": "cache", "mountPath": "/cache"}]);
    spec["volumes"] = json!([{"name": "cache", "emptyDir": {}}]);
    world.create("a", spec).await;
    let uid = world.until("a", "ready", is_ready).await.metadata.uid.unwrap();
    let folder =
        Layout::new(&world.root.path().join("agent")).volume(&uid, "kubernetes.io~empty-dir", "cache");
    assert!(folder.exists());
    let verdict =
        Verdict { reason: "Evicted".into(), message: "full".into(), grace: Some(0), disruption: true };
    let mut is_stopped = world.index.evict(&uid, verdict).unwrap();
    timeout(PATIENCE, is_stopped.wait_for(|is_stopped| *is_stopped)).await.unwrap().unwrap();
    assert!(!folder.exists(), "whoever waited measures the disk next");
    let pod = world.until_phase("a", "Failed").await;
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("Evicted"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_deletion_shortens_the_grace() {
    let world = World::start().await;
    world.create("a", app(&json!(["stubborn"]))).await;
    world.until("a", "ready", is_ready).await;
    world.delete("a", None).await;
    world.until("a", "going", |pod| pod.metadata.deletion_timestamp.is_some()).await;
    world.delete("a", Some(1)).await;
    world.until_gone("a").await;
    world.until_empty().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_took_is_not_written_again() {
    let world = World::start().await;
    let quantity = json!({"requests": {"cpu": "0.1", "memory": "1024Ki"}});
    let spec = json!({
        "initContainers": [{"name": "one", "image": "i:1", "args": ["exit", "0"]}],
        "containers": [{"name": "app", "image": "app:1", "args": ["run"], "resources": quantity}],
    });
    world.create("a", spec).await;
    let pod = world.until("a", "ready", is_ready).await;
    let shown = world.index.shown(pod.metadata.uid.as_deref().unwrap()).unwrap();
    assert_eq!(patch::between(pod.status.as_ref().unwrap(), &shown.status), None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_others_spoiled_is_written_again() {
    let world = World::start().await;
    world.create("a", app(&json!(["run"]))).await;
    world.until("a", "ready", is_ready).await;
    let spoiled = json!({"status": {"phase": "Pending", "containerStatuses": [],
        "conditions": [{"type": "example.com/own", "status": "True"}]}});
    world.api().patch_status("a", &PatchParams::default(), &Patch::Strategic(spoiled)).await.unwrap();
    let repaired = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let is_kept = conditions.into_iter().any(|c| c.type_ == "example.com/own");
        is_kept
            && !containers(pod).is_empty()
            && pod.status.as_ref().unwrap().phase.as_deref() == Some("Running")
    };
    world.until("a", "repaired", repaired).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n4_what_belongs_to_no_pod_goes() {
    let mut world = World::start().await;
    world.create("a", app(&json!(["run"]))).await;
    world.until("a", "ready", is_ready).await;
    world.stop_agent().await;
    world.delete("a", Some(0)).await;
    world.until_gone("a").await;
    let running = world.fake.containers().await.unwrap();
    assert!(running.iter().any(|container| container.state == State::Running));
    world.start_agent();
    world.until_empty().await;
    world.stop().await;
}
