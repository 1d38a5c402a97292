//! Which time of a schedule is due, and which comes next.

use jiff::{SignedDuration, tz::TimeZone};
use proa_kit::Timestamp;
use proa_meta::cron::Schedule;
use std::time::Duration;

/// More missed times than this are worth a warning.
const MANY: i64 = 100;
/// Added to a pause, so that clocks that differ a little do not wake too early.
const MARGIN: SignedDuration = SignedDuration::from_millis(100);

/// A schedule that names no two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time difference between two schedules is less than 1 second")]
pub struct NoTimes;

/// What has become due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The last time that is due.
    pub time: Option<Timestamp>,
    /// How many were missed, roughly: from the distance of the first two.
    pub missed: i64,
}

impl Due {
    /// Whether so many were missed that something is wrong.
    pub fn is_too_much(&self) -> bool {
        self.missed > MANY
    }
}

/// What of a schedule has become due after `earliest`.
///
/// # Errors
/// The schedule can be read but names no times, as the 31st of February.
pub fn due(
    schedule: &Schedule,
    zone: &TimeZone,
    earliest: Timestamp,
    now: Timestamp,
) -> Result<Due, NoTimes> {
    let first = schedule.next(earliest, zone).ok_or(NoTimes)?;
    if now < first {
        return Ok(Due::default());
    }
    let second = schedule.next(first, zone).ok_or(NoTimes)?;
    if now < second {
        return Ok(Due { time: Some(first), missed: 0 });
    }
    let distance = second.as_second() - first.as_second();
    let missed = now.duration_since(first).as_secs() / distance.max(1) + 1;
    // Near the present, so that a long absence costs nothing; times may be unevenly far apart.
    let near = first.as_second() + (missed - 2) * distance;
    let near = Timestamp::from_second(near).unwrap_or(first);
    let times = std::iter::successors(schedule.next(near, zone), |time| schedule.next(*time, zone));
    Ok(Due { time: times.take_while(|time| *time <= now).last(), missed })
}

/// How long until the next time.
pub fn pause(schedule: &Schedule, zone: &TimeZone, earliest: Timestamp, now: Timestamp) -> Option<Duration> {
    let from = match due(schedule, zone, earliest, now) {
        Ok(Due { time: Some(time), .. }) => time,
        Ok(Due { missed: 0, .. }) => earliest,
        Ok(_) | Err(NoTimes) => now,
    };
    let pause = schedule.next(from, zone)?.duration_since(now) + MARGIN;
    // A time that has come meanwhile is due at once.
    Some(Duration::try_from(pause).unwrap_or_default().max(MARGIN.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due_of(schedule: &str, earliest: &str, now: &str) -> (Option<String>, i64) {
        let due = due(&Schedule::parse(schedule).unwrap(), &TimeZone::UTC, at(earliest), at(now)).unwrap();
        (due.time.map(|time| time.to_string()), due.missed)
    }

    #[test]
    fn only_the_last_of_several_missed_times_is_due() {
        let of = |earliest: &str, now: &str| due_of("0 * * * *", earliest, now);
        assert_eq!(of("2026-01-01T10:00:00Z", "2026-01-01T10:59:59Z"), (None, 0));
        assert_eq!(
            of("2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"),
            (Some("2026-01-01T11:00:00Z".into()), 0)
        );
        assert_eq!(
            of("2026-01-01T10:00:00Z", "2026-01-01T13:30:00Z"),
            (Some("2026-01-01T13:00:00Z".into()), 3)
        );
        let (time, missed) = of("2025-01-01T00:00:00Z", "2026-01-01T13:30:00Z");
        assert_eq!(time.as_deref(), Some("2026-01-01T13:00:00Z"));
        assert!(missed > MANY);
    }

    #[test]
    fn unevenly_distant_times_are_found() {
        let found = due_of("30 6-16/4 * * 1-5", "2026-01-02T06:30:00Z", "2026-01-05T07:00:00Z");
        assert_eq!(found.0.as_deref(), Some("2026-01-05T06:30:00Z"));
        let every = due_of("@every 7m", "2026-01-01T10:00:00Z", "2026-01-01T10:30:00Z");
        assert_eq!(every.0.as_deref(), Some("2026-01-01T10:28:00Z"));
    }

    #[test]
    fn a_date_that_never_comes_is_an_error() {
        let never = Schedule::parse("0 0 31 2 *").unwrap();
        let now = at("2026-01-01T00:00:00Z");
        assert_eq!(due(&never, &TimeZone::UTC, now, now), Err(NoTimes));
        assert_eq!(pause(&never, &TimeZone::UTC, now, now), None);
    }

    #[test]
    fn the_pause_ends_a_little_after_the_next_time() {
        let hourly = Schedule::parse("@hourly").unwrap();
        let of = |earliest: &str, now: &str| pause(&hourly, &TimeZone::UTC, at(earliest), at(now)).unwrap();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60) + Duration::from_millis(100);
        assert_eq!(of("2026-01-01T10:00:00Z", "2026-01-01T10:20:00Z"), minutes(40));
        assert_eq!(of("2026-01-01T10:00:00Z", "2026-01-01T12:20:00Z"), minutes(40));
    }
}
