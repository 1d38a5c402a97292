//! A server of its own for each part of the measurement.

use anyhow::{Context, Result, bail};
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(120);

/// A running server; ends when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) dir: PathBuf,
    _keep: Option<TempDir>,
}

impl Server {
    /// Starts in a new directory.
    pub(crate) fn fresh(binary: &Path, more: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut server = Self::in_dir(binary, dir.path(), more)?;
        server._keep = Some(dir);
        Ok(server)
    }
    /// Starts in a directory that stays.
    pub(crate) fn in_dir(binary: &Path, dir: &Path, more: &[&str]) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = fs::File::create(dir.join("bench.log"))?;
        let process = Command::new(binary)
            .args(["server", "--name", "bench", "--listen", "127.0.0.1", "--port", &port.to_string()])
            .arg("--data-dir")
            .arg(dir)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        Ok(Self { process, dir: dir.to_owned(), _keep: None })
    }
    /// A client, once the server answers.
    pub(crate) async fn client(&mut self) -> Result<Client> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                let log = fs::read_to_string(self.dir.join("bench.log")).unwrap_or_default();
                bail!("the server ended with {status}: {log}");
            }
            if let Ok(client) = self.connect().await
                && client.apiserver_version().await.is_ok()
            {
                return Ok(client);
            }
            if begun.elapsed() > READY_WITHIN {
                bail!("the server does not answer");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    /// A client with connections of its own.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.dir.join("admin.kubeconfig"))?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }
    /// Resident memory in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }
    /// Processor time used so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace().collect();
        let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("a short stat")?.parse()?) };
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }
    /// Ends the process in order, so that its directory can be used again.
    pub(crate) fn stop(&mut self) -> Result<()> {
        Command::new("kill").arg(self.process.id().to_string()).status()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
