//! Which thresholds are met, and which conditions of the node follow. Pure.
//!
//! Upstream: `pkg/kubelet/eviction/helpers.go`, `api/types.go`.

use super::Pressure;
use proa_kit::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// What is measured. In the order in which shortages are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    /// `memory.available`.
    MemoryAvailable,
    /// `nodefs.available`.
    NodeFsAvailable,
    /// `nodefs.inodesFree`.
    NodeFsInodesFree,
    /// `imagefs.available`.
    ImageFsAvailable,
    /// `imagefs.inodesFree`.
    ImageFsInodesFree,
    /// `pid.available`.
    PidAvailable,
}

/// What is short when a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    /// Memory.
    Memory,
    /// Space on disk.
    Storage,
    /// Inodes.
    Inodes,
    /// Process ids.
    Pids,
}

impl Resource {
    /// As messages name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Storage => "ephemeral-storage",
            Self::Inodes => "inodes",
            Self::Pids => "pids",
        }
    }
}

impl Signal {
    /// Every one.
    pub(crate) const ALL: [Self; 6] = [
        Self::MemoryAvailable,
        Self::NodeFsAvailable,
        Self::NodeFsInodesFree,
        Self::ImageFsAvailable,
        Self::ImageFsInodesFree,
        Self::PidAvailable,
    ];
    /// As configurations name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "memory.available",
            Self::NodeFsAvailable => "nodefs.available",
            Self::NodeFsInodesFree => "nodefs.inodesFree",
            Self::ImageFsAvailable => "imagefs.available",
            Self::ImageFsInodesFree => "imagefs.inodesFree",
            Self::PidAvailable => "pid.available",
        }
    }
    /// Of its name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.name() == name)
    }
    /// What is short.
    pub(crate) const fn resource(self) -> Resource {
        match self {
            Self::MemoryAvailable => Resource::Memory,
            Self::NodeFsAvailable | Self::ImageFsAvailable => Resource::Storage,
            Self::NodeFsInodesFree | Self::ImageFsInodesFree => Resource::Inodes,
            Self::PidAvailable => Resource::Pids,
        }
    }
    /// Whether the file system of images is meant.
    pub(crate) const fn is_of_images(self) -> bool {
        matches!(self, Self::ImageFsAvailable | Self::ImageFsInodesFree)
    }
    /// Whether a disk is meant.
    pub(crate) const fn is_of_disk(self) -> bool {
        matches!(self.resource(), Resource::Storage | Resource::Inodes)
    }
}

/// How much is too little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// Bytes or pieces.
    Absolute(u64),
    /// Share of what there is.
    Share(f64),
}

impl Amount {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "upstream computes shares so; they are not negative"
    )]
    fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Absolute(amount) => amount,
            Self::Share(share) => (capacity as f64 * share) as u64,
        }
    }
}

/// A threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Threshold {
    /// What is measured.
    pub(crate) signal: Signal,
    /// The threshold is met below this.
    pub(crate) below: Amount,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    /// What is left.
    pub(crate) available: u64,
    /// What there is.
    pub(crate) capacity: u64,
}

/// Measurements; a signal that could not be measured is missing.
pub(crate) type Observations = BTreeMap<Signal, Observation>;

/// A threshold that is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    /// What is short.
    pub(crate) signal: Signal,
    /// What there should be at least.
    pub(crate) threshold: u64,
    /// What there is.
    pub(crate) available: u64,
}

/// The thresholds that are met, the most pressing first.
pub(crate) fn met(thresholds: &[Threshold], observed: &Observations) -> Vec<Met> {
    let one = |threshold: &Threshold| {
        let Observation { available, capacity } = *observed.get(&threshold.signal)?;
        let threshold = Met { signal: threshold.signal, threshold: threshold.below.of(capacity), available };
        (available < threshold.threshold).then_some(threshold)
    };
    let mut met: Vec<Met> = thresholds.iter().filter_map(one).collect();
    met.sort_by_key(|met| met.signal);
    met
}

/// When each condition was last seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastSeen {
    memory: Option<Timestamp>,
    disk: Option<Timestamp>,
    pid: Option<Timestamp>,
}

impl LastSeen {
    /// Takes the thresholds in that are met now; the conditions that hold.
    pub(crate) fn take(&mut self, met: &[Met], now: Timestamp, transition: Duration) -> Pressure {
        for met in met {
            let seen = match met.signal.resource() {
                Resource::Memory => &mut self.memory,
                Resource::Storage | Resource::Inodes => &mut self.disk,
                Resource::Pids => &mut self.pid,
            };
            *seen = Some(now);
        }
        let holds = |seen: Option<Timestamp>| {
            seen.is_some_and(|at| {
                at == now || Duration::try_from(now.duration_since(at)).is_ok_and(|since| since < transition)
            })
        };
        Pressure { memory: holds(self.memory), disk: holds(self.disk), pid: holds(self.pid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::EvictionHard;

    fn observed(signals: &[(Signal, u64, u64)]) -> Observations {
        signals
            .iter()
            .map(|(signal, available, capacity)| {
                (*signal, Observation { available: *available, capacity: *capacity })
            })
            .collect()
    }

    #[test]
    fn the_defaults_are_upstreams() {
        let thresholds = EvictionHard::default().thresholds();
        let of = |signals: &[(Signal, u64, u64)]| -> Vec<(Signal, u64)> {
            met(&thresholds, &observed(signals)).iter().map(|met| (met.signal, met.threshold)).collect()
        };
        assert_eq!(
            of(&[(Signal::MemoryAvailable, 100 << 20, 1 << 30), (Signal::NodeFsAvailable, 10, 100)]),
            []
        );
        assert_eq!(
            of(&[
                (Signal::ImageFsAvailable, 4, 100),
                (Signal::NodeFsAvailable, 4, 100),
                (Signal::NodeFsInodesFree, 49, 1000),
                (Signal::MemoryAvailable, 1, 1 << 30),
            ]),
            [
                (Signal::MemoryAvailable, 100 << 20),
                (Signal::NodeFsAvailable, 5),
                (Signal::NodeFsInodesFree, 50),
                (Signal::ImageFsAvailable, 5),
            ]
        );
        assert_eq!(of(&[(Signal::PidAvailable, 0, 100)]), []);
    }

    #[test]
    fn a_condition_outlasts_its_cause() {
        let mut seen = LastSeen::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let transition = Duration::from_secs(300);
        let met = [Met { signal: Signal::NodeFsAvailable, threshold: 10, available: 1 }];
        let disk = Pressure { disk: true, ..Pressure::default() };
        assert_eq!(seen.take(&[], at(0), transition), Pressure::default());
        assert_eq!(seen.take(&met, at(10), transition), disk);
        assert_eq!(seen.take(&[], at(309), transition), disk);
        assert_eq!(seen.take(&[], at(310), transition), Pressure::default());
    }
}
