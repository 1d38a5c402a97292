//! Quantities of resources: `100m`, `1Gi`, `1e3`.
//!
//! A [`Quantity`] is exact: a whole number times a power of ten, never finer than nano (1e-9); parsing rounds finer
//! values away from zero. It remembers the notation it was given and prints canonically in it.
//! Deliberately absent: numbers of more than 38 digits. Upstream computes with unbounded integers; here parsing
//! refuses them and sums keep only the larger part. Multiples of 1000E and of 1024Ei keep their suffix; upstream loses it.
//! Upstream: apimachinery `pkg/api/resource/{quantity,suffix}.go`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::{borrow::Cow, cmp::Ordering, fmt, ops};

mod parse;

/// Notation that a quantity prints itself in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `1500m`, `2k`.
    #[default]
    DecimalSi,
    /// `1536Mi`.
    BinarySi,
    /// `15e2`.
    DecimalExponent,
}

/// An exact number with a notation. Compared by value only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    /// Mantissa, without trailing decimal zeros; zero has scale zero.
    value: i128,
    /// Power of ten, at least -9.
    scale: i32,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number followed by a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number is too long.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// No such suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i32 = -9;

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { value: 0, scale: 0, format: Format::DecimalSi };

    /// `value * 10^scale`, rounded away from zero to nano.
    pub fn scaled(value: i128, scale: i32, format: Format) -> Self {
        let (value, scale) =
            if scale < NANO { (shift_down(value, NANO.abs_diff(scale)), NANO) } else { (value, scale) };
        Self::reduced(value, scale, format)
    }
    /// A whole number.
    pub fn new(value: i64, format: Format) -> Self {
        Self::reduced(i128::from(value), 0, format)
    }
    /// Thousandths.
    pub fn milli(value: i64) -> Self {
        Self::reduced(i128::from(value), -3, Format::DecimalSi)
    }

    fn reduced(mut value: i128, mut scale: i32, format: Format) -> Self {
        if value == 0 {
            return Self { value, scale: 0, format };
        }
        while value % 10 == 0 {
            value /= 10;
            scale += 1;
        }
        Self { value, scale, format }
    }

    /// Parses a text; white space around it is not ignored.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse::parse(text).map(|parsed| parsed.quantity)
    }

    /// Parses what a JSON field holds: text or a number.
    pub fn from_json(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number_text(number)),
            _ => Err(QuantityError::Format),
        }
    }

    /// The notation.
    pub fn format(&self) -> Format {
        self.format
    }
    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.value == 0
    }
    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.value < 0
    }
    /// Whole number, rounded away from zero and capped.
    pub fn value(&self) -> i64 {
        self.at_scale(0)
    }
    /// Thousandths, rounded away from zero and capped.
    pub fn milli_value(&self) -> i64 {
        self.at_scale(-3)
    }
    /// Multiples of `10^scale`, rounded away from zero and capped.
    pub fn at_scale(&self, scale: i32) -> i64 {
        let wide = if self.scale < scale {
            shift_down(self.value, scale.abs_diff(self.scale))
        } else {
            shift_up(self.value, self.scale.abs_diff(scale))
        };
        i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
    }
    /// Nearest floating-point number.
    pub fn as_f64(&self) -> f64 {
        self.value as f64 * 10f64.powi(self.scale)
    }
    /// Whether it is a whole number.
    pub fn is_integer(&self) -> bool {
        self.scale >= 0
    }

    /// The sum. Where it has more digits than can be held, the smaller part is lost.
    fn plus(self, other: Self, format: Format) -> Self {
        let scale = self.scale.min(other.scale);
        let at = |q: Self| 10i128.checked_pow(q.scale.abs_diff(scale))?.checked_mul(q.value);
        let sum = || at(self)?.checked_add(at(other)?);
        let larger = || if self.magnitude() < other.magnitude() { other } else { self };
        sum().map_or_else(|| Self { format, ..larger() }, |value| Self::reduced(value, scale, format))
    }

    /// Position of the first digit.
    fn magnitude(self) -> Option<i64> {
        let digits = self.value.unsigned_abs().checked_ilog10()?;
        Some(i64::from(digits) + i64::from(self.scale))
    }

    /// Digits and power of ten (a multiple of three) of the canonical decimal form.
    fn decimal(&self, max_exponent: i32) -> (i128, i32) {
        let exponent = (self.scale - self.scale.rem_euclid(3)).min(max_exponent);
        (shift_up(self.value, self.scale.abs_diff(exponent)), exponent)
    }

    /// Digits and power of 1024, when the binary notation loses nothing.
    fn binary(&self) -> Option<(i128, usize)> {
        let mut value = (self.scale >= 0).then(|| shift_up(self.value, self.scale.unsigned_abs()))?;
        if value.unsigned_abs() < 1024 {
            return None;
        }
        let mut power = 0;
        while value % 1024 == 0 && power < 6 {
            value /= 1024;
            power += 1;
        }
        Some((value, power))
    }
}

/// The text in the form in which upstream stores it: canonical, except that some texts that are well formed but not
/// canonical (`+1`, `05`, `1.500`) stay as they are.
pub fn stored_text(text: &str) -> Result<Cow<'_, str>, QuantityError> {
    let trimmed = text.trim();
    let parsed = parse::parse(trimmed)?;
    if parsed.keep_text {
        return Ok(Cow::Borrowed(trimmed));
    }
    let canonical = parsed.quantity.to_string();
    Ok(if canonical == trimmed { Cow::Borrowed(trimmed) } else { Cow::Owned(canonical) })
}

/// The text of a JSON number without exponent, as clients write quantities.
pub fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

/// `value * 10^by`, capped.
fn shift_up(value: i128, by: u32) -> i128 {
    let capped = if value < 0 { i128::MIN } else { i128::MAX };
    match value {
        0 => 0,
        _ => 10i128.checked_pow(by).and_then(|factor| value.checked_mul(factor)).unwrap_or(capped),
    }
}

/// `value / 10^by`, rounded away from zero.
fn shift_down(value: i128, by: u32) -> i128 {
    match 10i128.checked_pow(by) {
        Some(divisor) if value % divisor == 0 => value / divisor,
        Some(divisor) => value / divisor + value.signum(),
        None => value.signum(),
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_sign = self.value.signum().cmp(&other.value.signum());
        if by_sign != Ordering::Equal || self.value == 0 {
            return by_sign;
        }
        let ordering = self.magnitude().cmp(&other.magnitude()).then_with(|| {
            let scale = self.scale.min(other.scale);
            let at = |q: &Self| shift_up(q.value, q.scale.abs_diff(scale)).unsigned_abs();
            at(self).cmp(&at(other))
        });
        if self.value < 0 { ordering.reverse() } else { ordering }
    }
}

impl ops::AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        let format = if self.is_zero() { other.format } else { self.format };
        *self = self.plus(other, format);
    }
}

impl ops::SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self += -other;
    }
}

impl ops::Add for Quantity {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl ops::Sub for Quantity {
    type Output = Self;
    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl ops::Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: self.value.saturating_neg(), ..self }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, ops::Add::add)
    }
}

/// The canonical text.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        if self.value == 0 {
            return f.write_str("0");
        }
        if let (Format::BinarySi, Some((digits, power))) = (self.format, self.binary()) {
            return write!(f, "{digits}{}", BINARY[power]);
        }
        if self.format == Format::DecimalExponent {
            let (digits, exponent) = self.decimal(i32::MAX);
            return if exponent == 0 { write!(f, "{digits}") } else { write!(f, "{digits}e{exponent}") };
        }
        let (digits, exponent) = self.decimal(18);
        let suffix = usize::try_from(exponent / 3 + 3).ok().and_then(|i| DECIMAL.get(i)).unwrap_or(&"");
        write!(f, "{digits}{suffix}")
    }
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Quantity::parse(text.trim()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity::new(number, Format::DecimalSi))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity::scaled(i128::from(number), 0, Format::DecimalSi))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                Quantity::parse(&number.to_string()).map_err(E::custom)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Quantity, E> {
                Ok(Quantity::ZERO)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests;
