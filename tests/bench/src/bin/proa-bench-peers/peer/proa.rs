//! Proa: one process, the embedded store.

use super::{Peer, Process, Programs, With, free_port, until_ready};
use anyhow::Result;
use std::{path::Path, time::Instant};
use tempfile::TempDir;

/// Every operator but the scheduler.
const ALL_BUT_SCHEDULER: &str = "service-account,namespace,garbage-collector,resource-quota,disruption,\
                                 horizontal-pod-autoscaler,metrics,deployment,replicaset,replicationcontroller,daemonset,\
                                 statefulset,job,cronjob,service,load-balancer,ingress,persistent-volume,node-ipam,certificates,\
                                 bootstrap-token,node-lifecycle,storage-version-migrator";

pub(super) async fn start(programs: &Programs, directory: TempDir, with: With) -> Result<Peer> {
    let data = directory.path().join("data");
    let mut arguments: Vec<String> =
        ["server", "--name", "bench-peers", "--listen", "127.0.0.1", "--port"].map(Into::into).into();
    arguments.extend([free_port()?.to_string(), "--data-dir".to_owned(), data.display().to_string()]);
    match with {
        With::Nothing => arguments.extend(["--disable", "all"].map(Into::into)),
        With::Scheduler => arguments.extend(["--disable", ALL_BUT_SCHEDULER].map(Into::into)),
        With::Everything => {}
    }
    let begun = Instant::now();
    let mut processes = vec![Process::start("proa", &programs.proa, directory.path(), arguments)?];
    let kubeconfig = data.join("admin.kubeconfig");
    let endpoint = until_ready(&mut processes, &kubeconfig, None).await?;
    Ok(Peer { processes, endpoint, begun, ready: begun.elapsed(), kubeconfig, directory })
}

/// The scheduler as a process of its own.
pub(super) fn scheduler(programs: &Programs, directory: &Path, kubeconfig: &Path) -> Result<Process> {
    let arguments = ["operator", "scheduler", "--kubeconfig"].map(std::ffi::OsStr::new);
    let arguments = arguments.into_iter().chain([kubeconfig.as_os_str()]);
    Process::start("proa-scheduler", &programs.proa, directory, arguments)
}
