//! A number or a text, such as a port by number or name, or a count in absolute terms or per cent.
//!
//! Upstream: apimachinery `pkg/util/intstr/intstr.go`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A 32-bit number or a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A text: a port name or `25%`.
    String(String),
}

/// Which way a percentage that is no whole number goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the next larger number.
    Up,
    /// To the next smaller number.
    Down,
}

/// The text is neither a number nor a percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// No per cent sign.
    #[error("invalid value for IntOrString: invalid type: string is not a percentage")]
    NotPercent,
    /// No number before the per cent sign.
    #[error("invalid value for IntOrString: invalid value {text:?}: strconv.Atoi: parsing {number:?}: {why}")]
    NotNumber {
        /// The whole text.
        text: String,
        /// What should have been a number.
        number: String,
        /// `invalid syntax` or `value out of range`.
        why: &'static str,
    },
}

impl IntOrString {
    /// A number where the text is one, else the text.
    pub fn parse(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::String(text.to_owned()), Self::Int)
    }
    /// The number itself, or the per cent of `total`.
    pub fn scaled(&self, total: i32, rounding: Rounding) -> Result<i32, ScaleError> {
        let text = match self {
            Self::Int(number) => return Ok(*number),
            Self::String(text) => text,
        };
        let hundredths = percent(text)?.saturating_mul(i64::from(total));
        let floor = hundredths.div_euclid(100);
        let up = rounding == Rounding::Up && hundredths.rem_euclid(100) != 0;
        let value = floor + i64::from(up);
        Ok(i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX }))
    }
    /// The number, when it is one.
    pub fn as_int(&self) -> Option<i32> {
        match self {
            Self::Int(number) => Some(*number),
            Self::String(_) => None,
        }
    }
    /// The text, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Int(_) => None,
            Self::String(text) => Some(text),
        }
    }
}

fn percent(text: &str) -> Result<i64, ScaleError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let number = text.strip_suffix('%').ok_or(ScaleError::NotPercent)?;
    number.parse().map_err(|e: std::num::ParseIntError| ScaleError::NotNumber {
        text: text.to_owned(),
        number: number.to_owned(),
        why: if matches!(e.kind(), PosOverflow | NegOverflow) {
            "value out of range"
        } else {
            "invalid syntax"
        },
    })
}

impl From<i32> for IntOrString {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for IntOrString {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::String(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_percentages_scale() {
        for (value, total, down, up) in [
            (IntOrString::Int(7), 4, 7, 7),
            ("25%".into(), 10, 2, 3),
            ("25%".into(), 4, 1, 1),
            ("0%".into(), 10, 0, 0),
            ("130%".into(), 5, 6, 7),
            ("-10%".into(), 5, -1, 0),
            ("9000000000%".into(), i32::MAX, i32::MAX, i32::MAX),
        ] {
            assert_eq!(value.scaled(total, Rounding::Down), Ok(down), "{value} of {total}");
            assert_eq!(value.scaled(total, Rounding::Up), Ok(up), "{value} of {total}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let error = |text: &str| IntOrString::from(text).scaled(1, Rounding::Up).unwrap_err().to_string();
        assert_eq!(error("3"), "invalid value for IntOrString: invalid type: string is not a percentage");
        assert_eq!(
            error("a%"),
            "invalid value for IntOrString: invalid value \"a%\": strconv.Atoi: parsing \"a\": invalid syntax"
        );
        assert!(error("99999999999999999999%").ends_with("value out of range"));
    }

    #[test]
    fn json_keeps_the_type() {
        for json in ["80", "\"http\"", "\"80\""] {
            let value: IntOrString = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
        }
        assert!(serde_json::from_str::<IntOrString>("1.5").is_err());
        assert!(serde_json::from_str::<IntOrString>("3000000000").is_err());
        assert_eq!(IntOrString::parse("80"), IntOrString::Int(80));
        assert_eq!(IntOrString::parse("80%").to_string(), "80%");
    }
}
