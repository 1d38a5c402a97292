//! The endpoints of one port of a service, and which of them a request goes to.
//!
//! The one with the fewest requests, of equal ones the next in turn; a cookie names one by a hash of its address, which is
//! the same on every node.

use super::endpoint::Endpoint;
use crate::render::options::Share;
use http::{HeaderMap, header::COOKIE};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// How many endpoints are compared for one request.
const COMPARED: usize = 16;

/// The endpoints of one port of a service.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    endpoints: Vec<Arc<Endpoint>>,
    turn: AtomicUsize,
}

impl Upstream {
    /// With these addresses. What is known of those that were there before stays.
    pub(crate) fn new(addresses: &[SocketAddr], before: Option<&Self>) -> Self {
        let before = before.map_or(&[][..], |before| &before.endpoints);
        let kept = |address: &SocketAddr| before.iter().find(|own| own.address == *address).cloned();
        let endpoint = |address| kept(address).unwrap_or_else(|| Arc::new(Endpoint::new(*address)));
        Self { endpoints: addresses.iter().map(endpoint).collect(), turn: AtomicUsize::new(0) }
    }
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }
    /// The endpoint for the next request, not one of those that were tried.
    pub(crate) fn choose(&self, tried: &[SocketAddr]) -> Option<&Arc<Endpoint>> {
        let count = self.endpoints.len();
        if count == 0 {
            return None;
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let in_turn = self.endpoints[first..].iter().chain(&self.endpoints[..first]);
        let fresh = in_turn.filter(|endpoint| !tried.contains(&endpoint.address));
        fresh.take(COMPARED).min_by_key(|endpoint| endpoint.active())
    }
    /// The endpoint that a cookie names.
    pub(crate) fn named(&self, cookie: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|endpoint| name(endpoint.address) == cookie)
    }
}

/// What a cookie says instead of an address.
pub(crate) fn name(address: SocketAddr) -> String {
    format!("{:016x}", proa_meta::fnv::hash(address.to_string().as_bytes()))
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let mut pairs = all.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// Whether a request belongs to a canary: by header, else by cookie, else by lot.
pub(crate) fn is_for_canary(share: &Share, headers: &HeaderMap, lots: &AtomicU64) -> bool {
    if let Some((name, wanted)) = &share.header
        && let Some(value) = headers.get(name)
    {
        match wanted {
            Some(wanted) if value == wanted => return true,
            // As ingress-nginx: another value is as if there were no header.
            Some(_) => {}
            None if value == "always" => return true,
            None if value == "never" => return false,
            None => {}
        }
    }
    match share.cookie.as_deref().and_then(|name| cookie(headers, name)) {
        Some("always") => true,
        Some("never") => false,
        _ => share.weight > 0 && draw(lots, share.total) < share.weight,
    }
}

/// Numbers below `total` that come up equally often, also in a short time: multiples of the golden ratio.
fn draw(lots: &AtomicU64, total: u64) -> u64 {
    let lot = lots.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let scaled = (u128::from(lot) * u128::from(total)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn lots_keep_the_share() {
        let lots = AtomicU64::new(0);
        let share = Share { weight: 20, total: 100, ..Share::default() };
        let drawn = (0..1000).filter(|_| is_for_canary(&share, &HeaderMap::new(), &lots)).count();
        assert!((195..=205).contains(&drawn), "{drawn}");
        let none = Share { weight: 0, total: 100, ..Share::default() };
        assert!((0..1000).all(|_| !is_for_canary(&none, &HeaderMap::new(), &lots)));
        let all = Share { weight: 100, total: 100, ..Share::default() };
        assert!((0..1000).all(|_| is_for_canary(&all, &HeaderMap::new(), &lots)));
    }

    #[test]
    fn headers_come_before_cookies_and_lots() {
        let lots = AtomicU64::new(0);
        let mut share =
            Share { total: 100, header: Some(("x-canary".parse().unwrap(), None)), ..Share::default() };
        share.cookie = Some("canary".into());
        let is = |share: &Share, pairs: &[_]| is_for_canary(share, &headers(pairs), &lots);
        assert!(is(&share, &[("x-canary", "always"), ("cookie", "canary=never")]));
        assert!(!is(&share, &[("x-canary", "never"), ("cookie", "canary=always")]));
        assert!(is(&share, &[("x-canary", "else"), ("cookie", "a=b; canary=always")]));
        assert!(!is(&share, &[]));
        share.header = Some(("x-canary".parse().unwrap(), Some("beta".parse().unwrap())));
        assert!(is(&share, &[("x-canary", "beta")]) && !is(&share, &[("x-canary", "always")]));
    }

    #[test]
    fn turns_go_round_and_skip_what_was_tried() {
        let addresses: Vec<SocketAddr> = (1..=3).map(|n| ([10, 0, 0, n], 80).into()).collect();
        let upstream = Upstream::new(&addresses, None);
        let turns: Vec<_> = (0..3).filter_map(|_| upstream.choose(&[])).map(|own| own.address).collect();
        assert_eq!(turns, addresses);
        assert!(upstream.choose(&addresses).is_none());
        let left = upstream.choose(&addresses[..2]).map(|own| own.address);
        assert_eq!(left, Some(addresses[2]));
        let cookie = name(addresses[1]);
        assert_eq!(upstream.named(&cookie).map(|own| own.address), Some(addresses[1]));
        let next = Upstream::new(&addresses[1..], Some(&upstream));
        assert!(Arc::ptr_eq(next.named(&cookie).unwrap(), upstream.named(&cookie).unwrap()));
    }
}
