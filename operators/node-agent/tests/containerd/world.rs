//! A cluster of one real node, gone with the test however it ends.

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, ServiceAccount};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
    runtime::watcher::{self, Event},
};
use proa_node_agent::{AgentConfig, ServerConfig};
use proa_runtime_shim::{
    Containerd, Runtime as _,
    archive::{Archive, File},
    cni,
    daemon::{Daemon, DaemonConfig, sweep},
    load::load_image,
};
use proa_test_cluster::Cluster;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    pin::pin,
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const IMAGE: &str = "test.example/program:1";
const NODE: &str = "node";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    cluster: Option<Cluster>,
    node: DaemonConfig,
    dir: TempDir,
    subnet: String,
    agent: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (node, subnet) = node(dir.path());
        let daemon = Daemon::start_or_adopt(node.clone()).await.unwrap();
        drop(daemon);
        let archive = dir.path().join("program.tar");
        fs::write(&archive, program_archive()).unwrap();
        load_image(&node.socket(), &archive).await.unwrap();
        let cluster = Cluster::start().await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin(), "default");
        let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let mut world = Self { cluster: Some(cluster), node, dir, subnet, agent: None };
        world.start_agent();
        world
    }
    fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().unwrap()
    }
    pub(crate) fn admin(&self) -> Client {
        self.cluster().admin()
    }
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
    pub(crate) async fn runtime(&self) -> Containerd {
        Containerd::connect(&self.node.socket()).await.unwrap()
    }
    pub(crate) fn start_agent(&mut self) {
        let client =
            self.cluster().client(&format!("system:node:{NODE}"), &["system:nodes", "system:authenticated"]);
        let (config, socket, shutdown) = (self.config(), self.node.socket(), CancellationToken::new());
        let until = shutdown.clone();
        let task = tokio::spawn(async move {
            let runtime = Containerd::connect(&socket).await.unwrap();
            proa_node_agent::run(client, runtime, config, until).await.unwrap();
        });
        self.agent = Some((shutdown, task));
    }
    pub(crate) async fn stop_agent(&mut self) {
        if let Some((shutdown, task)) = self.agent.take() {
            shutdown.cancel();
            timeout(PATIENCE, task).await.unwrap().unwrap();
        }
    }
    /// Kills containerd and starts it again.
    pub(crate) async fn kill_containerd(&self) {
        let daemon = Daemon::start_or_adopt(self.node.clone()).await.unwrap();
        let pid = rustix::process::Pid::from_raw(daemon.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let gone = async {
            while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(daemon.pid()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
        drop(daemon);
        drop(Daemon::start_or_adopt(self.node.clone()).await.unwrap());
    }
    fn config(&self) -> AgentConfig {
        let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        AgentConfig {
            node: NODE.to_owned(),
            address: [127, 0, 0, 1].into(),
            labels: Vec::new(),
            root: self.node.shared.clone(),
            pod_logs: self.dir().join("logs"),
            pod_cidr: self.subnet.clone(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            cgroup_parent: self.node.cgroup_parent.clone(),
            max_pods: 110,
            // Whatever the machine is short of.
            eviction_hard: "".parse().unwrap(),
            server: ServerConfig {
                listen: ([127, 0, 0, 1], 0).into(),
                certificate: certificate.cert.pem().into_bytes(),
                key: certificate.signing_key.serialize_pem().into_bytes(),
                client_ca: certificate.cert.pem().into_bytes(),
            },
        }
    }
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.admin(), "default")
    }
    pub(crate) async fn create(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!(NODE);
        spec["automountServiceAccountToken"] = json!(false);
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
    }
    async fn wait(&self, name: &str, what: &str, wanted: impl Fn(Option<&Pod>) -> bool) -> Option<Pod> {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = pin!(watcher::watcher(self.pods(), config));
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
            let status = self.pods().get_opt(name).await.unwrap().and_then(|pod| pod.status);
            panic!("{name} never was {what}: {}", serde_json::to_string_pretty(&status).unwrap());
        }
        latest
    }
    pub(crate) async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        self.wait(name, what, |pod| pod.is_some_and(&wanted)).await.unwrap()
    }
    pub(crate) async fn until_phase(&self, name: &str, wanted: &str) -> Pod {
        self.until(name, wanted, |pod| phase(pod) == wanted).await
    }
    pub(crate) async fn until_gone(&self, name: &str) {
        self.wait(name, "gone", |pod| pod.is_none()).await;
    }
    pub(crate) async fn delete(&self, name: &str, grace: Option<u32>) {
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
        drop(self.pods().delete(name, &params).await.unwrap());
    }
    /// What a container wrote.
    pub(crate) fn log(&self, pod: &Pod, container: &str) -> String {
        let meta = &pod.metadata;
        let folder = format!("default_{}_{}", meta.name.as_ref().unwrap(), meta.uid.as_ref().unwrap());
        let path = self.dir().join("logs").join(folder).join(container).join("0.log");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
    /// N4: waits until nothing of any pod is left on the node.
    pub(crate) async fn until_nothing_is_left(&self) {
        let runtime = self.runtime().await;
        let clear = async {
            loop {
                let left = self.left(&runtime).await;
                if left.is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PATIENCE, clear).await.is_err() {
            panic!("left over: {:?}", self.left(&runtime).await);
        }
    }
    async fn left(&self, runtime: &Containerd) -> Vec<String> {
        let mut left: Vec<String> =
            runtime.sandboxes().await.unwrap().into_iter().map(|sandbox| sandbox.id).collect();
        left.extend(runtime.containers().await.unwrap().into_iter().map(|container| container.id));
        let mut folders = vec![self.dir().join("logs"), self.node.shared.join("pods")];
        let parent = self.node.cgroup_parent.trim_matches('/');
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let parent = hierarchy.path().join(parent);
            folders.extend([parent.join("burstable"), parent.join("besteffort")]);
        }
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        left.extend(entries.map(|entry| entry.path().display().to_string()));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let pods = self.node.shared.join("pods").display().to_string();
        left.extend(mounts.lines().filter(|line| line.contains(&pods)).map(str::to_owned));
        left
    }
    pub(crate) async fn stop(mut self) {
        self.stop_agent().await;
        self.cluster.take().unwrap().stop().await;
        Daemon::stop(self.node.clone()).await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((shutdown, task)) = self.agent.take() {
            shutdown.cancel();
            task.abort();
        }
        let swept = sweep(&self.node);
        if !std::thread::panicking() {
            swept.unwrap();
        }
    }
}

pub(crate) fn containers(pod: &Pod) -> &[ContainerStatus] {
    pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default()
}

pub(crate) fn state(pod: &Pod, container: &str) -> ContainerState {
    let status = containers(pod).iter().find(|status| status.name == container);
    status.and_then(|status| status.state.clone()).unwrap_or_default()
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// A node named after the test's process, with a network of its own.
fn node(dir: &Path) -> (DaemonConfig, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let name = format!("na{pid:x}-{count}");
    let subnet = format!("10.{}.{}.0/24", 96 + pid % 64, (pid / 64 + 37 * count) % 256);
    let network =
        cni::conflist(&name, &name, cni::Subnet::parse(&subnet).unwrap(), &dir.join("addresses"), 0);
    fs::create_dir_all(dir.join("cni")).unwrap();
    fs::write(dir.join("cni/10-test.conflist"), network).unwrap();
    let node = DaemonConfig {
        root: dir.join("node"),
        state: format!("/run/{name}").into(),
        shared: dir.join("agent"),
        cni_conf: dir.join("cni"),
        addresses: dir.join("addresses"),
        registries: dir.join("registries"),
        cgroup_parent: format!("/{name}"),
        links: vec![name],
    };
    (node, subnet)
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// The runtime's test program as an image, compiled once.
fn program_archive() -> Vec<u8> {
    static PROGRAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("program");
        let source =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../runtime-shim/tests/image/program.rs");
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let done = Command::new(rustc)
            .args(["--edition", "2024", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
            .args([&output, &source])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::read(output).unwrap()
    });
    let files = [File { path: "program", mode: 0o755, content: &PROGRAM }];
    Archive { name: IMAGE, entrypoint: &["/program"], user: "", files: &files }.bytes().unwrap()
}
