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
        timeout: whole_seconds(timeout),
    };
    let mut client = containerd.runtime.clone();
    // containerd kills the command when its time is over, but not when the call is dropped: then it only loses the means
    // to. So the call goes on by itself, until the command and all that hold its output are gone.
    let call =
        tokio::spawn(async move { tokio::time::timeout(timeout + REQUEST, client.exec_sync(request)).await });
    let expired = || Error::Timeout { operation: "exec", within: timeout };
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(Ok(Ok(response)))) => Ok(output(response.into_inner())),
        Ok(Ok(Ok(Err(status)))) => Err(errors::from_status("exec", timeout, &status)),
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => Err(expired()),
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
