//! What cells of custom kinds' tables show; durations as people read them.
//!
//! Cells are computed from the object and the present; nothing here fails: what cannot be shown is null.
//! Upstream: apiextensions `pkg/registry/customresource/tableconvertor`, apimachinery `pkg/util/duration`.

use crate::{
    jsonpath::JsonPath,
    validate::{go_float, whole_of},
};
use jiff::Timestamp;
use proa_meta::time::Time;
use serde_json::Value;

/// What a cell of type `kind` shows: the first value at the path.
pub fn cell(path: &JsonPath, kind: &str, object: &Value, now: Timestamp) -> Value {
    let Some(value) = path.first(object) else { return Value::Null };
    match (kind, &*value) {
        ("string", value) => Value::String(printed(value)),
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(float)) => Value::from(float as i64),
            (None, None) => Value::Null,
        },
        ("number", Value::Number(number)) => {
            let whole = number.as_f64().and_then(whole_of);
            whole.map_or_else(|| Value::Number(number.clone()), Value::from)
        }
        ("boolean", Value::Bool(on)) => Value::Bool(*on),
        ("date", Value::String(text)) => Value::String(since(text, now)),
        _ => Value::Null,
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(String::new, go_float),
        other => other.to_string(),
    }
}

/// Time since a point written in RFC 3339, such as `5d`; `<unknown>` for no point at all.
pub fn since(text: &str, now: Timestamp) -> String {
    if text.is_empty() || text == "null" {
        return "<unknown>".to_owned();
    }
    match Time::parse(text) {
        Ok(time) if time.is_zero() => "<unknown>".to_owned(),
        Ok(time) => human_duration(now.duration_since(time.timestamp()).as_secs()),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// Seconds as kubectl shows an age: two or three significant figures. Clocks may differ by a second.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match (seconds, minutes, hours) {
        (..=-2, ..) => "<invalid>".to_owned(),
        (-1, ..) => "0s".to_owned(),
        (..120, ..) => format!("{seconds}s"),
        (_, ..10, _) => pair(minutes, "m", seconds % 60, "s"),
        (_, ..180, _) => format!("{minutes}m"),
        (_, _, ..8) => pair(hours, "h", minutes % 60, "m"),
        (_, _, ..48) => format!("{hours}h"),
        (_, _, ..192) => pair(days, "d", hours % 24, "h"),
        (_, _, ..17_520) => format!("{days}d"),
        (_, _, ..70_080) => pair(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

fn pair(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    }
}

#[cfg(test)]
mod tests;
