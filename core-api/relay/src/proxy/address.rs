//! How what is behind a proxy is named, `[SCHEME:]NAME[:PORT]`, and which addresses may be reached.
//!
//! Pure. Upstream: apimachinery `pkg/util/net/port_split.go`, `pkg/proxy/util/utils.go`.

use proa_meta::{ApiError, ApiResult};
use std::net::{IpAddr, Ipv4Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// The parts of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) scheme: Scheme,
    pub(super) name: &'a str,
    /// Empty without one.
    pub(super) port: &'a str,
}

impl<'a> Named<'a> {
    /// # Errors
    /// 400 when it is malformed.
    pub(super) fn parse(what: &str, id: &'a str) -> ApiResult<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match *parts.as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return Err(invalid(what, id)),
        };
        let scheme = match scheme {
            "" | "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(invalid(what, id)),
        };
        if name.is_empty() { Err(invalid(what, id)) } else { Ok(Self { scheme, name, port }) }
    }

    /// # Errors
    /// 400 when the port is no number.
    pub(super) fn number(&self, what: &str, port: &str) -> ApiResult<u16> {
        let why = || {
            ApiError::bad_request(format!(
                "invalid port {port:?} of {what} {:?}: it must be a number",
                self.name
            ))
        };
        port.parse().ok().filter(|port| *port > 0).ok_or_else(why)
    }
}

fn invalid(what: &str, id: &str) -> ApiError {
    ApiError::bad_request(format!("invalid {what} request {id:?}"))
}

/// # Errors
/// 400 when the text is no address, or one that may not be reached.
pub(super) fn reached(ip: &str, reach: fn(IpAddr) -> Option<IpAddr>) -> ApiResult<String> {
    let reached = ip.parse().ok().and_then(reach);
    reached.map(|address| address.to_string()).ok_or_else(|| ApiError::bad_request("address not allowed"))
}

/// The same for what may also be a name, which is left to the resolver.
pub(super) fn reached_host(host: &str, reach: fn(IpAddr) -> Option<IpAddr>) -> ApiResult<String> {
    if host.parse::<IpAddr>().is_ok() { reached(host, reach) } else { Ok(host.to_owned()) }
}

/// Neither this host, nor its link, nor everybody: Go's `IsGlobalUnicast`.
pub(crate) fn is_global_unicast(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_up_to_three_parts() {
        let parse = |id| Named::parse("pod", id).map_err(|error| error.message().to_owned());
        let named = |scheme, name, port| Ok(Named { scheme, name, port });
        assert_eq!(parse("a"), named(Scheme::Http, "a", ""));
        assert_eq!(parse("a:80"), named(Scheme::Http, "a", "80"));
        assert_eq!(parse("http:a:80"), named(Scheme::Http, "a", "80"));
        assert_eq!(parse("https:a:"), named(Scheme::Https, "a", ""));
        for wrong in ["", ":80", "ftp:a:80", "a:b:c:d", "https::1"] {
            assert_eq!(parse(wrong), Err(format!("invalid pod request {wrong:?}")));
        }
        let a = parse("a").unwrap();
        assert_eq!(a.number("pod", "80"), Ok(80));
        assert!(a.number("pod", "http").is_err() && a.number("pod", "0").is_err());
    }

    #[test]
    fn only_addresses_of_others_are_reached() {
        for (ip, may) in [
            ("10.244.0.5", true),
            ("fd00::5", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("", false),
            ("name", false),
        ] {
            let reached = reached(ip, |address| is_global_unicast(address).then_some(address));
            assert_eq!(reached.ok().as_deref(), may.then_some(ip), "{ip}");
        }
    }
}
