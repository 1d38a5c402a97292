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
    net::{IpAddr, TcpStream},
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
    /// Of the addresses of further nodes; the first is the machine's.
    fn links(&self) -> String {
        format!("10.63.{}.", self.number)
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
        let all = ["--nodes", "1", "--node-ip", "127.0.0.1"].into_iter().chain(flags.iter().copied());
        Self::start_in(Range::take(), &all.collect::<Vec<_>>(), [127, 0, 0, 1].into())
    }
    /// Starts a cluster with so many nodes. All have the images of the tests.
    pub(crate) fn start_several(count: u32) -> Self {
        let range = Range::take();
        let (count, links) = (count.to_string(), format!("{}0/24", range.links()));
        let flags = ["--nodes", &count, "--node-link-cidr", &links, "--listen", "0.0.0.0"];
        Self::start_in(range, &flags, [0, 0, 0, 0].into())
    }
    fn start_in(range: Range, flags: &[&str], registry: IpAddr) -> Self {
        let of_range = range.flags();
        let all: Vec<&str> = of_range.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        let registry = Registry::start(registry).unwrap();
        let server = Server::start_as(&unique_name(), &all);
        let node = Self { server, range, registry };
        node.mirrors();
        node.is_ready();
        node
    }
    /// Images of every host come from the tests' registry. containerd reads the folder at each pull.
    pub(crate) fn mirrors(&self) {
        let mut registry = self.registry.address();
        if registry.ip().is_unspecified() {
            registry.set_ip(format!("{}1", self.range.links()).parse().unwrap());
        }
        let mirror = format!("http://{registry}");
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
    /// What of pods is on the node: volumes, mounts, shims, cgroups, addresses, links.
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
        let addresses = output("find", &[node.join("addresses").to_str().unwrap(), "-name", "*.*.*.*"]);
        left.extend(addresses.lines().map(str::to_owned));
        let bridge = bridge(&self.data()).expect("the node has a network");
        let links = output("ip", &["-o", "link", "show", "master", &bridge]);
        left.extend(links.lines().map(str::to_owned));
        left
    }
    /// What of this cluster is on the machine besides its data: processes, mounts, links, tables, cgroups, namespaces.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = leftovers(&self.server.name, &self.data());
        let addresses = output("ip", &["-4", "-o", "address"]);
        left.extend(addresses.lines().filter(|line| line.contains(&self.range.links())).map(str::to_owned));
        left
    }
    /// Ends the process of a further node as the kernel would.
    pub(crate) fn kill_node(&self, number: u32) {
        let pattern = format!("^proa node .*--data-dir {} --number {number} ", self.data().display());
        let pids = output("pgrep", &["-f", &pattern]);
        assert_eq!(pids.split_whitespace().count(), 1, "one process of the node runs: {pids:?}");
        assert!(Command::new("kill").arg("-9").arg(pids.trim()).status().unwrap().success());
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
    find("namespace", &output("ip", &["netns", "list"]), &[&instance]);
    let cgroups = output("find", &["/sys/fs/cgroup", "-type", "d", "-name", &format!("{instance}*")]);
    find("cgroup", &cgroups, &[&instance]);
    // The bridge is named in the network's configuration, which stays; pods' links go with their namespaces.
    if let Some(bridge) = bridge(Path::new(data)) {
        find("link", &output("ip", &["-br", "link"]), &[&bridge]);
    }
    if Path::new("/run").join(&instance).exists() {
        left.push(format!("directory: /run/{instance}"));
    }
    left
}

/// The bridge of the pods, by the network's configuration.
fn bridge(data: &Path) -> Option<String> {
    let network = fs::read_to_string(data.join("node/cni/10-pods.conflist")).ok()?;
    let network: serde_json::Value = serde_json::from_str(&network).ok()?;
    Some(network["plugins"][0]["bridge"].as_str()?.to_owned())
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
