//! Lifecycle hooks: what runs after a container started and before it is stopped.
//!
//! A hook that fails is told by an event without its words, which may hold secrets; the words go to the container's
//! state, which its owner reads. Deliberately absent: what follows from a failure (the pod worker kills or goes on).
//! Upstream: `pkg/kubelet/lifecycle/handlers.go`, `startContainer` and `executePreStopHook` in
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go`.

#[cfg(test)]
mod tests;

use crate::probes::{Target, action::get_request, http};
use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, LifecycleHandler};
use proa_kit::events::Recorder;
use proa_runtime_shim::{Error, Runtime};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Why a hook failed; the text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HookError(String);

/// Runs hooks and tells of failures.
#[derive(Clone, Debug)]
pub(crate) struct Hooks<R> {
    runtime: R,
    recorder: Recorder,
}

impl<R: Runtime> Hooks<R> {
    pub(crate) fn new(runtime: R, recorder: Recorder) -> Self {
        Self { runtime, recorder }
    }

    /// Runs the container's `postStart` hook, for as long as it takes.
    ///
    /// # Errors
    /// The hook failed: the container must be killed, and waits with the reason `PostStartHookError`.
    pub(crate) async fn post_start(&self, target: &Target) -> Result<(), HookError> {
        let lifecycle = target.container.lifecycle.as_ref();
        let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref()) else { return Ok(()) };
        let result = self.run(target, hook, None).await;
        if result.is_err() {
            self.tell(target, "FailedPostStartHook", "PostStartHook failed");
        }
        result
    }

    /// Runs the container's `preStop` hook within the grace period; what is left of that.
    pub(crate) async fn pre_stop(&self, target: &Target, grace: Duration) -> Duration {
        let lifecycle = target.container.lifecycle.as_ref();
        let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()) else { return grace };
        let began = Instant::now();
        match timeout(grace, self.run(target, hook, Some(grace))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(pod = target.pod_name(), container = target.container.name, %error);
                self.tell(target, "FailedPreStopHook", "PreStopHook failed");
            }
            Err(_) => tracing::warn!(
                pod = target.pod_name(),
                container = target.container.name,
                "the preStop hook did not end within the grace period"
            ),
        }
        grace.saturating_sub(began.elapsed())
    }

    async fn run(
        &self,
        target: &Target,
        hook: &LifecycleHandler,
        within: Option<Duration>,
    ) -> Result<(), HookError> {
        if let Some(action) = &hook.exec {
            return self.exec(target, action, within).await;
        }
        if let Some(action) = &hook.http_get {
            return self.get(target, action).await;
        }
        if let Some(action) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0))).await;
            return Ok(());
        }
        // `tcpSocket` is in the API only for objects of long ago.
        Err(HookError(
            "Cannot run handler: invalid handler: tcpSocket is not supported in lifecycle hooks".to_owned(),
        ))
    }

    async fn exec(
        &self,
        target: &Target,
        action: &ExecAction,
        within: Option<Duration>,
    ) -> Result<(), HookError> {
        let command = action.command.as_deref().unwrap_or_default();
        let (error, output) = match self.runtime.exec(&target.id, command, within.unwrap_or(NO_LIMIT)).await {
            Ok(output) if output.exit_code == 0 => return Ok(()),
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                let stdout = String::from_utf8_lossy(&output.stdout);
                let error =
                    format!("command '{}' exited with {}: {stderr}", command.join(" "), output.exit_code);
                (error, format!("{stdout}{stderr}"))
            }
            Err(Error::Timeout { .. }) => {
                (format!("command {:?} timed out", command.join(" ")), String::new())
            }
            Err(error) => (error.to_string(), String::new()),
        };
        Err(HookError(format!(
            "Exec lifecycle hook ([{}]) for Container {:?} in Pod {:?} failed - error: {error}, message: {output:?}",
            command.join(" "),
            target.container.name,
            target.pod_name(),
        )))
    }

    /// Any answer is a success; a server that does not speak TLS is asked again without it.
    async fn get(&self, target: &Target, action: &HTTPGetAction) -> Result<(), HookError> {
        let failed = |error: String| {
            let path = action.path.as_deref().unwrap_or_default();
            let (container, pod) = (&target.container.name, target.pod_name());
            HookError(format!(
                "HTTP lifecycle hook ({path}) for Container {container:?} in Pod {pod:?} failed - error: {error}"
            ))
        };
        let mut get = get_request(target, action, "lifecycle").map_err(failed)?;
        match http::send(&get).await {
            Ok(_) => return Ok(()),
            Err(error) if !error.is_plain_http => return Err(failed(error.to_string())),
            Err(_) => {}
        }
        get.is_tls = false;
        get.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        http::send(&get).await.map_err(|error| failed(error.to_string()))?;
        let note = format!(
            "request to HTTPS lifecycle hook {}:{} got HTTP response, retry with HTTP succeeded",
            get.host, get.port
        );
        self.tell(target, "LifecycleHTTPFallback", &note);
        Ok(())
    }

    fn tell(&self, target: &Target, reason: &str, note: &str) {
        if let Some(event) = target.warning(reason, note) {
            self.recorder.record(event);
        }
    }
}

/// A `postStart` command may run for as long as it likes; this is longer than anything runs.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);
