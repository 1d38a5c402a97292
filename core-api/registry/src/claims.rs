//! Unique values in named spaces: which are taken, and which one is free.
//!
//! A claim is a key of its own in the store, written in the same write as the object that holds it and expected to be
//! absent, so that two creates can never get the same value. This index is fed by publication alone.

use crate::kind::{Claim, ClaimProblem, Pool};
use parking_lot::RwLock;
use proa_store::{Key, Revision};
use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, Ordering},
};

/// First part of every claim's key.
pub const PREFIX: &str = "/claims/";

/// The values of a space.
#[derive(Clone, Debug)]
pub enum Space {
    /// Addresses of an IPv4 network, without its first and last.
    Addresses {
        /// Network address.
        network: Ipv4Addr,
        /// Prefix length.
        bits: u8,
    },
    /// Port numbers.
    Ports(RangeInclusive<u16>),
}

impl Space {
    fn size(&self) -> u64 {
        match self {
            Self::Addresses { bits, .. } => (1_u64 << (32 - u32::from(*bits).min(32))).saturating_sub(2),
            Self::Ports(range) => u64::from(*range.end()) - u64::from(*range.start()) + 1,
        }
    }
    fn value(&self, index: u64) -> String {
        // `index` is below `size`, so both fit.
        let index = u32::try_from(index).unwrap_or(0);
        match self {
            Self::Addresses { network, .. } => Ipv4Addr::from(u32::from(*network) + 1 + index).to_string(),
            Self::Ports(range) => (u32::from(*range.start()) + index).to_string(),
        }
    }
    fn contains(&self, value: &str) -> bool {
        match self {
            Self::Addresses { network, .. } => value.parse::<Ipv4Addr>().is_ok_and(|ip| {
                let index = u64::from(u32::from(ip)).checked_sub(u64::from(u32::from(*network)) + 1);
                index.is_some_and(|i| i < self.size())
            }),
            Self::Ports(range) => value.parse().is_ok_and(|port: u16| range.contains(&port)),
        }
    }
    fn describe(&self) -> String {
        match self {
            Self::Addresses { network, bits } => format!("{network}/{bits}"),
            Self::Ports(range) => format!("{}-{}", range.start(), range.end()),
        }
    }
    /// Values below this index are picked only when the rest is used up: people choose them by hand.
    /// Upstream: KEP-3070, KEP-3668.
    fn reserved(&self) -> u64 {
        match self {
            Self::Addresses { .. } => band(self.size(), 16, 16, 256),
            Self::Ports(_) => band(self.size(), 16, 32, 128),
        }
    }
}

fn band(size: u64, least: u64, step: u64, most: u64) -> u64 {
    if size < least { 0 } else { (size / step).clamp(least, most).min(size) }
}

/// Storage key of a claim.
pub fn key(claim: &Claim) -> Key {
    format!("{PREFIX}{}/{}", claim.space, claim.value).into()
}

/// Which values are taken.
pub struct Index {
    spaces: BTreeMap<&'static str, Space>,
    taken: RwLock<HashMap<Key, Revision>>,
    // A cheap sequence that spreads picks: collisions in one batch would only cost a retry.
    turn: AtomicU64,
}

impl Index {
    /// Nothing taken yet.
    pub fn new(spaces: BTreeMap<&'static str, Space>) -> Self {
        Self { spaces, taken: RwLock::default(), turn: AtomicU64::new(0x9e37_79b9_7f4a_7c15) }
    }
    /// A claim was published or removed.
    pub(crate) fn publish(&self, key: &Key, revision: Option<Revision>) {
        let mut taken = self.taken.write();
        match revision {
            Some(revision) => taken.insert(key.clone(), revision),
            None => taken.remove(key),
        };
    }
    /// Forgets everything, before a load.
    pub(crate) fn clear(&self) {
        self.taken.write().clear();
    }
    pub(crate) fn head(&self, key: &str) -> Option<Revision> {
        self.taken.read().get(key).copied()
    }
    fn free(&self, space: &'static str, value: &str) -> bool {
        self.head(&key(&Claim { space, value: value.to_owned() })).is_none()
    }
}

impl Pool for Index {
    fn pick(&self, space: &'static str) -> Option<String> {
        let values = self.spaces.get(space)?;
        let (size, reserved) = (values.size(), values.reserved());
        let mut random = self.turn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random ^= random >> 27;
        let dynamic = size - reserved;
        let start = if dynamic == 0 { 0 } else { random % dynamic };
        let upper = (0..dynamic).map(|i| reserved + (start + i) % dynamic);
        upper.chain(0..reserved).map(|i| values.value(i)).find(|value| self.free(space, value))
    }
    fn check(&self, claim: &Claim) -> Result<(), ClaimProblem> {
        let Some(space) = self.spaces.get(claim.space) else { return Ok(()) };
        if !space.contains(&claim.value) {
            return Err(ClaimProblem::OutOfRange(space.describe()));
        }
        if self.free(claim.space, &claim.value) { Ok(()) } else { Err(ClaimProblem::Taken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let network = Ipv4Addr::new(10, 96, 0, 0);
        Index::new(
            [("ip", Space::Addresses { network, bits: 28 }), ("port", Space::Ports(30000..=30002))].into(),
        )
    }

    #[test]
    fn every_value_is_picked_once_and_then_none() {
        let index = index();
        for (space, count) in [("ip", 14), ("port", 3)] {
            for _ in 0..count {
                let value = index.pick(space).expect("free values are left");
                index.publish(&key(&Claim { space, value }), Some(Revision(1)));
            }
            assert_eq!(index.pick(space), None);
        }
    }

    #[test]
    fn asked_for_values_are_checked() {
        let index = index();
        let claim = |value: &str| Claim { space: "ip", value: value.to_owned() };
        assert_eq!(index.check(&claim("10.96.0.1")), Ok(()));
        assert_eq!(index.check(&claim("10.96.0.0")), Err(ClaimProblem::OutOfRange("10.96.0.0/28".into())));
        assert_eq!(index.check(&claim("10.96.0.15")), Err(ClaimProblem::OutOfRange("10.96.0.0/28".into())));
        index.publish(&key(&claim("10.96.0.1")), Some(Revision(1)));
        assert_eq!(index.check(&claim("10.96.0.1")), Err(ClaimProblem::Taken));
    }
}
