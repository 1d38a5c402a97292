//! What goes wrong in a runtime, split by what a caller can do about it.

use std::time::Duration;

/// Result of a runtime call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a runtime call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such sandbox, container or image.
    #[error("{what} not found")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// The runtime does not answer; the same call may work later.
    #[error("the container runtime does not answer: {why}")]
    Unavailable {
        /// Why.
        why: String,
    },
    /// The call took longer than allowed.
    #[error("{operation} did not end within {within:?}")]
    Timeout {
        /// What was called.
        operation: &'static str,
        /// What was allowed.
        within: Duration,
    },
    /// The name is no image reference.
    #[error("couldn't parse image name {image:?}: {why}")]
    InvalidImageName {
        /// As given.
        image: String,
        /// Why.
        why: String,
    },
    /// The image cannot be had.
    #[error("failed to pull image {image:?}: {why}")]
    Pull {
        /// As given.
        image: String,
        /// The runtime's words.
        why: String,
    },
    /// The runtime refused or failed; its words are in the message.
    #[error("{operation}: {message}")]
    Failed {
        /// What was called.
        operation: &'static str,
        /// The runtime's words.
        message: String,
    },
}
