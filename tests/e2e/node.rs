//! A cluster of a test's own with a real node: containerd, containers, network, DNS.

use crate::{
    kubectl::Kubectl,
    server::{PROA, Server, unique_name},
};
use proa_runtime_shim::hosts;
use proa_test_images::Registry;
use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// Patience with images, containers and rollouts on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// An image with a shell and the usual small programs.
pub(crate) const SHELL: &str = "proa/shell:1";

/// A cluster with one real node. Everything that it put on the machine is gone when this is dropped.
pub(crate) struct Node {
    server: Server,
    /// Holds the networks and node ports of this test's cluster.
    range: Range,
    /// Has the images of the tests.
    registry: Registry,
}

/// Networks and node ports that no other test uses at the same time, held by a lock on a file.
struct Range {
    number: u8,
    _lock: File,
}

impl Range {
    fn take() -> Self {
        for number in 0..48 {
            let path = std::env::temp_dir().join(format!("proa-e2e-range-{number}.lock"));
            let lock = File::options().create(true).truncate(false).write(true).open(path).unwrap();
            if lock.try_lock().is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("all networks for tests are in use");
    }
    fn flags(&self) -> [String; 6] {
        let number = u16::from(self.number);
        [
            "--pod-cidr".to_owned(),
            format!("10.{}.0.0/16", 192 + number),
            "--service-cidr".to_owned(),
            format!("10.{}.{}.0/20", 64 + number / 16, number % 16 * 16),
            "--node-ports".to_owned(),
            format!("{}-{}", 5_000 + number * 100, 5_099 + number * 100),
        ]
    }
    /// A node port of this cluster.
    fn port(&self) -> u16 {
        5_000 + u16::from(self.number) * 100 + 50
    }
}

impl Node {
    /// Starts one and waits until it is ready and has the images of the tests.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }
    /// With further flags.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        let range = Range::take();
        let mut all: Vec<String> = vec!["--node".to_owned(), "--node-ip".to_owned(), "127.0.0.1".to_owned()];
        all.extend(range.flags());
        all.extend(flags.iter().map(ToString::to_string));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let registry = Registry::start([127, 0, 0, 1].into()).unwrap();
        let server = Server::start_as(&unique_name(), &all);
        let node = Self { server, range, registry };
        node.mirrors();
        node.is_ready();
        node
    }
    /// Images of every host come from the tests' registry. containerd reads the folder at each pull.
    fn mirrors(&self) {
        let mirror = format!("http://{}", self.registry.address());
        let registry =
            hosts::Registry { host: hosts::DEFAULT.to_owned(), mirrors: vec![mirror], fall_back: false };
        hosts::write(&self.data().join("node/registries"), &registry).unwrap();
    }
    /// Waits until the node is ready.
    #[track_caller]
    pub(crate) fn is_ready(&self) {
        let kubectl = self.kubectl();
        kubectl.run("wait --for=create node --all --timeout=60s");
        kubectl.run("wait --for=condition=Ready node --all --timeout=60s").ok();
    }
    /// kubectl as the administrator, with patience for containers.
    pub(crate) fn kubectl(&self) -> Kubectl {
        self.server.kubectl().within(LONG)
    }
    /// The server.
    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.server
    }
    /// A node port that no other cluster uses.
    pub(crate) fn port(&self) -> u16 {
        self.range.port()
    }
    /// Data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.server.data()
    }
    /// Runs a command of the binary for this cluster and returns what it printed.
    #[track_caller]
    pub(crate) fn proa(&self, command: &[&str], arguments: &[&str]) -> String {
        let mut proa = Command::new(PROA);
        proa.args(command).args(["--name", &self.server.name, "--data-dir"]).arg(self.data()).args(arguments);
        let output = proa.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "proa {command:?} {arguments:?}: {out}\n{err}");
        out.into_owned()
    }
    /// Stops the server and clears the machine.
    #[track_caller]
    pub(crate) fn down(&mut self) {
        self.server.stop();
        self.proa(&["down"], &[]);
        let left = self.leftovers();
        assert!(left.is_empty(), "left on the machine after `down`: {left:#?}");
    }
    /// Ends the node's containerd as the kernel would.
    pub(crate) fn kill_containerd(&self) {
        let file = self.data().join("node/containerd/config.toml");
        let pids = output("pgrep", &["-f", &format!("containerd .*{}", file.display())]);
        assert!(!pids.trim().is_empty(), "containerd runs");
        assert!(Command::new("kill").arg("-9").args(pids.split_whitespace()).status().unwrap().success());
    }
    /// What of pods is on the node: volumes, mounts, shims, cgroups, rules of host ports, addresses.
    pub(crate) fn of_pods(&self) -> Vec<String> {
        let instance = format!("proa-{}", self.server.name);
        let mut left = Vec::new();
        let folders = self.data().join("node/pods/pods");
        left.extend(
            fs::read_dir(folders).into_iter().flatten().flatten().map(|e| e.path().display().to_string()),
        );
        let node = self.data().join("node");
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        left.extend(
            mounts
                .lines()
                .filter(|l| l.contains(node.to_str().unwrap()) && l.contains("/pods/"))
                .map(str::to_owned),
        );
        let shims = output("ps", &["-eo", "args"]);
        left.extend(
            shims
                .lines()
                .filter(|l| l.contains("containerd-shim") && l.contains(&instance))
                .map(str::to_owned),
        );
        let cgroups = output("find", &["/sys/fs/cgroup", "-path", &format!("*/{instance}/*pod*")]);
        left.extend(cgroups.lines().map(str::to_owned));
        left
    }
    /// What of this cluster is on the machine besides its data: processes, mounts, links, tables, cgroups, namespaces.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        leftovers(&self.server.name, &self.data())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let events = self.kubectl().run("get events -A --sort-by=.metadata.creationTimestamp").stdout;
            let pods = self.kubectl().run("get pods -A -o wide").stdout;
            eprintln!("{pods}\n{events}");
        }
        let _ = Command::new("kill").arg("-9").arg(self.server.id().to_string()).status();
        let mut down = Command::new(PROA);
        let down = down.args(["down", "--name", &self.server.name, "--data-dir"]).arg(self.data()).output();
        match down {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprintln!("down: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("down: {error}"),
        }
    }
}

/// Everything that the cluster of this name may leave: found by the names that only it has.
fn leftovers(name: &str, data: &Path) -> Vec<String> {
    let instance = format!("proa-{name}");
    let data = data.to_str().unwrap();
    let mut left = Vec::new();
    let mut find = |what: &str, text: &str, needles: &[&str]| {
        let found = text.lines().filter(|line| needles.iter().any(|needle| line.contains(needle)));
        left.extend(found.map(|line| format!("{what}: {line}")));
    };
    find("mount", &fs::read_to_string("/proc/mounts").unwrap_or_default(), &[&instance, data]);
    find("process", &output("ps", &["-eo", "pid,args"]), &[&instance, &format!("{data}/node")]);
    find("table", &output("nft", &["list", "tables"]), &[name]);
    find("cgroup", &output("find", &["/sys/fs/cgroup", "-type", "d", "-name", &instance]), &[&instance]);
    // The bridge is named in the network's configuration, which stays; pods' links go with their namespaces.
    let network = fs::read_to_string(Path::new(data).join("node/cni/10-pods.conflist")).unwrap_or_default();
    let network: serde_json::Value = serde_json::from_str(&network).unwrap_or_default();
    if let Some(bridge) = network["plugins"][0]["bridge"].as_str() {
        find("link", &output("ip", &["-br", "link"]), &[bridge]);
    }
    if Path::new("/run").join(&instance).exists() {
        left.push(format!("directory: /run/{instance}"));
    }
    left
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
}

/// Waits until `check` gives something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// Waits until `left` is empty, and says what stayed otherwise.
#[track_caller]
pub(crate) fn until_empty(what: &str, left: impl Fn() -> Vec<String>) {
    let begun = Instant::now();
    loop {
        let left = left();
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < LONG, "{what}: {left:#?}");
        sleep(Duration::from_millis(50));
    }
}

/// The body of an HTTP answer with status 200, if there is one.
pub(crate) fn http_get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split_whitespace().nth(1).filter(|status| *status == "200")?;
    Some(body.to_owned())
}
