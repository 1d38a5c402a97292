//! The grammar of schedules, with the messages of upstream's parser.

use super::{Fields, Repeats, Schedule};
use jiff::SignedDuration;

/// What is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

type Result<T> = std::result::Result<T, ScheduleError>;

fn refuse<T>(message: String) -> Result<T> {
    Err(ScheduleError(message))
}

/// Set beside the numbers when a field is `*`.
const STAR: u64 = 1 << 63;

/// Numbers of one field.
struct Bounds {
    least: u64,
    most: u64,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { least: 0, most: 59, names: &[] };
const HOURS: Bounds = Bounds { least: 0, most: 23, names: &[] };
const DAYS: Bounds = Bounds { least: 1, most: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds =
    Bounds { least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

pub(super) fn schedule(text: &str) -> Result<Schedule> {
    if text.is_empty() {
        return refuse("empty spec string".to_owned());
    }
    if text.starts_with('@') {
        return described(text);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        let shown = fields.join(" ");
        return refuse(format!("expected exactly 5 fields, found {}: [{shown}]", fields.len()));
    };
    let minutes = field(minute, &MINUTES)?;
    let hours = field(hour, &HOURS)?;
    let days = field(day, &DAYS)?;
    let months = field(month, &MONTHS)?;
    let weekdays = field(weekday, &WEEKDAYS)?;
    let either_day = (days | weekdays) & STAR == 0;
    Ok(Schedule(Repeats::At(Fields { minutes, hours, days, months, weekdays, either_day })))
}

fn described(text: &str) -> Result<Schedule> {
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(pause) = text.strip_prefix("@every ") else {
                return refuse(format!("unrecognized descriptor: {text}"));
            };
            let pause = match duration(pause) {
                Ok(pause) => SignedDuration::from_secs(pause.as_secs().max(1)),
                Err(why) => return refuse(format!("failed to parse duration {text}: {why}")),
            };
            return Ok(Schedule(Repeats::Every(pause)));
        }
    };
    schedule(fields)
}

/// Ranges between commas.
fn field(text: &str, bounds: &Bounds) -> Result<u64> {
    let ranges = text.split(',').filter(|range| !range.is_empty());
    ranges.map(|text| range(text, bounds)).try_fold(0, |bits, range| Ok(bits | range?))
}

/// `*`, `5`, `5-10`, each with `/2`; `5/2` goes on to the end.
fn range(text: &str, bounds: &Bounds) -> Result<u64> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let is_star = matches!(ends[0], "*" | "?");
    let (from, mut to) = match ends[..] {
        _ if is_star => (bounds.least, bounds.most),
        [only] => {
            let only = named_number(only, bounds)?;
            (only, only)
        }
        [from, to] => (named_number(from, bounds)?, named_number(to, bounds)?),
        _ => return refuse(format!("too many hyphens: {text}")),
    };
    let step = match parts[..] {
        [_] => 1,
        [_, step] => {
            if ends.len() == 1 {
                to = bounds.most;
            }
            number(step)?
        }
        _ => return refuse(format!("too many slashes: {text}")),
    };
    let Bounds { least, most, .. } = bounds;
    if from < *least {
        return refuse(format!("beginning of range ({from}) below minimum ({least}): {text}"));
    }
    if to > *most {
        return refuse(format!("end of range ({to}) above maximum ({most}): {text}"));
    }
    if from > to {
        return refuse(format!("beginning of range ({from}) beyond end of range ({to}): {text}"));
    }
    let Some(skipped) = step.checked_sub(1) else {
        return refuse(format!("step of range should be a positive number: {text}"));
    };
    let star = if is_star && skipped == 0 { STAR } else { 0 };
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((from..=to).step_by(step).fold(star, |bits, number| bits | 1 << number))
}

fn named_number(text: &str, bounds: &Bounds) -> Result<u64> {
    let named = (bounds.least..).zip(bounds.names).find(|(_, name)| text.eq_ignore_ascii_case(name));
    named.map_or_else(|| number(text), |(number, _)| Ok(number))
}

fn number(text: &str) -> Result<u64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    match text.parse::<i64>() {
        Ok(number) => u64::try_from(number)
            .or_else(|_| refuse(format!("negative number ({number}) not allowed: {text}"))),
        Err(_) => refuse(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}")),
    }
}

/// A duration as Go writes it: `1h30m`, `1.5h`. Errors are Go's.
fn duration(text: &str) -> std::result::Result<SignedDuration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_negative = text.starts_with('-');
    if unsigned == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let (mut rest, mut total) = (unsigned, 0_u128);
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let is_amount = |c: char| c.is_ascii_digit() || c == '.';
        let (amount, after) = rest.split_at(rest.find(|c| !is_amount(c)).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(is_amount).unwrap_or(after.len()));
        rest = after;
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let nanoseconds: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            unknown => return Err(format!("time: unknown unit {unknown:?} in duration {text:?}")),
        };
        let digits = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u64>() };
        let whole = u128::from(digits(whole).map_err(|_| invalid())?) * nanoseconds;
        // Digits beyond nanoseconds of an hour say nothing.
        let shown = fraction.get(..15).unwrap_or(fraction);
        let part = u128::from(digits(shown).map_err(|_| invalid())?) * nanoseconds;
        let scale = shown.bytes().fold(1_u128, |scale, _| scale * 10);
        total += whole + part / scale;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(SignedDuration::from_nanos(if is_negative { -total } else { total }))
}
