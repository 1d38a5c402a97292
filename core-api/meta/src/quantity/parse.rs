//! Text to quantity. As lenient as upstream: a missing number is zero (`k`, `.`), `1.` is one.

use super::{Format, NANO, Quantity, QuantityError};

pub(super) struct Parsed {
    pub(super) quantity: Quantity,
    /// Upstream keeps the text as it is instead of writing the canonical form.
    pub(super) keep_text: bool,
}

/// A text taken apart: sign, digits before (no leading zeros) and behind the point, suffix.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    suffix: &'a str,
    /// There is no digit at all.
    is_blank: bool,
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Factor {
    Ten { exponent: i32, format: Format },
    Two { exponent: u32 },
}

pub(super) fn parse(text: &str) -> Result<Parsed, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let parts = split(text)?;
    let factor = factor(parts.suffix).ok_or(QuantityError::Suffix)?;
    if parts.is_blank && is_out_of_reach(factor) {
        return Err(QuantityError::Numeric);
    }
    let magnitude = match factor {
        Factor::Ten { exponent, .. } => decimal(&parts, exponent)?,
        Factor::Two { exponent } => binary(&parts, exponent)?,
    };
    let format = match factor {
        Factor::Ten { format, .. } => format,
        // Between zero and one the binary notation could only round.
        Factor::Two { .. } if magnitude.1 < 0 && is_below_one(magnitude) => Format::DecimalSi,
        Factor::Two { .. } => Format::BinarySi,
    };
    let value = if parts.negative { -magnitude.0 } else { magnitude.0 };
    Ok(Parsed {
        quantity: Quantity::reduced(value, magnitude.1, format),
        keep_text: keeps_text(&parts, factor),
    })
}

/// Upstream takes a missing number for zero only where it can do with 64 bits.
fn is_out_of_reach(factor: Factor) -> bool {
    match factor {
        Factor::Ten { exponent, .. } => exponent < NANO,
        Factor::Two { exponent } => exponent > 40,
    }
}

fn is_below_one((value, scale): (i128, i32)) -> bool {
    10i128.checked_pow(scale.unsigned_abs()).is_none_or(|one| value < one)
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let bytes = text.as_bytes();
    let (negative, start) = match bytes.first() {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    };
    let first = start;
    let start = skip(bytes, start, |b| b == b'0');
    let point = skip(bytes, start, |b| b.is_ascii_digit());
    let (fraction, end) = if bytes.get(point) == Some(&b'.') {
        let end = skip(bytes, point + 1, |b| b.is_ascii_digit());
        (&bytes[point + 1..end], end)
    } else {
        (&bytes[point..point], point)
    };
    let mut rest = skip(bytes, end, |b| b"eEinumkKMGTP".contains(&b));
    rest += usize::from(matches!(bytes.get(rest), Some(b'+' | b'-')));
    if skip(bytes, rest, |b| b.is_ascii_digit()) != bytes.len() {
        return Err(QuantityError::Format);
    }
    // Everything from `end` was matched as ASCII, so this is a character boundary.
    let suffix = text.get(end..).ok_or(QuantityError::Format)?;
    let is_blank = point == first && fraction.is_empty();
    Ok(Parts { negative, whole: &bytes[start..point], fraction, suffix, is_blank })
}

/// First position from `from` whose byte does not fit.
fn skip(bytes: &[u8], from: usize, fits: fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|&b| !fits(b)).map_or(bytes.len(), |n| from + n)
}

fn factor(suffix: &str) -> Option<Factor> {
    let si = |exponent| Some(Factor::Ten { exponent, format: Format::DecimalSi });
    match suffix {
        "" => si(0),
        "n" => si(-9),
        "u" => si(-6),
        "m" => si(-3),
        "k" => si(3),
        "M" => si(6),
        "G" => si(9),
        "T" => si(12),
        "P" => si(15),
        "E" => si(18),
        "Ki" => Some(Factor::Two { exponent: 10 }),
        "Mi" => Some(Factor::Two { exponent: 20 }),
        "Gi" => Some(Factor::Two { exponent: 30 }),
        "Ti" => Some(Factor::Two { exponent: 40 }),
        "Pi" => Some(Factor::Two { exponent: 50 }),
        "Ei" => Some(Factor::Two { exponent: 60 }),
        _ => {
            let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            // Upstream wraps around here; no such number can be held anyway.
            let exponent = exponent.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i32;
            Some(Factor::Ten { exponent, format: Format::DecimalExponent })
        }
    }
}

/// Digits times `10^exponent`, rounded up to nano: mantissa and scale.
fn decimal(parts: &Parts<'_>, exponent: i32) -> Result<(i128, i32), QuantityError> {
    let places = i32::try_from(parts.fraction.len()).map_err(|_| QuantityError::Numeric)?;
    let scale = exponent - places;
    let cut = usize::try_from(NANO - scale).unwrap_or(0);
    let count = parts.whole.len() + parts.fraction.len();
    let digits = || parts.whole.iter().chain(parts.fraction);
    let kept = count.saturating_sub(cut);
    let value = number(digits().take(kept))?;
    let rounded = digits().skip(kept).any(|&d| d != b'0');
    Ok((value + i128::from(rounded), scale.max(NANO)))
}

/// Digits times `2^exponent`, rounded up to nano and capped at the largest 64-bit number.
fn binary(parts: &Parts<'_>, exponent: u32) -> Result<(i128, i32), QuantityError> {
    let places = parts.fraction.len();
    let value = number(parts.whole.iter().chain(parts.fraction))?;
    let cap = i128::from(i64::MAX);
    let Some(product) = value.checked_mul(1 << exponent) else {
        let whole = number(parts.whole.iter())?;
        return if whole.checked_mul(1 << exponent).is_none_or(|w| w > cap) {
            Ok((cap, 0))
        } else {
            Err(QuantityError::Numeric)
        };
    };
    let scale = -i32::try_from(places).map_err(|_| QuantityError::Numeric)?;
    let (value, scale) = match scale {
        NANO.. => (product, scale),
        _ => (super::shift_down(product, NANO.abs_diff(scale)), NANO),
    };
    let is_over = super::shift_down(value, scale.unsigned_abs()) > cap;
    Ok(if is_over { (cap, 0) } else { (value, scale) })
}

fn number<'a>(digits: impl Iterator<Item = &'a u8>) -> Result<i128, QuantityError> {
    let step = |n: i128, d: &u8| n.checked_mul(10)?.checked_add(i128::from(d - b'0'));
    let mut digits = digits;
    digits.try_fold(0i128, step).filter(|&n| n < i128::MAX).ok_or(QuantityError::Numeric)
}

/// Upstream's shortcut: a text that looks canonical is not written anew.
fn keeps_text(parts: &Parts<'_>, factor: Factor) -> bool {
    let whole: &[u8] = if parts.whole.is_empty() { b"0" } else { parts.whole };
    let count = whole.len() + parts.fraction.len();
    let last_three_are_zero =
        count >= 3 && whole.iter().chain(parts.fraction).rev().take(3).all(|&d| d == b'0');
    match factor {
        Factor::Ten { exponent, .. } => {
            let scale = exponent.saturating_sub(i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX));
            count <= 18 && scale >= NANO && scale % 3 == 0 && !last_three_are_zero && whole[0] != b'0'
        }
        Factor::Two { exponent } => {
            let room = 14 - i64::try_from(count).unwrap_or(i64::MAX) - i64::from(exponent * 3 / 10);
            let value = number(parts.whole.iter()).unwrap_or(0);
            let fits = value.checked_mul(1 << exponent).is_some_and(|n| i64::try_from(n).is_ok());
            parts.fraction.is_empty() && room >= 0 && fits && value & 7 != 0
        }
    }
}
