//! `format` of texts: the names that are checked and what each accepts. Other names are ignored.
//!
//! Upstream: kube-openapi `pkg/validation/strfmt`, apiextensions `pkg/apiserver/validation/formats.go`.

use crate::decode::duration;
use regex::Regex;
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

/// A format that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 24 hexadecimal digits.
    BsonObjectId,
    /// Absolute URI or absolute path.
    Uri,
    /// Mail address.
    Email,
    /// Host name.
    Hostname,
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// Address range.
    Cidr,
    /// MAC address.
    Mac,
    /// UUID of any version, or of the given one.
    Uuid(Option<u8>),
    /// ISBN of 10 or 13 digits, or of the given number.
    Isbn(Option<u8>),
    /// Credit card number.
    CreditCard,
    /// US social security number.
    Ssn,
    /// `#ffffff`.
    HexColor,
    /// `rgb(255,255,255)`.
    RgbColor,
    /// Base64.
    Byte,
    /// Anything.
    Password,
    /// `2006-01-02`.
    Date,
    /// Go's or Scala's durations.
    Duration,
    /// RFC 3339.
    DateTime,
    /// DNS label.
    ShortName,
    /// DNS subdomain.
    LongName,
}

/// Whether a format means something for values of this type; without one they count as texts.
pub fn is_checked(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => Format::named(format).is_some(),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

impl Format {
    /// By its name; dashes do not matter.
    pub fn named(name: &str) -> Option<Self> {
        let packed: String;
        let name = if name.contains('-') {
            packed = name.replace('-', "");
            &packed
        } else {
            name
        };
        Some(match name {
            "bsonobjectid" => Self::BsonObjectId,
            "uri" => Self::Uri,
            "email" => Self::Email,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "cidr" => Self::Cidr,
            "mac" => Self::Mac,
            "uuid" => Self::Uuid(None),
            "uuid3" => Self::Uuid(Some(b'3')),
            "uuid4" => Self::Uuid(Some(b'4')),
            "uuid5" => Self::Uuid(Some(b'5')),
            "isbn" => Self::Isbn(None),
            "isbn10" => Self::Isbn(Some(10)),
            "isbn13" => Self::Isbn(Some(13)),
            "creditcard" => Self::CreditCard,
            "ssn" => Self::Ssn,
            "hexcolor" => Self::HexColor,
            "rgbcolor" => Self::RgbColor,
            "byte" => Self::Byte,
            "password" => Self::Password,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "datetime" => Self::DateTime,
            "k8sshortname" => Self::ShortName,
            "k8slongname" => Self::LongName,
            _ => return None,
        })
    }

    /// Whether the text has the format.
    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::BsonObjectId => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
            Self::Uri => is_request_uri(text),
            Self::Email => is_email(text),
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => text.contains('.') && (is_ipv4(text) || is_ipv6(text)),
            Self::Ipv6 => is_ipv6(text),
            Self::Cidr => is_cidr(text),
            Self::Mac => is_mac(text),
            Self::Uuid(version) => is_uuid(text, version),
            Self::Isbn(None) => is_isbn10(text) || is_isbn13(text),
            Self::Isbn(Some(10)) => is_isbn10(text),
            Self::Isbn(Some(_)) => is_isbn13(text),
            Self::CreditCard => is_credit_card(text),
            Self::Ssn => is_ssn(text),
            Self::HexColor => is_hex_color(text),
            Self::RgbColor => is_rgb_color(text),
            Self::Byte => is_base64(text),
            Self::Password => true,
            Self::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Self::Duration => duration::parse(text).is_some() || is_scala_duration(text),
            Self::DateTime => is_date_time(text),
            Self::ShortName => is_label(text) && text.len() <= 63,
            Self::LongName => text.len() <= 253 && text.split('.').all(is_label),
        }
    }
}

fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b < b' ' || b == 0x7f) || !has_valid_escapes(text) {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    let is_scheme = letters.next().is_some_and(|b| b.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    is_scheme && authority.is_none_or(is_authority)
}

fn has_valid_escapes(text: &str) -> bool {
    let path = text.split('?').next().unwrap_or_default();
    path.split('%').skip(1).all(|behind| {
        let digits = behind.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

fn is_authority(authority: &str) -> bool {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match (host.strip_prefix('['), host.rsplit_once(':')) {
        (Some(inner), _) => match inner.split_once(']') {
            Some((_, port)) => ("", port.strip_prefix(':').unwrap_or(port)),
            None => return false,
        },
        (None, Some((name, port))) => (name, port),
        (None, None) => (host, ""),
    };
    port.bytes().all(|b| b.is_ascii_digit())
        && !name.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}'])
}

/// `user@host`, also as `Name <user@host>`.
fn is_email(text: &str) -> bool {
    let address = match text.trim().strip_suffix('>') {
        Some(rest) => match rest.rsplit_once('<') {
            Some((_, address)) => address,
            None => return false,
        },
        None => text.trim(),
    };
    let Some((user, host)) = address.rsplit_once('@') else { return false };
    let is_atom = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
    };
    let is_quoted = user.len() > 2 && user.starts_with('"') && user.ends_with('"');
    let is_literal = host.starts_with('[') && host.ends_with(']');
    (is_quoted || user.split('.').all(is_atom)) && (is_literal || host.split('.').all(is_atom))
}

fn is_hostname(text: &str) -> bool {
    const PATTERN: &str = concat!(
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)",
        r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
    );
    static REGEX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(PATTERN).ok());
    text.len() <= 255
        && text.split('.').all(|label| label.len() <= 63)
        && REGEX.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Leading zeros are tolerated.
fn is_ipv4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4
        && parts.iter().all(|part| {
            let digits = part.trim_start_matches('0');
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_digit())
                && digits.len() <= 3
                && (digits.is_empty() || digits.parse::<u16>().is_ok_and(|n| n <= 255))
        })
}

fn is_ipv6(text: &str) -> bool {
    text.contains(':') && text.parse::<Ipv6Addr>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = if address.parse::<Ipv4Addr>().is_ok() || is_ipv4(address) {
        32
    } else if is_ipv6(address) {
        128
    } else {
        return false;
    };
    !bits.is_empty()
        && bits.bytes().all(|b| b.is_ascii_digit())
        && bits.trim_start_matches('0').len() <= 3
        && bits.parse::<u32>().is_ok_and(|bits| bits <= most)
}

/// 6, 8 or 20 bytes, separated by colons, dashes or (in pairs) dots.
fn is_mac(text: &str) -> bool {
    let is_hex =
        |part: &str, width: usize| part.len() == width && part.bytes().all(|b| b.is_ascii_hexdigit());
    let has = |separator: char, width: usize| {
        let mut count = 0;
        let all = text.split(separator).all(|part| {
            count += 1;
            is_hex(part, width)
        });
        all && matches!(count * width / 2, 6 | 8 | 20)
    };
    has(':', 2) || has('-', 2) || has('.', 4)
}

/// Dashes between the groups may be missing.
fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let mut rest = text.as_bytes();
    let mut groups = [&[][..]; 5];
    for (i, (group, width)) in groups.iter_mut().zip([8, 4, 4, 4, 12]).enumerate() {
        if i > 0 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
        let Some((head, tail)) = rest.split_at_checked(width) else { return false };
        if !head.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        (*group, rest) = (head, tail);
    }
    let is_version = version.is_none_or(|version| groups[2].first() == Some(&version));
    let is_variant = matches!(version, None | Some(b'3'))
        || groups[3].first().is_some_and(|b| matches!(b.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b'));
    rest.is_empty() && is_version && is_variant
}

fn isbn_digits(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'-').collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = isbn_digits(text);
    let [first @ .., last] = digits.as_slice() else { return false };
    if first.len() != 9 || !first.iter().all(u8::is_ascii_digit) || !(last.is_ascii_digit() || *last == b'X')
    {
        return false;
    }
    let last = if *last == b'X' { 10 } else { u32::from(last - b'0') };
    let sum: u32 = (1..).zip(first).map(|(place, digit)| place * u32::from(digit - b'0')).sum();
    (sum + 10 * last).is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = isbn_digits(text);
    if digits.len() != 13 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let weigh = |(i, digit): (usize, &u8)| u32::from(digit - b'0') * if i % 2 == 0 { 1 } else { 3 };
    digits.iter().enumerate().map(weigh).sum::<u32>().is_multiple_of(10)
}

fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let number = digits.iter().fold(String::new(), |text, digit| text + &digit.to_string());
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| number.starts_with(prefix));
    let is_known = match digits.len() {
        13 => starts(&["4"]),
        14 => starts(&["300", "301", "302", "303", "304", "305", "36", "38"]),
        15 => starts(&["34", "37", "2131", "1800"]),
        16 => starts(&["4", "51", "52", "53", "54", "55", "6011", "65", "35"]),
        _ => false,
    };
    let double = |(i, digit): (usize, &u32)| match (i % 2, digit * 2) {
        (0, _) => *digit,
        (_, twice) => twice / 10 + twice % 10,
    };
    is_known && digits.iter().rev().enumerate().map(double).sum::<u32>().is_multiple_of(10)
}

fn is_ssn(text: &str) -> bool {
    text.len() == 11
        && text.bytes().enumerate().all(|(i, b)| match i {
            3 | 6 => matches!(b, b'-' | b' '),
            _ => b.is_ascii_digit(),
        })
}

fn is_hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_rgb_color(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    let Some(inner) = inner else { return false };
    let parts: Vec<&str> =
        inner.split(',').map(|part| part.trim_matches([' ', '\t', '\n', '\r', '\x0c'])).collect();
    let is_level = |part: &&str| {
        let plain = part.bytes().all(|b| b.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
        plain && part.parse::<u16>().is_ok_and(|level| level <= 255)
    };
    parts.len() == 3 && parts.iter().all(is_level)
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// `22 ns`, `3 days 2 hours`: somewhere in the text there is a number with a unit.
fn is_scala_duration(text: &str) -> bool {
    const EXACT: [&str; 8] = ["ns", "us", "µs", "ms", "hr", "wk", "d", "w"];
    const PREFIX: [&str; 8] = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = rest[start..].trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(rest.len());
        let unit = rest[..end].to_lowercase();
        if EXACT.contains(&&*unit)
            || matches!(&*unit, "s" | "m" | "h")
            || PREFIX.iter().any(|prefix| unit.starts_with(prefix))
        {
            return true;
        }
    }
    false
}

fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    if !Format::Date.matches(date) {
        return false;
    }
    let bytes = time.as_bytes();
    if bytes.len() < 9 || bytes[2] != b':' || bytes[5] != b':' {
        return false;
    }
    let two = |at: usize| {
        let digits = &bytes[at..at + 2];
        digits.iter().all(u8::is_ascii_digit).then(|| (digits[0] - b'0') * 10 + digits[1] - b'0')
    };
    let in_range = |at: usize, most: u8| two(at).is_some_and(|n| n <= most);
    in_range(0, 23) && in_range(3, 59) && in_range(6, 59) && is_offset(without_fraction(&bytes[8..]))
}

/// Any one byte and digits may stand for the fraction, as in upstream's expression.
fn without_fraction(rest: &[u8]) -> &[u8] {
    if rest.len() < 2 || !rest[1].is_ascii_digit() || is_offset(rest) {
        return rest;
    }
    let digits = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    &rest[1 + digits..]
}

fn is_offset(rest: &[u8]) -> bool {
    match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()),
        _ => false,
    }
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(is_plain)
        && bytes.last().is_some_and(is_plain)
        && bytes.iter().all(|b| is_plain(b) || *b == b'-')
}

#[cfg(test)]
mod tests;
