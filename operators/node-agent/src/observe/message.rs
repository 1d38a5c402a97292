//! What a container that ended left to say: its termination message, or the end of its log.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go (getTerminationMessage).

use crate::{build::labels, logs, volumes::layout::Layout};
use proa_runtime_shim::ContainerStatus;
use std::{
    io::{self, ErrorKind},
    path::Path,
};
use tokio::io::AsyncReadExt;

/// Most bytes of a termination message.
const MOST: u64 = 4096;

/// The messages of one pod's containers.
pub(super) struct Messages<'a> {
    layout: Layout,
    uid: &'a str,
}

impl<'a> Messages<'a> {
    /// Messages below the agent's directory.
    pub(super) fn new(root: &Path, uid: &'a str) -> Self {
        Self { layout: Layout::new(root), uid }
    }
    /// Adds the container's own message to the runtime's.
    pub(super) async fn add_to(&self, status: &mut ContainerStatus) {
        let own = self.own(status).await;
        if own.is_empty() {
            return;
        }
        if !status.message.is_empty() {
            status.message.push_str(": ");
        }
        status.message.push_str(&own);
    }
    async fn own(&self, status: &ContainerStatus) -> String {
        let text = |key: &str| status.container.annotations.get(key).map_or("", String::as_str);
        let written = match text(labels::TERMINATION_MESSAGE_PATH) {
            "" => String::new(),
            _ => self.written(status).await,
        };
        let could_log = status.exit_code != 0 && status.reason != "ContainerCannotRun";
        if written.is_empty()
            && could_log
            && text(labels::TERMINATION_MESSAGE_POLICY) == "FallbackToLogsOnError"
        {
            // A container that never ran has no log.
            return logs::last_words(&status.log_path).await.unwrap_or_default();
        }
        written
    }
    async fn written(&self, status: &ContainerStatus) -> String {
        let container = &status.container;
        let path = self.layout.termination_log(self.uid, &container.name, container.attempt);
        match head(&path).await {
            Ok(text) => text,
            // The pod's directory went with its volumes; what it said was read before.
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => format!("Error on reading termination log {}: {error}", path.display()),
        }
    }
}

async fn head(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(MOST).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
