//! A node for a test: everything of it is named after the test's process, and gone when the test ends, however it does.

use proa_runtime_shim::{
    Containerd,
    archive::{Archive, File},
    cni::{self, Subnet},
    daemon::{Daemon, DaemonConfig, sweep},
    load::load_image,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const IMAGE: &str = "test.example/program:1";

pub(crate) struct Node {
    pub(crate) config: DaemonConfig,
    pid: u32,
    supervisor: JoinHandle<()>,
    shutdown: CancellationToken,
    dir: TempDir,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, |_| {}).await
    }

    pub(crate) async fn start_in(dir: TempDir, prepare: impl FnOnce(&DaemonConfig)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("pt{pid:x}-{count}");
        let config = DaemonConfig {
            root: dir.path().join("node"),
            state: format!("/run/{name}").into(),
            shared: dir.path().join("agent"),
            cni_conf: dir.path().join("cni"),
            addresses: dir.path().join("addresses"),
            registries: dir.path().join("registries"),
            cgroup_parent: format!("/{name}"),
            links: vec![name],
        };
        write_network(&config, &dir.path().join("addresses"), pid, count);
        prepare(&config);
        let (pid, supervisor, shutdown) = start(&config).await;
        Self { config, pid, supervisor, shutdown, dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) async fn runtime(&self) -> Containerd {
        Containerd::connect(&self.config.socket()).await.unwrap()
    }

    pub(crate) async fn load_program(&self) {
        let file = self.dir().join("program.tar");
        fs::write(&file, program_archive(IMAGE)).unwrap();
        assert_eq!(load_image(&self.config.socket(), &file).await.unwrap(), [IMAGE]);
    }

    /// Ends the supervision as if this process were gone; containerd stays.
    pub(crate) async fn leave(&mut self) {
        self.shutdown.cancel();
        (&mut self.supervisor).await.unwrap();
    }

    /// Supervises anew.
    pub(crate) async fn return_to(&mut self) {
        (self.pid, self.supervisor, self.shutdown) = start(&self.config).await;
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let sockets = shim_sockets(&self.config.state);
        Daemon::stop(self.config.clone()).await.unwrap();
        assert_eq!(left_over(&self.config), Vec::<String>::new());
        assert!(sockets.iter().all(|socket| !socket.exists()), "{sockets:?}");
    }
}

async fn start(config: &DaemonConfig) -> (u32, JoinHandle<()>, CancellationToken) {
    let daemon = Daemon::start_or_adopt(config.clone()).await.unwrap();
    let (pid, shutdown) = (daemon.pid(), CancellationToken::new());
    let supervisor = tokio::spawn(daemon.supervise(shutdown.clone()));
    (pid, supervisor, shutdown)
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.supervisor.abort();
        let result = sweep(&self.config);
        if !std::thread::panicking() {
            result.unwrap();
        }
    }
}

/// Where the shims of running pods listen.
fn shim_sockets(state: &Path) -> Vec<PathBuf> {
    let bundles = fs::read_dir(state.join("io.containerd.runtime.v2.task/k8s.io")).into_iter().flatten();
    let addresses =
        bundles.flatten().filter_map(|bundle| fs::read_to_string(bundle.path().join("address")).ok());
    let paths: Vec<PathBuf> =
        addresses.map(|address| address.trim_start_matches("unix://").to_owned().into()).collect();
    assert!(paths.iter().all(|path| path.exists()), "{paths:?}");
    paths
}

/// What a node has on the machine.
pub(crate) fn left_over(config: &DaemonConfig) -> Vec<String> {
    let state = config.state.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&state) || line.contains(&config.root.display().to_string()) {
            found.push(format!("process {line}"));
        }
    }
    let dirs = [&config.state, &config.root, &config.shared];
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_ours = |line: &&str| dirs.iter().any(|dir| line.contains(&dir.display().to_string()));
    found.extend(mounts.lines().filter(is_ours).map(|line| format!("mount {line}")));
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|e| e.path()) {
        let dir = hierarchy.join(config.cgroup_parent.trim_start_matches('/'));
        if dir.exists() {
            found.push(format!("cgroup {}", dir.display()));
        }
    }
    let links = config.links.iter().filter(|link| Path::new("/sys/class/net").join(link).exists());
    found.extend(links.map(|link| format!("link {link}")));
    if config.state.exists() {
        found.push(format!("directory {state}"));
    }
    found
}

/// A bridge with a network of its own.
fn write_network(config: &DaemonConfig, addresses: &Path, pid: u32, count: u32) {
    let subnet = format!("10.{}.{}.0/24", 160 + pid % 64, (pid / 64 + 37 * count) % 256);
    let bridge = &config.links[0];
    let text = cni::conflist(bridge, bridge, Subnet::parse(&subnet).unwrap(), addresses, 0);
    fs::create_dir_all(&config.cni_conf).unwrap();
    fs::write(config.cni_conf.join("10-test.conflist"), text).unwrap();
}

/// The test program, compiled once per test process.
pub(crate) fn program() -> &'static [u8] {
    static PROGRAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("program");
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/image/program.rs");
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let done = Command::new(rustc)
            .args(["--edition", "2024", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
            .args([&output, &source])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::read(output).unwrap()
    });
    &PROGRAM
}

pub(crate) fn program_archive(name: &str) -> Vec<u8> {
    let files = [File { path: "program", mode: 0o755, content: program() }];
    Archive { name, entrypoint: &["/program"], user: "", files: &files }.bytes().unwrap()
}
