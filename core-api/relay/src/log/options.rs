//! What of a log is wanted.
//!
//! Pure. Upstream: PodLogOptions, `ValidatePodLogOptions` in `pkg/apis/core/validation/validation.go`.

use crate::stream::{parameter, with_query};
use proa_meta::{ApiError, ApiResult, FieldErrors, Gvk, field::FieldPath, time::Time};
use proa_server::query::Query;
use serde_json::Value;

/// Both streams.
const ALL: &str = "All";
const STREAMS: [&str; 3] = [ALL, "Stderr", "Stdout"];

/// Options of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) container: String,
    /// The agent's certificate is not verified.
    pub(super) unverified: bool,
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<Time>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<String>,
}

impl Options {
    /// # Errors
    /// 400 when a value is malformed, 422 when it is not allowed.
    pub(super) fn parse(query: &Query<'_>, pod: &str) -> ApiResult<Self> {
        let flag = |name| query.flag(name) == Some(true);
        let options = Self {
            container: query.get("container").unwrap_or_default().to_owned(),
            unverified: flag("insecureSkipTLSVerifyBackend"),
            follow: flag("follow"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            since_seconds: query.integer("sinceSeconds")?,
            since_time: query.text("sinceTime").map(parse_time).transpose()?,
            tail_lines: query.integer("tailLines")?,
            limit_bytes: query.integer("limitBytes")?,
            stream: query.text("stream").map(str::to_owned),
        };
        let errors = options.validate();
        if errors.is_empty() {
            return Ok(options);
        }
        Err(ApiError::invalid(&Gvk::new("", "v1", "PodLogOptions").group_kind(), pod, &errors))
    }

    fn validate(&self) -> FieldErrors {
        let mut errors = FieldErrors::default();
        // As upstream shows a path without a name.
        let whole = FieldPath::root("[]");
        let mut least = |name, value: Option<i64>, least: i64, why| {
            if let Some(value) = value.filter(|value| *value < least) {
                errors.invalid(&FieldPath::root(name), &Value::from(value), why);
            }
        };
        least("tailLines", self.tail_lines, 0, "must be greater than or equal to 0");
        least("limitBytes", self.limit_bytes, 1, "must be greater than 0");
        match self.since_time {
            None => least("sinceSeconds", self.since_seconds, 1, "must be greater than 0"),
            Some(_) if self.since_seconds.is_none() => {}
            Some(_) => {
                errors.forbidden(&whole, "at most one of `sinceTime` or `sinceSeconds` may be specified");
            }
        }
        let Some(stream) = &self.stream else { return errors };
        if !STREAMS.contains(&stream.as_str()) {
            errors.not_supported(&FieldPath::root("stream"), &Value::from(stream.as_str()), &STREAMS);
        }
        if stream != ALL && self.tail_lines.is_some() {
            errors.forbidden(&whole, "`tailLines` and specific `stream` are mutually exclusive for now");
        }
        errors
    }

    /// Path and query for the agent.
    pub(super) fn path(&self, namespace: &str, pod: &str, container: &str) -> String {
        let mut parameters = Vec::new();
        for (name, set) in
            [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)]
        {
            parameters.extend(set.then(|| parameter(name, "true")));
        }
        parameters.extend(self.since_seconds.map(|n| parameter("sinceSeconds", &n.to_string())));
        let since = self.since_time.map(|time| time.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        parameters.extend(since.map(|time| parameter("sinceTime", &time)));
        parameters.extend(self.tail_lines.map(|n| parameter("tailLines", &n.to_string())));
        parameters.extend(self.limit_bytes.map(|n| parameter("limitBytes", &n.to_string())));
        parameters.extend(self.stream.as_ref().filter(|s| *s != ALL).map(|s| parameter("stream", s)));
        with_query(format!("/containerLogs/{namespace}/{pod}/{container}"), &parameters)
    }
}

fn parse_time(text: &str) -> ApiResult<Time> {
    Time::parse(text).map_err(|_| {
        let why = "as \"2006-01-02T15:04:05Z07:00\": cannot parse";
        ApiError::bad_request(format!("parsing time {text:?} {why} {text:?} as \"2006\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Options, (u16, String)> {
        Options::parse(&Query::parse(Some(query)), "p").map_err(|e| (e.code(), e.message().to_owned()))
    }

    #[test]
    fn options_become_the_agents_parameters() {
        let query = "container=c&follow=true&previous=false&timestamps&sinceTime=2024-05-01T10:00:00.5%2B02:00\
                     &limitBytes=10&tailLines=0&stream=All";
        let path = parse(query).unwrap().path("d", "p", "c");
        let want = "/containerLogs/d/p/c?follow=true&timestamps=true&sinceTime=2024-05-01T08%3A00%3A00Z\
                    &tailLines=0&limitBytes=10";
        assert_eq!(path, want);
        assert_eq!(parse("stream=Stderr").unwrap().path("d", "p", "c"), "/containerLogs/d/p/c?stream=Stderr");
        assert_eq!(parse("").unwrap().path("d", "p", "c"), "/containerLogs/d/p/c");
    }

    #[test]
    fn values_that_are_not_allowed_are_named() {
        let wrong = |what: &str| Err((422, format!("PodLogOptions \"p\" is invalid: {what}")));
        let table = [
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            (
                "sinceSeconds=1&sinceTime=2024-05-01T10:00:00Z",
                "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
            (
                "stream=x",
                "stream: Unsupported value: \"x\": supported values: \"All\", \"Stderr\", \"Stdout\"",
            ),
            (
                "stream=Stdout&tailLines=1",
                "[]: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
            ),
        ];
        for (query, what) in table {
            assert_eq!(parse(query), wrong(what), "{query}");
        }
        assert_eq!(parse("tailLines=x").unwrap_err().0, 400);
        let (code, why) = parse("sinceTime=yesterday").unwrap_err();
        assert_eq!(code, 400);
        assert!(why.starts_with("parsing time \"yesterday\" as"), "{why}");
    }
}
