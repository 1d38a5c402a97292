//! The addresses that services may be given: networks, ranges and single addresses. Pure.

use ipnet::IpNet;
use std::{net::IpAddr, ops::RangeInclusive, str::FromStr};

/// Addresses, such as `192.0.2.0/28,2001:db8::/124,192.0.2.50-192.0.2.60`; all of a network may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool(Vec<RangeInclusive<IpAddr>>);

impl Pool {
    /// Whether an address is among them.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }
    /// Whether any of these addresses is among them.
    pub fn overlaps(&self, other: &RangeInclusive<IpAddr>) -> bool {
        self.0.iter().any(|range| range.start() <= other.end() && other.start() <= range.end())
    }
    /// The first address of a family that is not taken; `taken` lists what is of a range, in order.
    pub(crate) fn free<I: Iterator<Item = IpAddr>>(
        &self,
        is_v6: bool,
        taken: impl Fn(&RangeInclusive<IpAddr>) -> I,
    ) -> Option<IpAddr> {
        self.0.iter().filter(|range| range.start().is_ipv6() == is_v6).find_map(|range| {
            let mut next = Some(*range.start());
            for used in taken(range) {
                if next == Some(used) {
                    next = after(used);
                }
            }
            next.filter(|address| range.contains(address))
        })
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|part| range(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn range(text: &str) -> Result<RangeInclusive<IpAddr>, String> {
    let wrong =
        || format!("{text:?} is no network, range or address, such as 192.0.2.0/28 or 192.0.2.50-192.0.2.60");
    if let Ok(network) = text.parse::<IpNet>() {
        return match network.addr() == network.network() {
            true => Ok(network.network()..=network.broadcast()),
            false => Err(format!("{text:?} has bits set behind the prefix")),
        };
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parse = |address: &str| address.trim().parse::<IpAddr>().map_err(|_| wrong());
    let (first, last) = (parse(first)?, parse(last)?);
    if first.is_ipv4() != last.is_ipv4() || first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_ranges_and_addresses_are_read() {
        let pool: Pool = "192.0.2.0/30, 192.0.2.50-192.0.2.60,192.0.2.9,2001:db8::/124".parse().unwrap();
        let has = |address: &str| pool.has(address.parse().unwrap());
        assert!(["192.0.2.0", "192.0.2.3", "192.0.2.55", "192.0.2.9", "2001:db8::f"].into_iter().all(has));
        assert!(!["192.0.2.4", "192.0.2.61", "2001:db8::10", "::"].into_iter().any(has));
        let overlaps =
            |first: &str, last: &str| pool.overlaps(&(first.parse().unwrap()..=last.parse().unwrap()));
        assert!(overlaps("192.0.2.60", "192.0.3.0") && overlaps("192.0.0.0", "192.0.2.0"));
        assert!(!overlaps("192.0.2.61", "192.0.3.0") && !overlaps("192.0.2.4", "192.0.2.8"));
        for wrong in ["", "x", "192.0.2.1/30", "192.0.2.9-192.0.2.1", "192.0.2.1-::1", "192.0.2.1,"] {
            assert!(wrong.parse::<Pool>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_free_address_is_given() {
        let pool: Pool = "255.255.255.254/31,2001:db8::1-2001:db8::2".parse().unwrap();
        let free = |is_v6, taken: &[&str]| {
            let taken: Vec<IpAddr> = taken.iter().map(|address| address.parse().unwrap()).collect();
            let of = |range: &RangeInclusive<IpAddr>| {
                let used = taken.iter().copied().filter(|own| range.contains(own));
                used.collect::<Vec<_>>().into_iter()
            };
            let free = pool.free(is_v6, of);
            free.map(|address| address.to_string()).unwrap_or_default()
        };
        assert_eq!(free(false, &[]), "255.255.255.254");
        assert_eq!(free(false, &["255.255.255.254"]), "255.255.255.255");
        assert_eq!(free(false, &["255.255.255.254", "255.255.255.255"]), "");
        assert_eq!(free(true, &["2001:db8::2"]), "2001:db8::1");
    }
}
