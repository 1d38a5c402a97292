//! Checks of IP addresses and CIDRs as text.
//!
//! Addresses and networks that not all programs read alike are refused, unless an update finds them in the object that
//! was stored before: callers give what may stay. `parse` takes no leading zeros in IPv4 octets; `parse_with_zeros` does.
//! Upstream: apimachinery `pkg/util/validation/ip.go`, core validation's `ValidateEndpointIP`.

use crate::cursor::Cursor;
use proa_meta::FieldErrors;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IP_TEXT: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const CIDR_TEXT: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const CIDR_ZEROS: &str = "must not have leading 0s in IP or prefix length";

/// Parses an address.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// The same, also of an IPv4 address whose parts begin with zeros.
pub(crate) fn parse_with_zeros(text: &str) -> Option<IpAddr> {
    parse(text).or_else(|| without_zeros(text).map(IpAddr::V4))
}

/// What is wrong with an address that all programs must read alike.
pub(crate) fn readable_ip(text: &str) -> Vec<String> {
    match parse(text) {
        Some(ip) if ip == ip.to_canonical() => Vec::new(),
        _ => strict_ip(text),
    }
}

/// An IP address that all programs must read alike, or one of a list that was there before.
pub(crate) fn ip(at: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) -> bool {
    let problems = readable_ip(at.text());
    problems.is_empty() || is_in(kept, at.text()) || at.invalid_each(errors, &problems)
}

/// A network that all programs must read alike, or one of a list that was there before.
pub(crate) fn cidr(at: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) {
    if network_problem(at.text(), false).is_some() && !is_in(kept, at.text()) {
        network(at, false, errors);
    }
}

/// Whether a list has this text, or an element with this `ip`.
fn is_in(list: &Value, text: &str) -> bool {
    let is_it = |one: &Value| one.as_str().or(one["ip"].as_str()).map(str::trim) == Some(text);
    list.as_array().is_some_and(|list| list.iter().any(is_it))
}

/// What is wrong with an address that must be written as usual.
pub(crate) fn strict_ip(text: &str) -> Vec<String> {
    match parse(text) {
        None if without_zeros(text).is_some() => vec!["must not have leading 0s".to_owned()],
        None => vec![IP_TEXT.to_owned()],
        Some(ip) if ip != ip.to_canonical() => vec!["must not be an IPv4-mapped IPv6 address".to_owned()],
        Some(ip) if ip.to_string() != text => vec![format!("must be in canonical form (\"{ip}\")")],
        Some(_) => Vec::new(),
    }
}

/// A network that must be written as usual.
pub(crate) fn strict_cidr(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    network(at, true, errors);
}

fn network(at: &Cursor<'_, '_>, as_usual: bool, errors: &mut FieldErrors) {
    if let Some(problem) = network_problem(at.text(), as_usual) {
        at.invalid(errors, &problem);
    }
}

fn network_problem(text: &str, as_usual: bool) -> Option<String> {
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let has_zeros = bits.len() > 1 && bits.starts_with('0');
    let problem = match (parse(address), bits.parse::<u32>()) {
        (None, Ok(_)) if without_zeros(address).is_some() => CIDR_ZEROS,
        (Some(_), Ok(_)) if !is_cidr(text) => CIDR_TEXT,
        (Some(_), Ok(_)) if has_zeros => CIDR_ZEROS,
        (Some(ip), Ok(_)) if ip != ip.to_canonical() => "must not have an IPv4-mapped IPv6 address",
        (Some(ip), Ok(bits)) if has_bits_beyond(&ip, bits) => {
            "must not have bits set beyond the prefix length"
        }
        (Some(ip), Ok(_)) if as_usual && ip.to_string() != address => {
            return Some(format!("must be in canonical form (\"{ip}/{bits}\")"));
        }
        (Some(_), Ok(_)) => return None,
        _ => CIDR_TEXT,
    };
    Some(problem.to_owned())
}

/// An IPv4 address whose parts may begin with zeros.
fn without_zeros(text: &str) -> Option<Ipv4Addr> {
    let part = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    text.split('.').map(part).collect::<Vec<_>>().join(".").parse().ok()
}

fn has_bits_beyond(ip: &IpAddr, bits: u32) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.to_bits().checked_shl(bits).unwrap_or(0) != 0,
        IpAddr::V6(v6) => v6.to_bits().checked_shl(bits).unwrap_or(0) != 0,
    }
}

/// Address and length of a network, which may be written with leading zeros.
pub(crate) fn prefix(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let (ip, bits) = (parse_with_zeros(address)?, bits.parse().ok()?);
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, bits))
}

/// Whether a network is a part of another, and not all of it.
pub(crate) fn is_within((part, length): (IpAddr, u32), (all, bits): (IpAddr, u32)) -> bool {
    let is_same = match (part, all) {
        (IpAddr::V4(part), IpAddr::V4(all)) => {
            (part.to_bits() ^ all.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(part), IpAddr::V6(all)) => {
            (part.to_bits() ^ all.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    };
    is_same && length > bits
}

/// What is unusual in how an address is written.
pub(crate) fn ip_warning(at: &Cursor<'_, '_>) -> Option<String> {
    if let Some(ip) = parse_with_zeros(at.text()).filter(|_| !readable_ip(at.text()).is_empty()) {
        let (path, text, ip) = (at.path(), at.text(), ip.to_canonical());
        return Some(format!("{path}: non-standard IP address {text:?} is invalid: use \"{ip}\""));
    }
    let ip = parse(at.text()).filter(|ip| ip.is_ipv6() && ip.to_string() != at.text())?;
    Some(format!(
        "{}: IPv6 address {:?} should be in RFC 5952 canonical format (\"{ip}\")",
        at.path(),
        at.text()
    ))
}

/// What is unusual in how a valid network is written.
pub(crate) fn cidr_warning(at: &Cursor<'_, '_>) -> Option<String> {
    let (address, bits) = at.text().split_once('/')?;
    let ip = parse(address).filter(|ip| ip.is_ipv6() && ip.to_string() != address)?;
    let (path, text) = (at.path(), at.text());
    Some(format!("{path}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format (\"{ip}/{bits}\")"))
}

/// The address of an interface with the length of its network, in canonical form.
pub(crate) fn interface_address(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !is_cidr(at.text()) {
        let text = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return at.invalid(errors, text);
    }
    let canonical = canonical(at.text());
    if at.text() != canonical {
        at.invalid(errors, &format!("must be in canonical form ({canonical:?})"));
    }
}

/// A CIDR as it is written, its address and length as usual.
fn canonical(text: &str) -> String {
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let bits = bits.parse::<u8>().unwrap_or(0);
    match parse(address) {
        Some(IpAddr::V6(v6)) if bits >= 96 && v6.to_ipv4_mapped().is_some() => {
            format!("{}/{}", v6.to_canonical(), bits - 96)
        }
        Some(ip) => format!("{ip}/{bits}"),
        None => text.to_owned(),
    }
}

/// `address/prefix`.
pub(crate) fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
    match (parse(address), prefix.parse::<u8>()) {
        (Some(IpAddr::V4(_)), Ok(bits)) => digits && bits <= 32,
        (Some(IpAddr::V6(_)), Ok(bits)) => digits && bits <= 128,
        _ => false,
    }
}

/// Whether an address or a network is of IPv6; one of IPv4 may be written as an IPv6 address.
pub(crate) fn is_v6(text: &str) -> bool {
    let address = text.split('/').next().unwrap_or(text);
    text.contains(':') && parse(address).is_none_or(|ip| ip.to_canonical().is_ipv6())
}

/// At most two values, of different families, or the given text.
pub(crate) fn one_per_family(list: &Cursor<'_, '_>, texts: &[&str], detail: &str, errors: &mut FieldErrors) {
    let family = |text: &&str| is_v6(text);
    let both = texts.iter().any(family) && !texts.iter().all(family);
    if texts.len() > 2 || (texts.len() == 2 && !both) {
        list.invalid(errors, detail);
    }
}

/// An address that traffic can be sent to.
pub(crate) fn endpoint_ip(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(address) = parse_with_zeros(at.text()).map(|ip| ip.to_canonical()) else {
        return at.invalid(errors, "must be a valid IP address");
    };
    if address.is_unspecified() {
        at.invalid(errors, &format!("may not be unspecified ({})", at.text()));
    }
    if address.is_loopback() {
        at.invalid(errors, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if is_link_local(&address) {
        at.invalid(errors, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if is_link_local_multicast(&address) {
        at.invalid(errors, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(Ipv4Addr::octets(v4), [224, 0, 0, _]),
        IpAddr::V6(v6) => Ipv6Addr::segments(v6)[0] & 0xff0f == 0xff02,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_as_usual() {
        for (text, why) in [
            ("10.0.0.1", ""),
            ("fe80::42:1dff:fe84:f9e2", ""),
            ("010.0.0.1", "must not have leading 0s"),
            ("::ffff:10.0.0.1", "must not be an IPv4-mapped IPv6 address"),
            ("FE80::1", "must be in canonical form (\"fe80::1\")"),
            ("10.0.0", IP_TEXT),
        ] {
            assert_eq!(strict_ip(text).join(""), why, "{text}");
        }
        for (text, why) in [
            ("10.96.0.0/12", ""),
            ("0.0.0.0/0", ""),
            ("fd00::/112", ""),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
            ("010.0.0.0/8", CIDR_ZEROS),
            ("10.0.0.0/08", CIDR_ZEROS),
            ("FD00::/8", "must be in canonical form (\"fd00::/8\")"),
            ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
            ("10.0.0.0/33", CIDR_TEXT),
            ("10.0.0.0", CIDR_TEXT),
        ] {
            let mut errors = FieldErrors::default();
            strict_cidr(&Cursor::root(&text.into()), &mut errors);
            let found: Vec<_> = errors.iter().map(|error| error.body.clone()).collect();
            let want: Vec<_> =
                (!why.is_empty()).then(|| format!("Invalid value: {text:?}: {why}")).into_iter().collect();
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn cidrs() {
        for (text, ok) in [
            ("10.0.0.0/8", true),
            ("10.0.0.0/33", false),
            ("fd00::/64", true),
            ("10.0.0.0", false),
            ("10.0.0.0/+8", false),
        ] {
            assert_eq!(is_cidr(text), ok, "{text}");
        }
    }
}
