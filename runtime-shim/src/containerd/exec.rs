//! Commands in containers, and where their streams can be had.

use super::{
    Containerd,
    client::{REQUEST, call},
    container::whole_seconds,
    errors,
};
use crate::{Error, ExecOutput, Result, Streams};
use k8s_cri::v1;
use std::time::Duration;

pub(super) async fn run(
    containerd: &Containerd,
    container: &str,
    command: &[String],
    timeout: Duration,
) -> Result<ExecOutput> {
    let request = v1::ExecSyncRequest {
        container_id: container.to_owned(),
        cmd: command.to_vec(),
        // Only a last resort, so that nothing is left running when this process ends meanwhile: seconds are too coarse.
        timeout: whole_seconds(timeout).saturating_add(1),
    };
    let expired = || Error::Timeout { operation: "exec", within: timeout };
    // Dropping the call ends containerd's work on it, which kills the command.
    match tokio::time::timeout(timeout, containerd.runtime.clone().exec_sync(request)).await {
        Ok(Ok(response)) => Ok(output(response.into_inner())),
        Ok(Err(status)) => Err(errors::from_status("exec", timeout, &status)),
        Err(_) => Err(expired()),
    }
}

fn output(said: v1::ExecSyncResponse) -> ExecOutput {
    ExecOutput { stdout: said.stdout, stderr: said.stderr, exit_code: said.exit_code }
}

pub(super) async fn exec_url(
    containerd: &Containerd,
    container: &str,
    command: &[String],
    streams: Streams,
) -> Result<String> {
    let request = v1::ExecRequest {
        container_id: container.to_owned(),
        cmd: command.to_vec(),
        tty: streams.tty,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    Ok(call("exec_url", REQUEST, containerd.runtime.clone().exec(request)).await?.url)
}

pub(super) async fn attach_url(containerd: &Containerd, container: &str, streams: Streams) -> Result<String> {
    let request = v1::AttachRequest {
        container_id: container.to_owned(),
        stdin: streams.stdin,
        tty: streams.tty,
        stdout: streams.stdout,
        stderr: streams.stderr,
    };
    Ok(call("attach_url", REQUEST, containerd.runtime.clone().attach(request)).await?.url)
}

pub(super) async fn port_forward_url(containerd: &Containerd, sandbox: &str) -> Result<String> {
    let request = v1::PortForwardRequest { pod_sandbox_id: sandbox.to_owned(), port: vec![] };
    Ok(call("port_forward_url", REQUEST, containerd.runtime.clone().port_forward(request)).await?.url)
}
