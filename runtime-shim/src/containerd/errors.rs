//! gRPC statuses as [`Error`]s.

use crate::Error;
use std::{error::Error as _, time::Duration};
use tonic::{Code, Status};

/// What a failed call means to its caller.
pub(super) fn from_status(operation: &'static str, within: Duration, status: &Status) -> Error {
    let message = status.message().to_owned();
    match status.code() {
        Code::NotFound => Error::NotFound { what: message },
        Code::Unavailable => Error::Unavailable { why: message },
        Code::DeadlineExceeded => Error::Timeout { operation, within },
        // What containerd answers has no source; what has one was made on this side of a broken connection.
        _ if status.source().is_some() => Error::Unavailable { why: with_sources(status) },
        _ => Error::Failed { operation, message },
    }
}

/// A status that came of pulling `image`.
pub(super) fn from_pull(image: &str, within: Duration, status: &Status) -> Error {
    let why = status.message().to_owned();
    let image = image.to_owned();
    match from_status("pull_image", within, status) {
        Error::Unavailable { why } => Error::Unavailable { why },
        _ if is_bad_name(&why) => Error::InvalidImageName { image, why },
        _ => Error::Pull { image, why },
    }
}

/// Words of containerd's reference parser; it has no code for them.
fn is_bad_name(message: &str) -> bool {
    ["failed to parse image reference", "invalid reference format", "repository name must be lowercase"]
        .iter()
        .any(|words| message.contains(words))
}

fn with_sources(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(1);

    #[test]
    fn codes_become_variants() {
        let of = |code| from_status("stop_container", WITHIN, &Status::new(code, "words"));
        assert!(matches!(of(Code::NotFound), Error::NotFound { what } if what == "words"));
        assert!(matches!(of(Code::Unavailable), Error::Unavailable { .. }));
        assert!(matches!(of(Code::DeadlineExceeded), Error::Timeout { operation: "stop_container", .. }));
        assert_eq!(of(Code::Unknown).to_string(), "stop_container: words");
    }

    #[test]
    fn a_bad_image_name_is_told_from_a_failed_pull() {
        let of = |message: &str| from_pull("a:b:c", WITHIN, &Status::unknown(message));
        let bad = of("failed to parse image reference \"a:b:c\": invalid reference format");
        assert!(matches!(bad, Error::InvalidImageName { .. }));
        assert!(matches!(of("failed to resolve reference: connection refused"), Error::Pull { .. }));
        let missing = from_pull("x", WITHIN, &Status::not_found("docker.io/library/x: not found"));
        assert!(matches!(missing, Error::Pull { .. }), "a missing image is a failed pull");
    }
}
