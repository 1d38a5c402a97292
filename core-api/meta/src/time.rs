//! Times as the API writes them, and the clock they come from.
//!
//! [`Time`] is RFC 3339 to the second, [`MicroTime`] to the microsecond, both written in UTC. Texts are accepted and
//! refused as Go's `time.Parse` does, with its messages. Year 1's first second is Go's zero time: the API writes it
//! as `null`.
//! Code that decides never reads the system's clock: it is given a [`Clock`] or a time.
//! Upstream: apimachinery `pkg/apis/meta/v1/{time,micro_time}.go`.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::Offset};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

mod parse;

pub use parse::TimeError;

/// Where the present comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Starts at `now`.
    pub const fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }
    /// Moves on by `seconds`.
    pub fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(*now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Go's zero time in seconds from 1970.
const ZERO: i64 = -62_135_596_800;

/// A time to the second (`metav1.Time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(Timestamp);

/// A time to the microsecond (`metav1.MicroTime`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MicroTime(Timestamp);

impl Time {
    /// `at`, cut to the second.
    pub fn new(at: Timestamp) -> Self {
        let past = at.as_nanosecond().rem_euclid(1_000_000_000);
        Self(cut(at, past))
    }
    /// Parses RFC 3339.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        parse::parse(text, parse::Layout::Seconds).map(Self::new)
    }
    /// As a timestamp.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
    /// Whether it is Go's zero time, which the API writes as `null`.
    pub fn is_zero(self) -> bool {
        self.0.as_second() == ZERO
    }
}

impl MicroTime {
    /// `at`, cut to the microsecond.
    pub fn new(at: Timestamp) -> Self {
        let past = at.as_nanosecond().rem_euclid(1_000);
        Self(cut(at, past))
    }
    /// Parses RFC 3339 with exactly six places behind the second.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        parse::parse(text, parse::Layout::Micros).map(Self::new)
    }
    /// As a timestamp.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
    /// Whether it is Go's zero time, which the API writes as `null`.
    pub fn is_zero(self) -> bool {
        self.0.as_second() == ZERO && self.0.subsec_nanosecond() == 0
    }
}

fn cut(at: Timestamp, nanoseconds: i128) -> Timestamp {
    Timestamp::from_nanosecond(at.as_nanosecond() - nanoseconds).unwrap_or(at)
}

fn utc(at: Timestamp) -> DateTime {
    Offset::UTC.to_datetime(at)
}

fn write_seconds(f: &mut fmt::Formatter<'_>, t: DateTime) -> fmt::Result {
    let (date, time) = (t.date(), t.time());
    write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())?;
    write!(f, "T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(f, utc(self.0))?;
        f.write_str("Z")
    }
}

impl fmt::Display for MicroTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = utc(self.0);
        write_seconds(f, t)?;
        write!(f, ".{:06}Z", t.subsec_nanosecond() / 1000)
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self::new(at)
    }
}

impl From<Timestamp> for MicroTime {
    fn from(at: Timestamp) -> Self {
        Self::new(at)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_zero() { serializer.serialize_none() } else { serializer.collect_str(self) }
    }
}

impl Serialize for MicroTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_zero() { serializer.serialize_none() } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for MicroTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
