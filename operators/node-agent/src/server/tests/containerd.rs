//! The server with a real runtime: containerd of its own, removed without a trace.

use super::commands::{data, rest, status};
use crate::{
    logs::{Limits, LogOptions, LogReader, keep_rotated},
    server::{
        streams::spdy,
        testing::{
            StubPods,
            client::{ADMIN, TestServer, text},
        },
    },
};
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use proa_meta::spdy::{Event, Role};
use proa_runtime_shim::{
    ContainerConfig, Containerd, Runtime, SandboxConfig, SecurityProfile,
    archive::{Archive, File},
    cni::{Subnet, conflist},
    daemon::{Daemon, DaemonConfig, sweep},
    load::load_image,
};
use std::{
    collections::BTreeMap,
    env, fs, future,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{task::AbortHandle, time::timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

const IMAGE: &str = "test.example/agent:1";
const V5: &str = "v5.channel.k8s.io";
/// Nothing here takes this long, unless it hangs.
const LONG: Duration = Duration::from_secs(60);

/// A containerd that is named after this process.
struct Node {
    config: DaemonConfig,
    directory: TempDir,
    supervisor: AbortHandle,
}

impl Node {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (path, pid) = (directory.path(), std::process::id());
        let name = format!("pna{pid:x}");
        let config = DaemonConfig {
            root: path.join("node"),
            state: format!("/run/{name}").into(),
            shared: path.join("agent"),
            cni_conf: path.join("cni"),
            addresses: path.join("addresses"),
            registries: path.join("registries"),
            cgroup_parent: format!("/{name}"),
            links: vec![name.clone()],
        };
        let subnet = Subnet::parse(&format!("10.{}.{}.0/24", 224 + pid % 16, pid / 16 % 256)).unwrap();
        fs::create_dir_all(&config.cni_conf).unwrap();
        let network = conflist(&name, &name, subnet, &path.join("addresses"), 0);
        fs::write(config.cni_conf.join("10-test.conflist"), network).unwrap();
        let daemon = Daemon::start_or_adopt(config.clone()).await.unwrap();
        let supervisor = tokio::spawn(daemon.supervise(CancellationToken::new())).abort_handle();
        let archive = path.join("program.tar");
        fs::write(&archive, image()).unwrap();
        load_image(&config.socket(), &archive).await.unwrap();
        Self { config, directory, supervisor }
    }

    async fn runtime(&self) -> Containerd {
        Containerd::connect(&self.config.socket()).await.unwrap()
    }

    async fn stop(self) {
        self.supervisor.abort();
        Daemon::stop(self.config.clone()).await.unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.supervisor.abort();
        let result = sweep(&self.config);
        if !std::thread::panicking() {
            result.unwrap();
        }
    }
}

/// The image of the tests' program, compiled here.
fn image() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("program");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/image/program.rs");
    let done = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
        .args([&output, &source])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let program = fs::read(output).unwrap();
    let files = [File { path: "program", mode: 0o755, content: &program }];
    Archive { name: IMAGE, entrypoint: &["/program"], user: "", files: &files }.bytes().unwrap()
}

/// A pod of one container.
struct Pod {
    sandbox: String,
    container: String,
    log: PathBuf,
}

async fn start(node: &Node, runtime: &Containerd, command: &str) -> Pod {
    let log_directory = node.directory.path().join("logs").join(command);
    fs::create_dir_all(&log_directory).unwrap();
    let labels: BTreeMap<_, _> = [
        ("io.kubernetes.pod.name", "web"),
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.pod.uid", "u1"),
        ("io.kubernetes.container.name", "app"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    let of = SandboxConfig {
        name: command.to_owned(),
        namespace: "shop".to_owned(),
        uid: command.to_owned(),
        hostname: command.to_owned(),
        log_directory: log_directory.clone(),
        labels: labels.clone(),
        cgroup_parent: format!("{}/{command}", node.config.cgroup_parent),
        ..SandboxConfig::default()
    };
    let sandbox = runtime.run_sandbox(&of).await.unwrap();
    let mut config = ContainerConfig {
        name: "app".to_owned(),
        image: runtime.image(IMAGE).await.unwrap().unwrap().id,
        args: vec![command.to_owned()],
        labels,
        log_path: "0.log".to_owned(),
        stdin: true,
        ..ContainerConfig::default()
    };
    config.security.seccomp = SecurityProfile::Unconfined;
    let container = runtime.create_container(&sandbox, &config, &of).await.unwrap();
    runtime.start_container(&container).await.unwrap();
    Pod { sandbox, container, log: log_directory.join("0.log") }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_a_real_runtime() {
    let node = Node::start().await;
    let runtime = node.runtime().await;
    let pod = start(&node, &runtime, "serve").await;
    says(&pod.log, "serving").await;
    let pods =
        StubPods { log: pod.log.clone(), container: pod.container.clone(), sandbox: pod.sandbox.clone() };
    let server = TestServer::with(runtime.clone(), pods).await;
    // Boxed, because together they are too large for a test's stack.
    futures::future::join_all([
        commands_end_with_their_codes(&server).boxed(),
        much_data_passes(&server).boxed(),
        terminals_have_a_size(&server).boxed(),
        spdy_clients_are_put_through(&server).boxed(),
        the_first_process_can_be_joined(&server).boxed(),
        ports_are_forwarded(&server).boxed(),
        usage_is_measured(&server).boxed(),
    ])
    .await;
    logs_are_rotated(&node, &runtime).await;
    a_followed_log_ends_with_its_container(&server, &pod.container).await;
    server.stop().await;
    node.stop().await;
}

/// Waits until a container says a line.
async fn says(log: &Path, line: &str) {
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let mut reader = LogReader::open(log, options, future::pending()).await.unwrap();
    let mut said = String::new();
    while !said.lines().any(|l| l == line) {
        let piece = timeout(LONG, reader.next()).await.expect("the container says more").unwrap();
        said.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
}

fn exec(words: &[&str], streams: &str) -> String {
    let command: String = words.iter().map(|word| format!("&command={word}")).collect();
    format!("/exec/shop/web/app?command=/program{command}&{streams}")
}

async fn commands_end_with_their_codes(server: &TestServer<Containerd>) {
    let mut socket = server.socket(&exec(&["cat"], "input=1&output=1&error=1"), V5).await.unwrap();
    socket.send(data(0, b"hello")).await.unwrap();
    socket.send(data(255, &[0])).await.unwrap();
    let channels = rest(&mut socket).await;
    assert_eq!((&channels[&1][..], &status(&channels)["status"]), (&b"hello"[..], &"Success".into()));
    let both = exec(&["both", "this", "that"], "output=1&error=1");
    let channels = rest(server.socket(&both, "v4.channel.k8s.io").await.unwrap()).await;
    assert_eq!((&channels[&1][..], &channels[&2][..]), (&b"this"[..], &b"that"[..]));
    let channels = rest(server.socket(&exec(&["exit", "7"], "output=1"), V5).await.unwrap()).await;
    let status = status(&channels);
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"][0]["message"], "7");
    let run = "/run/shop/web/app?cmd=/program%20both%20this%20that";
    assert_eq!(server.ask(ADMIN, "POST", run).await, (200, "thisthat".to_owned()));
}

async fn much_data_passes(server: &TestServer<Containerd>) {
    const TOTAL: usize = 32 << 20;
    let socket = server.socket(&exec(&["count"], "input=1&output=1"), V5).await.unwrap();
    let (mut sink, source) = socket.split();
    let message = data(0, &vec![5; 32 << 10]);
    let feed = async {
        for _ in 0..TOTAL / (32 << 10) {
            sink.send(message.clone()).await.unwrap();
        }
        sink.send(data(255, &[0])).await.unwrap();
    };
    let ((), channels) = tokio::join!(feed, rest(source));
    assert_eq!(channels[&1], format!("{TOTAL}\n").into_bytes());
    let source = exec(&["source", &TOTAL.to_string()], "output=1");
    assert_eq!(rest(server.socket(&source, V5).await.unwrap()).await[&1].len(), TOTAL);
}

async fn terminals_have_a_size(server: &TestServer<Containerd>) {
    let mut socket = server.socket(&exec(&["size"], "input=1&output=1&tty=1"), V5).await.unwrap();
    socket.send(data(4, br#"{"Width":90,"Height":20}"#)).await.unwrap();
    assert_eq!(rest(&mut socket).await[&1], b"90x20\r\n");
}

async fn spdy_clients_are_put_through(server: &TestServer<Containerd>) {
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", "v5.channel.k8s.io"),
        ("x-stream-protocol-version", "v4.channel.k8s.io"),
    ];
    let response = server.send(ADMIN, "POST", &exec(&["cat"], "input=1&output=1"), &headers).await;
    assert_eq!(response.headers()["x-stream-protocol-version"], "v4.channel.k8s.io");
    let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let (connection, mut events) = spdy::start(io, Role::Client);
    let ids = ["error", "stdin", "stdout"]
        .map(|name| connection.open(vec![("streamtype".to_owned(), name.to_owned())]).unwrap());
    let (mut output, mut replies) = (Vec::new(), 0);
    while let Some(event) = events.recv().await {
        match event {
            Event::Replied { .. } => {
                replies += 1;
                if replies == ids.len() {
                    connection.send(ids[1], Bytes::from_static(b"hello"), true).await.unwrap();
                }
            }
            Event::Data { id, data, .. } if id == ids[2] => output.extend_from_slice(&data),
            _ => {}
        }
    }
    assert_eq!(output, b"hello");
}

async fn the_first_process_can_be_joined(server: &TestServer<Containerd>) {
    let mut socket = server.socket("/attach/shop/web/app?input=1&output=1", V5).await.unwrap();
    socket.send(data(0, b"anybody?\n")).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"heard anybody?\n") {
        let message = timeout(LONG, socket.next()).await.expect("an answer").unwrap().unwrap();
        heard.extend_from_slice(&message.into_data()[1..]);
    }
}

async fn ports_are_forwarded(server: &TestServer<Containerd>) {
    let mut socket = server.socket("/portForward/shop/web?port=80", "v4.channel.k8s.io").await.unwrap();
    socket.send(data(0, b"bye\n")).await.unwrap();
    let mut said = Vec::new();
    while let Some(message) = timeout(LONG, socket.next()).await.expect("an answer") {
        match message.unwrap() {
            Message::Binary(data) if data[0] == 0 => said.extend_from_slice(&data[1..]),
            Message::Binary(data) => assert_eq!(&data[1..], 80_u16.to_le_bytes()),
            _ => {}
        }
    }
    assert_eq!(said, b"\x50\080:bye\n");
    let mut socket = server.socket("/portForward/shop/web?port=81", "v4.channel.k8s.io").await.unwrap();
    let mut error = Vec::new();
    while let Some(Ok(message)) = timeout(LONG, socket.next()).await.expect("an answer") {
        if let Message::Binary(data) = message
            && data[0] == 1
        {
            error.extend_from_slice(&data[1..]);
        }
    }
    assert!(String::from_utf8_lossy(&error).contains("connection refused"), "{error:?}");
}

async fn usage_is_measured(server: &TestServer<Containerd>) {
    let (code, text) = server.ask(ADMIN, "GET", "/stats/summary").await;
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pod = &summary["pods"][0];
    let used = |field: &serde_json::Value| field.as_u64().unwrap_or_default() > 0;
    assert!(code == 200 && used(&pod["containers"][0]["memory"]["workingSetBytes"]), "{text}");
    assert!(
        used(&pod["cpu"]["usageCoreNanoSeconds"]) && used(&summary["node"]["fs"]["capacityBytes"]),
        "{text}"
    );
    assert!(summary["node"]["cpu"]["usageNanoCores"].is_u64(), "{text}");
}

async fn logs_are_rotated(node: &Node, runtime: &Containerd) {
    let pod = start(node, runtime, "chatter").await;
    let shutdown = CancellationToken::new();
    let limits = Limits { size: 20_000, files: 3, interval: Duration::from_millis(50) };
    let rotation = tokio::spawn(keep_rotated(runtime.clone(), limits, shutdown.clone()));
    let is_compressed = || {
        let names = fs::read_dir(pod.log.parent().unwrap()).unwrap().flatten();
        names.into_iter().any(|name| name.file_name().to_string_lossy().ends_with(".gz"))
    };
    timeout(LONG, async {
        while !is_compressed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("a rotated log is compressed");
    shutdown.cancel();
    rotation.await.unwrap();
    // The container writes on, to the newest file.
    let size = || fs::metadata(&pod.log).map_or(0, |m| m.len());
    let before = size();
    timeout(LONG, async {
        while size() <= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the log grows");
    runtime.stop_sandbox(&pod.sandbox).await.unwrap();
    runtime.remove_sandbox(&pod.sandbox).await.unwrap();
}

async fn a_followed_log_ends_with_its_container(server: &TestServer<Containerd>, container: &str) {
    let follow = "/containerLogs/shop/web/app?follow=true";
    let response = server.send(ADMIN, "GET", follow, &[]).await;
    server.runtime.stop_container(container, LONG).await.unwrap();
    let (code, text) = timeout(LONG, text(response)).await.expect("the log ends");
    assert!(code == 200 && text.starts_with("serving\n"), "{text}");
}
