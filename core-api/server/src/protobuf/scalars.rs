//! Values that are messages or numbers on the wire and text in JSON.

use super::wire;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Number, Value};
use std::fmt::Write as _;

pub(super) fn text(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "proto: invalid UTF-8 in text")?;
    Ok(Value::from(text))
}

pub(super) fn base64(bytes: &[u8]) -> Value {
    Value::from(STANDARD.encode(bytes))
}

pub(super) fn double(bits: u64) -> Value {
    Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
}

/// Null for Go's zero time, which is an empty message.
pub(super) fn time(message: &[u8], micros: bool) -> Result<Value, String> {
    if message.is_empty() {
        return Ok(Value::Null);
    }
    let seconds = wire::number(message, 1)?.unwrap_or(0).cast_signed();
    let nanos = i32::try_from(wire::number(message, 2)?.unwrap_or(0)).unwrap_or(0);
    let time = Timestamp::new(seconds, if micros { nanos } else { 0 }).map_err(|e| e.to_string())?;
    let format = if micros { "%Y-%m-%dT%H:%M:%S%.6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(Value::from(time.strftime(format).to_string()))
}

/// Go's text of a duration.
pub(super) fn duration(message: &[u8]) -> Result<Value, String> {
    let nanos = wire::number(message, 1)?.unwrap_or(0).cast_signed();
    Ok(Value::from(go_duration(nanos)))
}

fn go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (unit, scale) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => ("ns", 1),
        1_000..1_000_000 => ("µs", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000),
    };
    let (whole, mut out) = (nanos / scale, sign.to_owned());
    let (hours, minutes) = if unit == "s" { (whole / 3600, whole / 60 % 60) } else { (0, 0) };
    if hours > 0 {
        let _ = write!(out, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(out, "{minutes}m");
    }
    let shown = if unit == "s" { whole % 60 } else { whole };
    let width = scale.ilog10() as usize;
    let fraction = format!("{:0width$}", nanos % scale);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let _ = write!(out, "{shown}{dot}{fraction}{unit}");
    out
}

/// Type 0 is a number, 1 is text.
pub(super) fn int_or_string(message: &[u8]) -> Result<Value, String> {
    if wire::number(message, 1)? == Some(1) {
        return text(wire::bytes(message, 3)?.unwrap_or_default());
    }
    Ok(integer(wire::number(message, 2)?.unwrap_or(0)))
}

pub(super) fn integer(bits: u64) -> Value {
    Value::from(bits.cast_signed())
}

/// JSON in field 1.
pub(super) fn json(message: &[u8]) -> Result<Value, String> {
    match wire::bytes(message, 1)? {
        None | Some([]) => Ok(Value::Null),
        Some(raw) => proa_schema::json::parse(raw).map(|p| p.value).map_err(|e| e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_500_000_000, "1.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-90_000_000_000, "-1m30s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(go_duration(nanos), text);
        }
    }
}
