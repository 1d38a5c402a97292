//! Moments and durations. Upstream: cel-go `common/types/{timestamp,duration}.go`.

use super::{error::Error, machine::Machine, value::Value};
use jiff::{
    SignedDuration, Timestamp, Zoned,
    tz::{Offset, TimeZone},
};

type Outcome<'a> = Result<Value<'a>, Error>;
type Args<'s, 'a> = &'s [Value<'a>];

const SECOND: i64 = 1_000_000_000;

/// RFC 3339.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let is_full =
        bytes.len() >= 20 && bytes.get(4) == Some(&b'-') && matches!(bytes.get(10), Some(b'T' | b't'));
    is_full.then(|| text.parse().ok()).flatten()
}

/// Go's text form, such as `1h30m`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        let mut part = unit;
        for digit in fraction.bytes() {
            part /= 10;
            total = total
                .checked_add(part.checked_mul(i128::from(digit.checked_sub(b'0').filter(|d| *d < 10)?))?)?;
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// As values of the format `duration` are written: Go's form, or `3 days 2 hours`.
pub(super) fn parse_any_duration(text: &str) -> Option<i64> {
    /// Exact names, the start of longer ones, nanoseconds.
    const UNITS: [(&[&str], &str, i64); 8] = [
        (&["ns"], "nano", 1),
        (&["us", "µs"], "micro", 1_000),
        (&["ms"], "milli", 1_000_000),
        (&["s"], "sec", SECOND),
        (&["m"], "min", 60 * SECOND),
        (&["h", "hr"], "hour", 3_600 * SECOND),
        (&["d"], "day", 86_400 * SECOND),
        (&["w", "wk"], "week", 604_800 * SECOND),
    ];
    if let Some(nanos) = parse_duration(text) {
        return Some(nanos);
    }
    let mut total = None;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let tail = rest.get(start..)?;
        let (digits, tail) = tail.split_at(tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len()));
        let tail = tail.trim_start();
        let end = tail.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = unit.to_lowercase();
        let known =
            |(exact, prefix, _): &&(&[&str], &str, i64)| exact.contains(&&*unit) || unit.starts_with(prefix);
        if let Some((_, _, nanos)) = UNITS.iter().find(known) {
            let part = digits.parse::<i64>().ok()?.checked_mul(*nanos)?;
            total = Some(total.unwrap_or(0i64).checked_add(part)?);
        }
        rest = tail;
    }
    total
}

/// Seconds, as CEL shows durations.
pub(super) fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (seconds, rest) = (nanos / SECOND.unsigned_abs(), nanos % SECOND.unsigned_abs());
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

fn overflow<'a>(what: &str) -> Outcome<'a> {
    Err(Error::new(format!("{what} overflow")))
}

pub(super) fn to_duration<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::Duration(nanos) | Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [Value::String(text)] => parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Error::new("type conversion error from 'string' to 'google.protobuf.Duration'")),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn to_timestamp<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let wrong = || Error::new("type conversion error from 'string' to 'google.protobuf.Timestamp'");
    match args {
        [Value::Timestamp(at)] => Ok(Value::Timestamp(*at)),
        [Value::Int(seconds)] => Timestamp::from_second(*seconds)
            .map_or_else(|_| overflow("timestamp"), |at| Ok(Value::Timestamp(at))),
        [Value::String(text)] => parse_timestamp(text).map(Value::Timestamp).ok_or_else(wrong),
        _ => Err(Error::NoSuchOverload),
    }
}

/// Sums with moments and durations.
pub(super) fn add<'a>(args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::Duration(a), Value::Duration(b)] => {
            a.checked_add(*b).map_or_else(|| overflow("duration"), |n| Ok(Value::Duration(n)))
        }
        [Value::Timestamp(at), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(at)] => {
            let later = at.checked_add(SignedDuration::from_nanos(*nanos));
            later.map_or_else(|_| overflow("timestamp"), |at| Ok(Value::Timestamp(at)))
        }
        _ => Err(Error::NoSuchOverload),
    }
}
/// Differences with moments and durations.
pub(super) fn subtract<'a>(args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::Duration(a), Value::Duration(b)] => {
            a.checked_sub(*b).map_or_else(|| overflow("duration"), |n| Ok(Value::Duration(n)))
        }
        [Value::Timestamp(at), Value::Duration(nanos)] => {
            let earlier = at.checked_sub(SignedDuration::from_nanos(*nanos));
            earlier.map_or_else(|_| overflow("timestamp"), |at| Ok(Value::Timestamp(at)))
        }
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            let nanos = a.as_nanosecond() - b.as_nanosecond();
            i64::try_from(nanos).map_or_else(|_| overflow("duration"), |n| Ok(Value::Duration(n)))
        }
        _ => Err(Error::NoSuchOverload),
    }
}

fn zone(name: &str) -> Result<TimeZone, Error> {
    let unknown = || Error::new(format!("unknown time zone {name}"));
    if name.is_empty() || name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        return TimeZone::get(name).map_err(|_| unknown());
    };
    let (sign, hours) = match hours.strip_prefix('-') {
        Some(hours) => (-1, hours),
        None => (1, hours.strip_prefix('+').unwrap_or(hours)),
    };
    let number = |text: &str| text.parse::<i32>().ok().filter(|n| (0..=59).contains(n));
    let (hours, minutes) = number(hours).zip(number(minutes)).ok_or_else(unknown)?;
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).map_err(|_| unknown())?;
    Ok(TimeZone::fixed(offset))
}

fn part<'a>(args: Args<'_, 'a>, of: fn(&Zoned) -> i64, of_duration: Option<fn(i64) -> i64>) -> Outcome<'a> {
    match (args, of_duration) {
        ([Value::Timestamp(at)], _) => Ok(Value::Int(of(&at.to_zoned(TimeZone::UTC)))),
        ([Value::Timestamp(at), Value::String(name)], _) => Ok(Value::Int(of(&at.to_zoned(zone(name)?)))),
        ([Value::Duration(nanos)], Some(of)) => Ok(Value::Int(of(*nanos))),
        _ => Err(Error::NoSuchOverload),
    }
}

pub(super) fn full_year<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.year()), None)
}
pub(super) fn month<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.month()) - 1, None)
}
pub(super) fn day_of_year<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.day_of_year()) - 1, None)
}
pub(super) fn day_of_month<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.day()) - 1, None)
}
pub(super) fn date<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.day()), None)
}
pub(super) fn day_of_week<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.weekday().to_sunday_zero_offset()), None)
}
pub(super) fn hours<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.hour()), Some(|nanos| nanos / (3600 * SECOND)))
}
pub(super) fn minutes<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.minute()), Some(|nanos| nanos / (60 * SECOND)))
}
pub(super) fn seconds<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.second()), Some(|nanos| nanos / SECOND))
}
pub(super) fn milliseconds<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    part(args, |at| i64::from(at.millisecond()), Some(|nanos| nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_schemas_may_be_in_words() {
        for (text, seconds) in
            [("3 days 2 hours", Some(266_400)), ("1 wk", Some(604_800)), ("90s", Some(90)), ("x", None)]
        {
            assert_eq!(parse_any_duration(text), seconds.map(|seconds| seconds * SECOND), "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, nanos, shown) in [
            ("1h30m", Some(5400 * SECOND), "5400s"),
            ("-1.5s", Some(-1_500_000_000), "-1.5s"),
            ("2us", Some(2_000), "0.000002s"),
            ("0", Some(0), "0s"),
            ("", None, ""),
            ("1", None, ""),
            ("1d", None, ""),
            (".s", None, ""),
        ] {
            assert_eq!(parse_duration(text), nanos, "{text}");
            if let Some(nanos) = nanos {
                assert_eq!(duration_text(nanos), shown);
            }
        }
    }
}
