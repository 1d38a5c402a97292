//! kube-apiserver on a store, with kube-scheduler and kube-controller-manager where they are asked for. Options are
//! the defaults where the text beside them gives no other reason.

use super::{Kind, Peer, Process, Programs, With, credentials::Credentials, free_port, until_ready};
use anyhow::Result;
use std::{fs, path::Path, time::Instant};
use tempfile::TempDir;

pub(super) async fn start(programs: &Programs, directory: TempDir, kind: Kind, with: With) -> Result<Peer> {
    let path = directory.path();
    let port = free_port()?;
    // Certificates and keys are there before the clock starts: installers make them once.
    let credentials = Credentials::write(path, port)?;
    let begun = Instant::now();
    let (store, address) = store(programs, path, kind)?;
    let mut processes = vec![store, kube_apiserver(programs, path, &credentials, port, &address)?];
    let endpoint = until_ready(&mut processes, &credentials.kubeconfig, Some(&credentials.token)).await?;
    let ready = begun.elapsed();
    // Only now: earlier they would fail and wait for their next try.
    if with != With::Nothing {
        processes.push(scheduler(programs, path, &credentials.kubeconfig)?);
    }
    if with == With::Everything {
        processes.push(kube_controller_manager(programs, path, &credentials)?);
    }
    let kubeconfig = credentials.kubeconfig.clone();
    Ok(Peer { processes, endpoint, begun, ready, kubeconfig, directory })
}

/// The store and its address.
fn store(programs: &Programs, directory: &Path, kind: Kind) -> Result<(Process, String)> {
    let client = format!("http://127.0.0.1:{}", free_port()?);
    if kind == Kind::Kine {
        // The data source is kine's own default, in this directory.
        fs::create_dir(directory.join("db"))?;
        let address = client.trim_start_matches("http://");
        let arguments = [&format!("--listen-address={address}"), "--metrics-bind-address=0"];
        return Ok((Process::start("kine", &programs.tool("kine")?, directory, arguments)?, client));
    }
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let arguments = [
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    Ok((Process::start("etcd", &programs.tool("etcd")?, directory, arguments)?, client))
}

fn kube_apiserver(
    programs: &Programs,
    directory: &Path,
    credentials: &Credentials,
    port: u16,
    store: &str,
) -> Result<Process> {
    let file = |name: &str| directory.join(name).display().to_string();
    let arguments = [
        format!("--etcd-servers={store}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", file("kube-apiserver")),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", credentials.tokens.display()),
        // Required: who signs tokens of service accounts.
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        format!("--service-account-key-file={}", file("accounts.pub")),
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
        // What every installer sets and Proa has always on; the default is to allow everything.
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
    ];
    Process::start("kube-apiserver", &programs.tool("kube-apiserver")?, directory, arguments)
}

/// kube-scheduler.
pub(super) fn scheduler(programs: &Programs, directory: &Path, kubeconfig: &Path) -> Result<Process> {
    // The default of 50 requests a second would be what is measured; 5,000 are what upstream's own benchmark sets.
    let configuration = serde_json::json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 5000, "burst": 5000},
        "leaderElection": {"leaderElect": false},
    });
    let file = directory.join("scheduler.json");
    fs::write(&file, configuration.to_string())?;
    let arguments = [format!("--config={}", file.display()), "--secure-port=0".to_owned()];
    Process::start("kube-scheduler", &programs.tool("kube-scheduler")?, directory, arguments)
}

fn kube_controller_manager(
    programs: &Programs,
    directory: &Path,
    credentials: &Credentials,
) -> Result<Process> {
    let arguments = [
        format!("--kubeconfig={}", credentials.kubeconfig.display()),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        format!("--service-account-private-key-file={}", directory.join("accounts.key").display()),
        format!("--root-ca-file={}", directory.join("server.crt").display()),
    ];
    let program = programs.tool("kube-controller-manager")?;
    Process::start("kube-controller-manager", &program, directory, arguments)
}
