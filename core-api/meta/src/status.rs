//! `Status` errors: the only error that crosses the API, independent of HTTP libraries.
//!
//! Messages and reasons are upstream's: apimachinery `pkg/api/errors/errors.go`.

use crate::{
    field::FieldErrors,
    gvk::{GroupKind, GroupResource},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Result of an API operation.
pub type ApiResult<T> = Result<T, ApiError>;

/// Machine-readable reason of a `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// No reason given.
    #[serde(rename = "")]
    Unknown,
    /// 401: no or wrong credentials.
    Unauthorized,
    /// 403: not allowed.
    Forbidden,
    /// 404: object or resource does not exist.
    NotFound,
    /// 409 on create: the name is taken.
    AlreadyExists,
    /// 409: stale resourceVersion, failed precondition or apply conflict.
    Conflict,
    /// 410: no longer available at this address, such as an expired revision.
    Gone,
    /// 410: a resourceVersion or continue token is too old.
    Expired,
    /// 422: the object is not valid; causes name the fields.
    Invalid,
    /// 504: a server-side wait ran out.
    ServerTimeout,
    /// 504: the request took too long.
    Timeout,
    /// 429: ask later.
    TooManyRequests,
    /// 400: malformed request.
    BadRequest,
    /// 405: verb not supported here.
    MethodNotAllowed,
    /// 406: none of the accepted media types can be served.
    NotAcceptable,
    /// 413: body too large.
    RequestEntityTooLarge,
    /// 415: body's media type is not understood.
    UnsupportedMediaType,
    /// 500.
    InternalError,
    /// 503.
    ServiceUnavailable,
    /// 507-like conditions of the store (disk full): reported as 500 upstream.
    StorageReadError,
}

impl Reason {
    /// The HTTP status code that goes with it.
    pub const fn code(self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::Invalid => 422,
            Self::ServerTimeout | Self::Timeout => 504,
            Self::TooManyRequests => 429,
            Self::BadRequest => 400,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::ServiceUnavailable => 503,
            Self::Unknown | Self::InternalError | Self::StorageReadError => 500,
        }
    }
}

/// One cause in `details.causes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Machine-readable cause, such as `FieldValueInvalid`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Field path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// `details` of a `Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Group of the resource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind or resource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Uid of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// What exactly is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds to wait before the next try.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    code: u16,
    reason: Reason,
    message: String,
    details: Option<Details>,
    continue_token: Option<String>,
    warnings: Vec<String>,
    foreign_reason: Option<String>,
}

/// An API error: what becomes a `Status` object. One pointer wide, so results stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(Box<Inner>);

impl ApiError {
    /// An error with `reason`'s own code.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code: reason.code(),
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
            warnings: Vec::new(),
            foreign_reason: None,
        }))
    }
    /// Replaces the HTTP code.
    #[must_use]
    pub fn with_code(mut self, code: u16) -> Self {
        self.0.code = code;
        self
    }
    /// Replaces the details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }
    /// Adds one cause.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.0.details.get_or_insert_default().causes.push(cause);
        self
    }
    /// Seconds after which the client should try again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }
    /// A continue token in the Status' metadata: how a list that expired can go on.
    #[must_use]
    pub fn with_list_continue(mut self, token: String) -> Self {
        self.0.continue_token = Some(token);
        self
    }
    /// Texts of `Warning` headers that go with the error, such as unknown fields of a body that is refused for others.
    #[must_use]
    pub fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.0.warnings = warnings;
        self
    }
    /// A reason in the words of someone else, such as a webhook, instead of one that this server gives.
    #[must_use]
    pub fn with_foreign_reason(mut self, reason: String) -> Self {
        self.0.foreign_reason = Some(reason);
        self
    }
    /// Texts of `Warning` headers.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }
    /// HTTP status code.
    pub fn code(&self) -> u16 {
        self.0.code
    }
    /// Reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }
    /// Message.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// Details.
    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// 404: no such object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(Reason::NotFound, format!("{resource} \"{name}\" not found")).about(resource, name)
    }
    /// 404: no such path or resource.
    pub fn no_such_resource() -> Self {
        Self::new(Reason::NotFound, "the server could not find the requested resource")
            .with_details(Details::default())
    }
    /// 409: the name is taken.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::new(Reason::AlreadyExists, format!("{resource} \"{name}\" already exists"))
            .about(resource, name)
    }
    /// 409 with upstream's frame around `why`.
    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        Self::new(Reason::Conflict, format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"))
            .about(resource, name)
    }
    /// 409: the object changed since the caller read it.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        const WHY: &str =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, WHY)
    }
    /// 422 with one cause per field error.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &FieldErrors) -> Self {
        let message = match errors.summary() {
            text if text.is_empty() => format!("{kind} \"{name}\" is invalid"),
            text => format!("{kind} \"{name}\" is invalid: {text}"),
        };
        Self::new(Reason::Invalid, message).with_details(Details {
            name: name.to_owned(),
            group: kind.group.to_string(),
            kind: kind.kind.to_string(),
            causes: errors.causes(),
            ..Details::default()
        })
    }
    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }
    /// 403 for an object operation, with upstream's frame around `why`.
    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} \"{name}\" is forbidden: {why}")
        };
        Self::new(Reason::Forbidden, message).about(resource, name)
    }
    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }
    /// 405.
    pub fn method_not_allowed(resource: &GroupResource, verb: &str) -> Self {
        Self::new(
            Reason::MethodNotAllowed,
            format!("{verb} is not supported on resources of kind \"{resource}\""),
        )
        .about(resource, "")
    }
    /// 410: a watch or list asked for a revision that is compacted away.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }
    /// 500. `what` is shown to the client: no secrets.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(Reason::InternalError, format!("Internal error occurred: {what}")).with_details(Details {
            causes: vec![Cause { message: what.to_string(), ..Cause::default() }],
            ..Details::default()
        })
    }
    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::ServiceUnavailable, message)
    }
    /// 504: the server could not finish the operation in time and the client may try again.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(Reason::Timeout, message)
    }
    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(Reason::RequestEntityTooLarge, message)
    }

    fn about(self, resource: &GroupResource, name: &str) -> Self {
        self.with_details(Details {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.resource.to_string(),
            ..Details::default()
        })
    }

    /// The `Status` object, ready to be serialised.
    pub fn to_status(&self) -> serde_json::Value {
        let mut status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.0.message, "code": self.0.code,
        });
        if let Some(reason) = &self.0.foreign_reason {
            status["reason"] = serde_json::json!(reason);
        } else if self.0.reason != Reason::Unknown {
            status["reason"] = serde_json::json!(self.0.reason);
        }
        if let Some(details) = &self.0.details {
            status["details"] = serde_json::json!(details);
        }
        if let Some(token) = &self.0.continue_token {
            status["metadata"]["continue"] = serde_json::json!(token);
        }
        status
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldPath;

    #[test]
    fn status_carries_reason_code_and_causes() {
        let mut errors = FieldErrors::default();
        errors.required(&FieldPath::root("spec").child("selector"), "");
        let status = ApiError::invalid(&GroupKind::new("apps", "Deployment"), "web", &errors).to_status();
        assert_eq!(status["code"], 422);
        assert_eq!(status["reason"], "Invalid");
        assert_eq!(status["details"]["causes"][0]["field"], "spec.selector");
        assert_eq!(status["message"], "Deployment.apps \"web\" is invalid: spec.selector: Required value");
    }

    #[test]
    fn messages_qualify_the_group() {
        let pods = GroupResource::new("", "pods");
        assert_eq!(ApiError::not_found(&pods, "a").message(), "pods \"a\" not found");
        let deployments = GroupResource::new("apps", "deployments");
        assert_eq!(ApiError::not_found(&deployments, "a").message(), "deployments.apps \"a\" not found");
    }
}
