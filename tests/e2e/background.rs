//! Clusters in the background, several side by side, and a data directory that is not theirs alone.

use crate::{
    kubectl::Kubectl,
    server::{PROA, Server, free_port, unique_name},
};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// A cluster of `proa up`; stopped when dropped.
struct Background {
    name: String,
    port: String,
    dir: TempDir,
}

impl Background {
    fn new() -> Self {
        Self { name: unique_name(), port: free_port().to_string(), dir: tempfile::tempdir().unwrap() }
    }
    fn data(&self) -> &Path {
        self.dir.path()
    }
    fn proa(&self, command: &str, flags: &[&str]) -> Output {
        let mut proa = Command::new(PROA);
        proa.args([command, "--name", &self.name, "--data-dir"])
            .arg(self.data())
            .args(flags)
            .output()
            .unwrap()
    }
    #[track_caller]
    fn up(&self) -> String {
        said(
            &self.proa(
                "up",
                &["--listen", "127.0.0.1", "--port", &self.port, "--nodes", "0", "--simulate", "1"],
            ),
        )
    }
    fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.data().join("admin.kubeconfig"), self.data())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.proa("down", &[]);
    }
}

/// Standard output of a command that succeeded.
#[track_caller]
fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

#[test]
fn up_status_and_down_may_be_said_twice() {
    let cluster = Background::new();
    fs::write(cluster.data().join("notes.txt"), "mine").unwrap();
    fs::create_dir(cluster.data().join("photos")).unwrap();
    assert!(!cluster.proa("status", &[]).status.success(), "nothing runs yet");
    cluster.up();
    cluster.kubectl().run("get nodes").ok().matches("^sim-0 +Ready ");
    cluster.kubectl().run("create configmap kept").ok();
    cluster.up();
    for _ in 0..2 {
        let status = said(&cluster.proa("status", &[]));
        assert!(status.contains("v1.37.2+proa") && status.contains("nodes: 1"), "{status}");
    }
    for _ in 0..2 {
        said(&cluster.proa("down", &[]));
    }
    let status = cluster.proa("status", &[]);
    assert!(!status.status.success() && String::from_utf8_lossy(&status.stderr).contains("is not running"));
    cluster.up();
    cluster.kubectl().run("get cm kept -o name").ok().prints("configmap/kept");
    said(&cluster.proa("down", &[]));
    assert_eq!(fs::read_to_string(cluster.data().join("notes.txt")).unwrap(), "mine");
    assert!(cluster.data().join("photos").is_dir(), "foreign files stay");
}

#[test]
fn two_clusters_run_side_by_side() {
    let (one, two) = (Server::start(&["--disable", "all"]), Server::start(&["--disable", "all"]));
    let (first, second) = (one.kubectl(), two.kubectl());
    first.run("create configmap m --from-literal=of=one").ok();
    second.run("get cm m").fails(&["NotFound"]);
    let address = "get service kubernetes -o jsonpath='{.spec.clusterIP}'";
    let (a, b) = (first.run(address).ok().stdout, second.run(address).ok().stdout);
    assert_ne!(a, b, "each cluster has a network of its own");
    // The certificates of one say nothing to the other.
    let config = fs::read_to_string(one.kubeconfig()).unwrap().replace(&one.url(), &two.url());
    let path = first.file("mixed.kubeconfig", &config);
    first.clone().reached_by(path.as_ref()).run("get cm").fails(&["certificate"]);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start(&["--disable", "all"]);
    let port = free_port().to_string();
    let output = Command::new(PROA)
        .args(["server", "--name", &server.name, "--listen", "127.0.0.1", "--port", &port, "--data-dir"])
        .arg(server.data())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("proa: "), "{error}");
    server.kubectl().run("get ns default -o name").ok().prints("namespace/default");
}

#[test]
fn wrong_command_lines_say_what_is_wrong() {
    let refused = |arguments: &[&str], part: &str| {
        let output = Command::new(PROA).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(part), "{arguments:?}: {error}");
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    refused(&["server", "--data-dir", dir, "--disable", "jobs"], "there is no such operator");
    refused(&["server", "--data-dir", dir, "--service-cidr", "10.0.0.1/8"], "--service-cidr");
    refused(&["server", "--data-dir", dir, "--node-ports", "9-1"], "--node-ports");
    refused(&["server", "--data-dir", dir, "--name", "No Name"], "name");
    refused(&["server", "--data-dir", "/proc/nowhere"], "create /proc/nowhere");
    refused(&["operator", "nothing", "--kubeconfig", "none"], "there is no operator");
    refused(&["operator", "replicaset", "--kubeconfig", "/none/at/all"], "/none/at/all");
}
