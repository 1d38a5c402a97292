//! The loop against a runtime in memory and thresholds that are met, or not, whatever the machine has.

use super::*;
use parking_lot::Mutex;
use proa_runtime_shim::{ContainerConfig, ContainerStats, Runtime as _, SandboxConfig, fake::Fake};
use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

const PATIENCE: Duration = Duration::from_secs(30);

/// Pods `a` and `b`; an evicted one is gone.
struct Agent {
    pods: Mutex<Vec<Arc<Pod>>>,
    evicted: mpsc::UnboundedSender<(String, Eviction)>,
    reclaimed: mpsc::UnboundedSender<()>,
    directory: TempDir,
}

impl Host for Arc<Agent> {
    fn active(&self) -> Vec<Arc<Pod>> {
        self.pods.lock().clone()
    }
    async fn evict(&self, pod: &Arc<Pod>, eviction: Eviction) {
        let name = pod.metadata.name.clone().unwrap();
        self.pods.lock().retain(|other| other.metadata.name != pod.metadata.name);
        let _ = self.evicted.send((name, eviction));
    }
    async fn reclaim(&self) {
        let _ = self.reclaimed.send(());
    }
    fn empty_dir(&self, pod_uid: &str, volume: &str) -> PathBuf {
        self.directory.path().join(pod_uid).join(volume)
    }
    fn log_directory(&self, pod: &Pod) -> PathBuf {
        self.directory.path().join(pod.metadata.uid.as_ref().unwrap()).join("logs")
    }
}

fn pod(name: &str, volumes: &serde_json::Value) -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"volumes": volumes, "containers": [{"name": "c"}]}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// A container that uses so much memory.
async fn uses(runtime: &Fake, pod: &str, memory: u64) {
    let sandbox = SandboxConfig { name: pod.to_owned(), uid: pod.to_owned(), ..SandboxConfig::default() };
    let id = runtime.run_sandbox(&sandbox).await.unwrap();
    runtime.add_image("i");
    let labels = [("io.kubernetes.pod.uid", pod), ("io.kubernetes.container.name", "c")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = ContainerConfig {
        name: "c".to_owned(),
        image: runtime.image("i").await.unwrap().unwrap().id,
        command: vec!["sleep".to_owned(), "infinity".to_owned()],
        labels: labels.clone().into(),
        ..ContainerConfig::default()
    };
    let id = runtime.create_container(&id, &config, &sandbox).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    runtime.set_stats(ContainerStats {
        id,
        labels: labels.into(),
        at: proa_kit::Timestamp::now(),
        cpu_nanoseconds: 0,
        working_set_bytes: memory,
        rss_bytes: memory,
        major_page_faults: 0,
        page_faults: 0,
        writable_layer_bytes: 0,
        writable_layer_inodes: 0,
    });
}

struct Bench {
    agent: Arc<Agent>,
    evicted: mpsc::UnboundedReceiver<(String, Eviction)>,
    reclaimed: mpsc::UnboundedReceiver<()>,
    pressure: watch::Receiver<Pressure>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Bench {
    async fn start(pods: Vec<Arc<Pod>>, hard: &str) -> Self {
        let hard = hard.parse().unwrap();
        let runtime = Fake::new();
        uses(&runtime, "a", 1 << 20).await;
        uses(&runtime, "b", 2 << 20).await;
        let (tell, evicted) = mpsc::unbounded_channel();
        let (say, reclaimed) = mpsc::unbounded_channel();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("a/cache")).unwrap();
        std::fs::write(directory.path().join("a/cache/file"), vec![1; 1 << 20]).unwrap();
        let root = directory.path().to_owned();
        let agent = Arc::new(Agent { pods: Mutex::new(pods), evicted: tell, reclaimed: say, directory });
        let config = EvictionConfig { hard, transition: Duration::ZERO, interval: Duration::from_secs(3600) };
        let (publish, pressure) = watch::channel(Pressure::default());
        let shutdown = CancellationToken::new();
        let (host, token) = (agent.clone(), shutdown.clone());
        let task = tokio::spawn(async move {
            run(host, runtime, "n", root, config, Recorder::discard(), publish, token).await;
        });
        Self { agent, evicted, reclaimed, pressure, shutdown, task }
    }

    async fn next_evicted(&mut self) -> (String, Eviction) {
        timeout(PATIENCE, self.evicted.recv()).await.unwrap().unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn short_memory_takes_pods_one_by_one_the_largest_first() {
    let pods = vec![pod("a", &json!([])), pod("b", &json!([]))];
    let mut bench = Bench::start(pods, "memory.available<1Ei").await;
    let (first, eviction) = bench.next_evicted().await;
    assert_eq!(first, "b");
    assert!(eviction.is_disruption);
    assert!(
        eviction.message.starts_with("The node was low on resource: memory. Threshold quantity: "),
        "{eviction:?}"
    );
    assert!(
        eviction
            .message
            .ends_with("Container c was using 2Mi, request is 0, has larger consumption of memory. "),
        "{eviction:?}"
    );
    assert_eq!(bench.next_evicted().await.0, "a");
    assert!(bench.pressure.borrow().memory);
    assert!(bench.agent.pods.lock().is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_first_met_by_what_nothing_uses() {
    let mut bench = Bench::start(vec![pod("a", &json!([]))], "nodefs.available<1Ei").await;
    timeout(PATIENCE, bench.reclaimed.recv()).await.unwrap().unwrap();
    let (name, eviction) = bench.next_evicted().await;
    assert_eq!(name, "a");
    assert!(
        eviction.message.starts_with("The node was low on resource: ephemeral-storage. "),
        "{eviction:?}"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_volume_over_its_limit_takes_its_pod_whatever_the_node_has() {
    let cache = |limit: &str| json!([{"name": "cache", "emptyDir": {"sizeLimit": limit}}]);
    let pods = vec![pod("b", &cache("1Mi")), pod("a", &cache("100Ki"))];
    let mut bench = Bench::start(pods, "").await;
    let (name, eviction) = bench.next_evicted().await;
    assert_eq!(name, "a");
    assert!(!eviction.is_disruption);
    assert_eq!(eviction.message, "Usage of EmptyDir volume \"cache\" exceeds the limit \"100Ki\". ");
    assert_eq!(bench.agent.pods.lock().len(), 1);
    assert_eq!(*bench.pressure.borrow(), Pressure::default());
    bench.stop().await;
}
