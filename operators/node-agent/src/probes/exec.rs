//! Probes that run a command in the container.
//!
//! Upstream: `pkg/probe/exec/exec.go`.

use super::{
    Target,
    action::{Outcome, duration},
    command,
};
use k8s_openapi::api::core::v1::ExecAction;
use proa_runtime_shim::{Error, ExecOutput, Runtime};
use std::time::Duration;

/// Output that a message shows.
const MOST_OUTPUT: usize = 10 << 10;

pub(super) async fn probe<R: Runtime>(
    runtime: &R,
    target: &Target,
    action: &ExecAction,
    timeout: Duration,
) -> Outcome {
    let env = target.container.env.as_deref().unwrap_or_default();
    let command = command::expanded(action.command.as_deref().unwrap_or_default(), env);
    match runtime.exec(&target.id, &command, timeout).await {
        Ok(output) if output.exit_code == 0 => Outcome::Success,
        Ok(output) => Outcome::Failure(text(&output)),
        Err(Error::Timeout { .. }) => {
            let command = command.join(" ");
            Outcome::Failure(format!("command timed out: {command:?} timed out after {}", duration(timeout)))
        }
        Err(error) => Outcome::Error(error.to_string()),
    }
}

fn text(output: &ExecOutput) -> String {
    let bytes: Vec<u8> = output.stdout.iter().chain(&output.stderr).take(MOST_OUTPUT).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
