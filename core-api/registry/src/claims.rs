//! Unique values in named spaces: which are taken, and which one is free.
//!
//! A claim is a key of its own in the store, written in the same write as the object that holds it and expected to be
//! absent, so that two creates can never get the same value. This index is fed by publication alone.
//!
//! The ranges of a space are fixed, or those that objects name, such as ServiceCIDRs. A write that takes a value from
//! such a range is guarded by the object as it was seen: a range that is being given up gives nothing more from the
//! moment that its deletion is published. An object that is kept beside a claim, such as an IPAddress, takes its value
//! too when somebody else has made it.

use crate::{
    kind::{Claim, ClaimProblem, Pool},
    metadata,
    state::{KindState, Snapshot},
};
use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use proa_meta::GroupResource;
use proa_store::{Expect, Guard, Key, Revision};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// Where the ranges of a space come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// One range, for good.
    Fixed(Space),
    /// Those that objects name.
    Listed {
        /// The objects' kind.
        ranges: GroupResource,
        /// The ranges that an object gives values of by now.
        read: fn(&Value) -> Vec<Space>,
        /// Kind of the objects that are named after values and take them.
        records: GroupResource,
    },
}

impl Space {
    /// Addresses of an IPv4 network, written as usual.
    pub fn network(cidr: &str) -> Option<Self> {
        let (network, bits) = cidr.split_once('/')?;
        let (network, bits) = (network.parse().ok()?, bits.parse().ok().filter(|bits| *bits <= 32)?);
        Some(Self::Addresses { network, bits })
    }
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
    /// Whether the value is one of the space.
    pub fn contains(&self, value: &str) -> bool {
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

/// A range, and the object that names it as it was seen.
struct Range {
    space: Space,
    named_by: Option<(Key, Revision)>,
}

/// A space with its ranges.
enum Ranges {
    Fixed(Arc<[Range]>),
    Listed {
        kind: Arc<KindState>,
        read: fn(&Value) -> Vec<Space>,
        records: Arc<KindState>,
        known: ArcSwapOption<Known>,
    },
}

/// The ranges that a snapshot's objects name.
struct Known {
    of: Arc<Snapshot>,
    ranges: Arc<[Range]>,
}

impl Ranges {
    fn now(&self) -> Arc<[Range]> {
        let (kind, read, known) = match self {
            Self::Fixed(ranges) => return ranges.clone(),
            Self::Listed { kind, read, known, .. } => (kind, read, known),
        };
        let snapshot = kind.snapshot();
        if let Some(known) = known.load().as_ref().filter(|known| Arc::ptr_eq(&known.of, &snapshot)) {
            return known.ranges.clone();
        }
        let mut objects: Vec<_> = snapshot.iter().map(|e| (e, e.stored_value(e.revision))).collect();
        // Older ranges are used up first.
        objects.sort_by_cached_key(|(_, object)| metadata::text(object, "creationTimestamp").to_owned());
        let ranges: Arc<[Range]> = (objects.iter())
            .flat_map(|(entry, object)| {
                let named_by = Some((entry.key.clone(), entry.revision));
                read(object).into_iter().map(move |space| Range { space, named_by: named_by.clone() })
            })
            .collect();
        known.store(Some(Arc::new(Known { of: snapshot, ranges: ranges.clone() })));
        ranges
    }
}

/// Which values are taken.
pub struct Index {
    spaces: BTreeMap<&'static str, Ranges>,
    taken: RwLock<HashMap<Key, Revision>>,
    // A cheap sequence that spreads picks: collisions in one batch would only cost a retry.
    turn: AtomicU64,
}

impl Index {
    /// Nothing taken yet. `state` finds the objects of a kind.
    pub fn new(
        spaces: BTreeMap<&'static str, Source>,
        state: impl Fn(&GroupResource) -> Arc<KindState>,
    ) -> Self {
        let ranges = |source| match source {
            Source::Fixed(space) => Ranges::Fixed([Range { space, named_by: None }].into()),
            Source::Listed { ranges, read, records } => Ranges::Listed {
                kind: state(&ranges),
                read,
                records: state(&records),
                known: ArcSwapOption::empty(),
            },
        };
        let spaces = spaces.into_iter().map(|(name, source)| (name, ranges(source))).collect();
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
    /// What must hold when the value is taken: who names its range is as it was seen.
    pub(crate) fn guard(&self, claim: &Claim) -> Option<Guard> {
        let ranges = match self.spaces.get(claim.space)? {
            Ranges::Fixed(_) => return None,
            listed @ Ranges::Listed { .. } => listed.now(),
        };
        let range = ranges.iter().find(|range| range.space.contains(&claim.value));
        Some(match range.and_then(|range| range.named_by.clone()) {
            Some((key, revision)) => Guard { key, expect: Expect::At(revision) },
            // The range went after the value was chosen: this cannot hold, so another one is chosen.
            None => Guard { key: key(claim), expect: Expect::Exists },
        })
    }
    fn free(&self, space: &'static str, value: &str) -> bool {
        let recorded = match self.spaces.get(space) {
            Some(Ranges::Listed { records, .. }) => records.snapshot().get("", value).is_some(),
            _ => false,
        };
        !recorded && self.head(&key(&Claim { space, value: value.to_owned() })).is_none()
    }
    fn pick_from(&self, space: &'static str, values: &Space) -> Option<String> {
        let (size, reserved) = (values.size(), values.reserved());
        let mut random = self.turn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random ^= random >> 27;
        let dynamic = size - reserved;
        let start = if dynamic == 0 { 0 } else { random % dynamic };
        let upper = (0..dynamic).map(|i| reserved + (start + i) % dynamic);
        upper.chain(0..reserved).map(|i| values.value(i)).find(|value| self.free(space, value))
    }
}

impl Pool for Index {
    fn pick(&self, space: &'static str) -> Option<String> {
        let ranges = self.spaces.get(space)?.now();
        ranges.iter().find_map(|range| self.pick_from(space, &range.space))
    }
    fn check(&self, claim: &Claim) -> Result<(), ClaimProblem> {
        let Some(space) = self.spaces.get(claim.space) else { return Ok(()) };
        let ranges = space.now();
        if !ranges.iter().any(|range| range.space.contains(&claim.value)) {
            let all: Vec<_> = ranges.iter().map(|range| range.space.describe()).collect();
            return Err(ClaimProblem::OutOfRange(all.join(", ")));
        }
        if self.free(claim.space, &claim.value) { Ok(()) } else { Err(ClaimProblem::Taken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let network = Space::network("10.96.0.0/28").expect("a network");
        let spaces = [("ip", Source::Fixed(network)), ("port", Source::Fixed(Space::Ports(30000..=30002)))];
        Index::new(spaces.into(), |_| unreachable!("ranges are fixed"))
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
