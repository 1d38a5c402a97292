//! Checks of IP addresses and CIDRs as text.
//!
//! Deliberately absent: leading zeros in IPv4 octets, which upstream still reads from old objects.
//! Upstream: apimachinery `pkg/util/validation/ip.go`, core validation's `ValidateEndpointIP`.

use crate::cursor::Cursor;
use proa_meta::FieldErrors;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IP_TEXT: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const CIDR_TEXT: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Parses an address.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// An IP address.
pub(crate) fn ip(at: &Cursor<'_, '_>, errors: &mut FieldErrors) -> bool {
    let ok = parse(at.text()).is_some();
    if !ok {
        at.invalid(errors, IP_TEXT);
    }
    ok
}

/// A CIDR.
pub(crate) fn cidr(at: &Cursor<'_, '_>, errors: &mut FieldErrors) -> bool {
    let ok = is_cidr(at.text());
    if !ok {
        at.invalid(errors, CIDR_TEXT);
    }
    ok
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

/// At most two values, of different families, or the given text.
pub(crate) fn one_per_family(list: &Cursor<'_, '_>, texts: &[&str], detail: &str, errors: &mut FieldErrors) {
    let family = |text: &&str| text.contains(':');
    let both = texts.iter().any(family) && !texts.iter().all(family);
    if texts.len() > 2 || (texts.len() == 2 && !both) {
        list.invalid(errors, detail);
    }
}

/// An address that traffic can be sent to.
pub(crate) fn endpoint_ip(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(address) = parse(at.text()) else {
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
