//! What can go wrong in an operator, and what the caller can do about it.

use std::fmt;

/// Result of the kit.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure of a read, a write or a plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refused or could not be reached.
    #[error("{operation}: {source}")]
    Api {
        /// What was tried, such as `create pods`.
        operation: String,
        /// Why it failed.
        #[source]
        source: ApiFailure,
    },
    /// The operator tried a write that `writes()` does not declare (K6).
    #[error("write not declared by the operator: {verb} {resource}")]
    Undeclared {
        /// API verb.
        verb: &'static str,
        /// Resource with group and subresource.
        resource: String,
    },
    /// A response or a field is not what the API promises.
    #[error("decode {what}: {source}")]
    Decode {
        /// What was decoded.
        what: String,
        /// Why it failed.
        #[source]
        source: serde_json::Error,
    },
    /// An earlier action of the plan failed, so this one was not tried.
    #[error("not tried: an earlier write failed")]
    Skipped,
    /// The operator cannot go on with this object as it is; the text says why.
    #[error("{0}")]
    Invalid(String),
}

/// A client error whose text is the server's message alone, as upstream's events show it.
#[derive(Debug)]
pub struct ApiFailure(pub Box<kube::Error>);

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            kube::Error::Api(status) => f.write_str(&status.message),
            other => other.fmt(f),
        }
    }
}

impl std::error::Error for ApiFailure {}

impl Error {
    /// Wraps a client error with what was tried.
    pub fn api(operation: impl Into<String>, source: kube::Error) -> Self {
        Self::Api { operation: operation.into(), source: ApiFailure(Box::new(source)) }
    }
    /// HTTP status code, if the server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match &*source.0 {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
    /// The server's reason, such as `AlreadyExists`; empty when it did not answer.
    pub fn reason(&self) -> &str {
        match self {
            Self::Api { source, .. } => match &*source.0 {
                kube::Error::Api(status) => &status.reason,
                _ => "",
            },
            _ => "",
        }
    }
    /// The server's message without what was tried around it.
    pub fn message(&self) -> String {
        match self {
            Self::Api { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    }
    /// Stale version or failed precondition: observe again.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409) && self.reason() != "AlreadyExists"
    }
    /// The name is taken.
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }
    /// The object is gone.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
    /// The namespace is being deleted, so nothing can be created in it.
    pub fn is_namespace_terminating(&self) -> bool {
        let Self::Api { source, .. } = self else { return false };
        let kube::Error::Api(status) = &*source.0 else { return false };
        status
            .details
            .as_ref()
            .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
    }
    /// Word for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Api { .. } if self.is_conflict() => "conflict",
            Self::Api { .. } => "api",
            Self::Undeclared { .. } => "undeclared",
            Self::Decode { .. } => "decode",
            Self::Skipped => "skipped",
            Self::Invalid(_) => "invalid",
        }
    }
}
