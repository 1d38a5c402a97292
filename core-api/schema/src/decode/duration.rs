//! Durations as Go writes them: `1h30m0s`, `100ms`.
//!
//! Upstream: Go's `time.ParseDuration` and `Duration.String`.

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Nanoseconds, `None` when Go would refuse the text.
pub(crate) fn parse(text: &str) -> Option<i64> {
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
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (part, behind) = one(rest)?;
        total = total.checked_add(part).filter(|&sum| sum <= 1 << 63)?;
        rest = behind;
    }
    match (negative, i64::try_from(total)) {
        (false, nanoseconds) => nanoseconds.ok(),
        (true, Ok(nanoseconds)) => Some(-nanoseconds),
        (true, Err(_)) => Some(i64::MIN),
    }
}

/// One number with its unit, and what is behind it.
fn one(text: &str) -> Option<(u64, &str)> {
    let whole_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(whole_end);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let value = whole.checked_mul(scale)?.checked_add(fraction_of(fraction, scale))?;
    Some((value, rest))
}

fn fraction_of(digits: &str, scale: u64) -> u64 {
    let mut place = scale as f64;
    let mut value = 0.0;
    for digit in digits.bytes() {
        place /= 10.0;
        value += f64::from(digit - b'0') * place;
    }
    // Go multiplies once and cuts; the sum of parts may be a hair below.
    (value + 1e-6) as u64
}

/// Go's text for nanoseconds.
pub(crate) fn format(nanoseconds: i64) -> String {
    let amount = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let text = match amount {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{amount}ns"),
        1_000..1_000_000 => with_fraction(amount, 1_000, "µs"),
        1_000_000..1_000_000_000 => with_fraction(amount, 1_000_000, "ms"),
        _ => long(amount),
    };
    format!("{sign}{text}")
}

fn long(amount: u64) -> String {
    const MINUTE: u64 = 60_000_000_000;
    let seconds = with_fraction(amount % MINUTE, 1_000_000_000, "s");
    let minutes = amount / MINUTE;
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

fn with_fraction(amount: u64, unit: u64, name: &str) -> String {
    let width = unit.ilog10() as usize;
    let fraction = format!("{:0width$}", amount % unit);
    let fraction = fraction.trim_end_matches('0');
    let whole = amount / unit;
    if fraction.is_empty() { format!("{whole}{name}") } else { format!("{whole}.{fraction}{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_canonical() {
        for (text, want) in [
            ("0", "0s"),
            ("1h", "1h0m0s"),
            ("90s", "1m30s"),
            ("1h15m30.918s", "1h15m30.918s"),
            ("1.5h", "1h30m0s"),
            ("100ms", "100ms"),
            ("1500us", "1.5ms"),
            ("-2m", "-2m0s"),
            ("7ns", "7ns"),
            (".5s", "500ms"),
            ("1.1s", "1.1s"),
            ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "1", "s", "1d", "1h-1m", "-", ".s", "9999999999h", "1 s", "1s "] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
