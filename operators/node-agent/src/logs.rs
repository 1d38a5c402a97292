//! Logs of containers: files that the runtime writes, one line each with its time and stream.
//!
//! Owns: reading them with all options of `kubectl logs`, following them across rotation until the container ends,
//! rotating them, and the last words of a container that left no termination message. Invariants: a file is read in
//! pieces and from its end where that suffices, so memory does not grow with the log; following and rotation are driven
//! by what the kernel reports of the files. As upstream, only the newest file is served: older ones, compressed, are for
//! programs on the node. Deliberately absent: where logs are (the caller says), their removal with their pod.
//! Upstream: `k8s.io/cri-client/pkg/logs`, `pkg/kubelet/logs/container_log_manager.go`.

mod line;
mod options;
mod reader;
mod rotation;
mod tail;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use options::{BadQuery, LogOptions};
pub(crate) use reader::LogReader;
pub(crate) use rotation::{Limits, keep_rotated};

use std::{future, io, path::Path};

/// Most lines and bytes of a log that become a container's termination message.
const LAST_LINES: u64 = 80;
const LAST_BYTES: usize = 2048;

/// The end of a container's log: its termination message when it left none and its policy is `FallbackToLogsOnError`.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn last_words(log: &Path) -> io::Result<String> {
    let options = LogOptions { tail_lines: Some(LAST_LINES), ..LogOptions::default() };
    let mut reader = LogReader::open(log, options, future::pending()).await?;
    let mut words = Vec::new();
    while let Some(piece) = reader.next().await? {
        words.extend_from_slice(&piece);
        let surplus = words.len().saturating_sub(LAST_BYTES);
        words.drain(..surplus);
    }
    Ok(String::from_utf8_lossy(&words).into_owned())
}
