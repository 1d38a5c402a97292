//! A server process of a test's own.

use crate::kubectl::Kubectl;
use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The binary under test, built by cargo together with these tests.
pub(crate) const PROA: &str = env!("CARGO_BIN_EXE_proa");
/// Patience with anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it and its files are gone when this is dropped, also after a panic.
pub(crate) struct Server {
    process: Child,
    /// Name of the cluster.
    pub(crate) name: String,
    port: u16,
    flags: Vec<String>,
    dir: TempDir,
}

impl Server {
    /// All operators and one simulated node, ready for pods.
    pub(crate) fn with_node() -> Self {
        let server = Self::start(&["--simulate", "1"]);
        let kubectl = server.kubectl();
        kubectl.run("wait --for=create node/sim-0 --timeout=60s").ok();
        kubectl.run("wait --for=condition=Ready node/sim-0 --timeout=60s").ok();
        server
    }
    /// With these flags besides name, port and data directory.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_as(&unique_name(), flags)
    }
    /// With a name of the caller's.
    pub(crate) fn start_as(name: &str, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        for _ in 0..10 {
            let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
            let process = spawn(&dir.path().join("data"), name, port, &flags);
            let mut server = Self { process, name: name.to_owned(), port, flags: flags.clone(), dir };
            if server.serves() {
                return server;
            }
            // Another program may have taken the port in between.
            let log = server.log();
            assert!(log.contains("ddress already in use"), "the server ended:\n{log}");
        }
        panic!("no free port");
    }
    /// Data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
    /// Directory for files of the test.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }
    /// `https://…`.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data().join("admin.kubeconfig")
    }
    /// kubectl as the administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubeconfig(), self.scratch())
    }
    /// A client of kube-rs as the administrator.
    pub(crate) async fn client(&self) -> kube::Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        // What the server says once is what is tested.
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }
    /// What the server has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("data.log")).unwrap_or_default()
    }
    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
    /// Ends the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
    /// Ends the process in order.
    pub(crate) fn stop(&mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        assert!(self.process.wait().unwrap().success(), "the server ends well:\n{}", self.log());
    }
    /// Starts again on the same port and data.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.data(), &self.name, self.port, &self.flags);
        assert!(self.serves(), "the server ended:\n{}", self.log());
    }
    /// Whether it serves; no once the process ended.
    fn serves(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if self.kubeconfig().exists() && TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            sleep(Duration::from_millis(5));
        }
        panic!("the server does not serve:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
            eprintln!("the end of the log of {}:\n{}", self.name, &log[from..]);
        }
    }
}

/// Another process of the binary, such as an operator; ends when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts `proa` with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROA);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(data: &Path, name: &str, port: u16, flags: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(data.with_extension("log")).unwrap();
    // Pods of tests are not evicted for what the machine is short of.
    let defaults = [["--listen", "127.0.0.1"], ["--eviction-hard", ""]];
    let defaults = defaults.iter().filter(|[name, _]| !flags.iter().any(|flag| flag == name)).flatten();
    Command::new(PROA)
        .args(["server", "--name", name, "--port", &port.to_string(), "--data-dir"])
        .arg(data)
        .args(defaults)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A name that no other test of this run has.
pub(crate) fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
