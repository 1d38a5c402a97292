//! gRPC statuses as [`Error`]s.

use crate::Error;
use std::{error::Error as _, time::Duration};
use tonic::{Code, Status};

/// What a failed call means to its caller.
pub(super) fn from_status(operation: &'static str, within: Duration, status: &Status) -> Error {
    if let Some(error) = unavailable(status) {
        return error;
    }
    let message = status.message().to_owned();
    match status.code() {
        Code::NotFound => Error::NotFound { what: message },
        Code::Unavailable => Error::Unavailable { why: message },
        Code::DeadlineExceeded => Error::Timeout { operation, within },
        _ => Error::Failed { operation, message },
    }
}

/// A status that came of pulling `image`; its code is that of whatever failed, so a registry's as well.
pub(super) fn from_pull(image: &str, status: &Status) -> Error {
    let image = image.to_owned();
    match (unavailable(status), bad_name(status.message())) {
        (Some(error), _) => error,
        (None, Some(why)) => Error::InvalidImageName { image, why },
        (None, None) => Error::Pull { image, why: status.message().to_owned() },
    }
}

/// containerd is not there: what it answers itself has no source, so a source is of this side of a broken connection.
/// Or it is there, and says that it is not ready yet.
fn unavailable(status: &Status) -> Option<Error> {
    let is_starting = status.message().contains("server is not initialized yet");
    (is_starting || status.source().is_some()).then(|| Error::Unavailable { why: with_sources(status) })
}

/// What containerd's reference parser says of a name that is none; it has no code of its own for that.
fn bad_name(message: &str) -> Option<String> {
    let at = message.find("invalid reference format")?;
    Some(message[at..].to_owned())
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
        let of = |message: &str| from_pull("a:b:c", &Status::unknown(message));
        let bad = of("failed to parse image reference \"a:b:c\": invalid reference format");
        assert_eq!(bad.to_string(), "couldn't parse image name \"a:b:c\": invalid reference format");
        assert!(matches!(of("failed to resolve reference: connection refused"), Error::Pull { .. }));
        for elsewhere in
            [Status::not_found("x: not found"), Status::unavailable("503"), Status::cancelled("")]
        {
            assert!(
                matches!(from_pull("x", &elsewhere), Error::Pull { .. }),
                "a registry's failure is a pull's"
            );
        }
    }

    #[test]
    fn a_runtime_that_is_starting_does_not_answer_yet() {
        let status = Status::unknown("server is not initialized yet");
        assert!(matches!(from_status("version", WITHIN, &status), Error::Unavailable { .. }));
        assert!(matches!(from_pull("x", &status), Error::Unavailable { .. }));
    }
}
