//! What a reader asks of a log: the query of a request.

use jiff::{SignedDuration, Timestamp};

/// Which of a container's streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogStream {
    /// Both.
    #[default]
    All,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a reader asks of a log (`PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// Goes on until the container ends.
    pub(crate) follow: bool,
    /// Of the container before the present one.
    pub(crate) previous: bool,
    /// A time before each line.
    pub(crate) timestamps: bool,
    /// Only lines from then on.
    pub(crate) since: Option<Timestamp>,
    /// Only that many lines from the end.
    pub(crate) tail_lines: Option<u64>,
    /// At most that many bytes.
    pub(crate) limit_bytes: Option<u64>,
    /// Which stream.
    pub(crate) stream: LogStream,
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuery {
    /// A value is not of its type.
    #[error("Unable to decode query.")]
    Undecodable,
    /// Values that are not allowed, or not together.
    #[error("Invalid request.")]
    Invalid,
}

impl LogOptions {
    /// Reads a query, with upstream's rules. What is not known is ignored, as upstream does.
    pub(crate) fn from_query(query: &[(String, String)], now: Timestamp) -> Result<Self, BadQuery> {
        let mut options = Self::default();
        let (mut since_seconds, mut since_time) = (None, None);
        for (name, value) in query {
            match name.as_str() {
                "follow" => options.follow = is_true(value),
                "previous" => options.previous = is_true(value),
                "timestamps" => options.timestamps = is_true(value),
                "sinceSeconds" => since_seconds = Some(number(value)?),
                "sinceTime" if !value.is_empty() => {
                    since_time = Some(value.parse::<Timestamp>().map_err(|_| BadQuery::Undecodable)?);
                }
                // Its old name, where "all" is the same as none.
                "tail" if value == "all" => options.tail_lines = None,
                "tailLines" | "tail" => options.tail_lines = Some(natural(value)?),
                "limitBytes" => options.limit_bytes = Some(natural(value)?),
                "stream" => options.stream = stream(value)?,
                _ => {}
            }
        }
        options.since = since(since_seconds, since_time, now)?;
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), BadQuery> {
        let cut_stream = self.tail_lines.is_some() && self.stream != LogStream::All;
        if self.limit_bytes == Some(0) || cut_stream { Err(BadQuery::Invalid) } else { Ok(()) }
    }
}

fn is_true(value: &str) -> bool {
    !matches!(value, "" | "0") && !value.eq_ignore_ascii_case("false")
}

fn number(value: &str) -> Result<i64, BadQuery> {
    value.parse().map_err(|_| BadQuery::Undecodable)
}

fn natural(value: &str) -> Result<u64, BadQuery> {
    u64::try_from(number(value)?).map_err(|_| BadQuery::Invalid)
}

fn stream(value: &str) -> Result<LogStream, BadQuery> {
    match value {
        "All" => Ok(LogStream::All),
        "Stdout" => Ok(LogStream::Stdout),
        "Stderr" => Ok(LogStream::Stderr),
        _ => Err(BadQuery::Invalid),
    }
}

fn since(
    seconds: Option<i64>,
    time: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, BadQuery> {
    match (seconds, time) {
        (Some(_), Some(_)) => Err(BadQuery::Invalid),
        (Some(seconds), None) if seconds < 1 => Err(BadQuery::Invalid),
        (Some(seconds), None) => {
            Ok(Some(now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)))
        }
        (None, time) => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<LogOptions, BadQuery> {
        let query: Vec<_> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LogOptions::from_query(&query, "2024-01-01T00:01:00Z".parse().unwrap())
    }

    #[test]
    fn all_options_are_read() {
        let options = read(&[
            ("follow", "true"),
            ("previous", "1"),
            ("timestamps", "True"),
            ("sinceSeconds", "60"),
            ("tailLines", "7"),
            ("limitBytes", "9"),
            ("stream", "All"),
            ("insecureSkipTLSVerifyBackend", "true"),
        ]);
        let expected = LogOptions {
            follow: true,
            previous: true,
            timestamps: true,
            since: Some("2024-01-01T00:00:00Z".parse().unwrap()),
            tail_lines: Some(7),
            limit_bytes: Some(9),
            stream: LogStream::All,
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(read(&[("follow", "false"), ("tail", "all")]), Ok(LogOptions::default()));
    }

    #[test]
    fn what_does_not_fit_is_refused_as_upstream_does() {
        for (query, error) in [
            (&[("tailLines", "x")][..], BadQuery::Undecodable),
            (&[("sinceTime", "yesterday")], BadQuery::Undecodable),
            (&[("tailLines", "-1")], BadQuery::Invalid),
            (&[("limitBytes", "0")], BadQuery::Invalid),
            (&[("sinceSeconds", "0")], BadQuery::Invalid),
            (&[("sinceSeconds", "1"), ("sinceTime", "2024-01-01T00:00:00Z")], BadQuery::Invalid),
            (&[("stream", "stdout")], BadQuery::Invalid),
            (&[("stream", "Stdout"), ("tailLines", "1")], BadQuery::Invalid),
        ] {
            assert_eq!(read(query), Err(error), "{query:?}");
        }
    }
}
