//! The time, injected: plans get `now`, loops get a `Clock`, tests set it.

use jiff::Timestamp;
pub use proa_meta::time::{Clock, ManualClock, SystemClock};

/// Whole seconds as the API writes times.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Microseconds as `MicroTime` fields are written.
pub fn rfc3339_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Time from `since` to `now`, zero when it lies ahead.
pub fn elapsed(since: Timestamp, now: Timestamp) -> std::time::Duration {
    now.duration_since(since).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_api_does() {
        let time: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        assert_eq!(rfc3339(time), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339_micro(time), "2026-01-02T03:04:05.678901Z");
        assert_eq!(elapsed(time, time - std::time::Duration::from_secs(1)), std::time::Duration::ZERO);
    }
}
