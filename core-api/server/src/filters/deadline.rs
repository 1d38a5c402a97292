//! How long a request may take.
//!
//! `?timeout=` shortens the server's limit and never lengthens it; watches and streams have none.
//! Upstream: apiserver `pkg/endpoints/filters/request_deadline.go`.

use crate::{query::Query, request_info::RequestInfo};
use proa_meta::{ApiError, ApiResult};
use std::time::Duration;

pub(super) fn of(info: &RequestInfo, query: &Query<'_>, limit: Duration) -> ApiResult<Option<Duration>> {
    if info.is_long_running() {
        return Ok(None);
    }
    let Some(text) = query.text("timeout") else { return Ok(Some(limit)) };
    let refused =
        |why| ApiError::bad_request(format!("invalid timeout specified in the request URL - {why}"));
    let asked = parse_go_duration(text).map_err(refused)?;
    Ok(Some(if asked > 0.0 && asked < limit.as_secs_f64() { Duration::from_secs_f64(asked) } else { limit }))
}

pub(super) async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = ApiResult<T>>,
) -> ApiResult<T> {
    match limit {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(super::too_slow()),
        },
    }
}

/// Seconds of a Go duration such as `1m30s`, with Go's error texts.
fn parse_go_duration(text: &str) -> Result<f64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0.0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..end];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let Some(scale) = unit_seconds(unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        seconds += number * scale;
        rest = &rest[end..];
    }
    Ok(sign * seconds)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(target: &str) -> ApiResult<Option<Duration>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(Some(query));
        let info = crate::request_info::parse(&http::Method::GET, path, &query)?;
        of(&info, &query, Duration::from_secs(60))
    }

    #[test]
    fn clients_may_only_shorten_the_limit() {
        assert_eq!(limit("/api/v1/pods").unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(limit("/api/v1/pods?timeout=1m30s").unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(limit("/api/v1/pods?timeout=1.5s").unwrap(), Some(Duration::from_millis(1500)));
        assert_eq!(limit("/api/v1/pods?timeout=0").unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(limit("/api/v1/pods?watch=1&timeout=1s").unwrap(), None);
        let text = limit("/api/v1/pods?timeout=5").unwrap_err().message().to_owned();
        assert_eq!(
            text,
            "invalid timeout specified in the request URL - time: missing unit in duration \"5\""
        );
        assert!(limit("/api/v1/pods?timeout=x").is_err());
    }
}
