//! Query parameters, decoded once per request.
//!
//! Values are read as upstream's parameter codec reads them: the first value counts, a flag without a value is true,
//! an unparsable number is refused with Go's text. Upstream: apimachinery `pkg/runtime/conversion.go`, Go's `net/url`.

use proa_meta::{ApiError, ApiResult};
use std::borrow::Cow;

/// Decoded parameters in their order.
#[derive(Debug, Default)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Pairs that are not valid percent-encoding or hold a semicolon are left out, as Go does.
    pub fn parse(raw: Option<&'a str>) -> Self {
        let Some(raw) = raw.filter(|r| !r.is_empty()) else { return Self::default() };
        let pairs = raw.split('&').filter(|p| !p.is_empty() && !p.contains(';'));
        let decoded = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key)?, decode(value)?))
        });
        Self(decoded.collect())
    }
    /// First value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_ref())
    }
    /// First value, when it is not empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|v| !v.is_empty())
    }
    /// All values.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_ref())
    }
    /// Whether it is there at all.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
    /// A flag: absent is `None`; `false` and `0` are false; everything else, even nothing, is true.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(|v| !(v.eq_ignore_ascii_case("false") || v == "0"))
    }
    /// A whole number.
    pub fn integer(&self, key: &str) -> ApiResult<Option<i64>> {
        let Some(text) = self.get(key) else { return Ok(None) };
        parse_integer(text).map(Some).map_err(ApiError::bad_request)
    }
}

/// Go's `strconv.ParseInt(text, 10, 64)` with its messages.
fn parse_integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_formed = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !well_formed {
        return Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    }
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: value out of range"))
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(Cow::Borrowed(text));
    }
    if !is_percent_encoding(text) {
        return None;
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

fn is_percent_encoding(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, b)| *b != b'%' || (hex(at + 1) && hex(at + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_upstream_does() {
        let query = Query::parse(Some(
            "watch&limit=5&a=x%20y&a=z&b=1+2&bad=%zz&semi=a;b&no=False&zero=0&n=x&big=99999999999999999999",
        ));
        assert_eq!(query.flag("watch"), Some(true));
        assert_eq!(query.flag("no"), Some(false));
        assert_eq!(query.flag("zero"), Some(false));
        assert_eq!(query.flag("absent"), None);
        assert_eq!(query.get("a"), Some("x y"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["x y", "z"]);
        assert_eq!(query.get("b"), Some("1 2"));
        assert!(!query.has("bad") && !query.has("semi"));
        assert_eq!(query.integer("limit").unwrap(), Some(5));
        let message = |key| query.integer(key).unwrap_err().message().to_owned();
        assert_eq!(message("n"), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(message("big"), "strconv.ParseInt: parsing \"99999999999999999999\": value out of range");
    }
}
