//! The thresholds as the command line and `/configz` write them: `memory.available<100Mi,nodefs.available<5%`.
//!
//! Upstream: `pkg/kubelet/eviction/helpers.go` (`ParseThresholdConfig`).

use super::thresholds::{Amount, Signal, Threshold};
use proa_meta::quantity::Quantity;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// When pods are evicted at once because the node runs short of something, as a kubelet's `evictionHard`: signals with
/// quantities or percentages, separated by commas. What is not named has no threshold; 0 % and 100 % are none either.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionHard(BTreeMap<Signal, Written>);

/// A threshold, and how it was written.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    text: String,
    below: Amount,
}

/// Why thresholds cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Not `SIGNAL<VALUE`.
    #[error("invalid eviction threshold syntax {0}, expected <signal><<value>")]
    Syntax(String),
    /// The node does not measure this.
    #[error("unsupported eviction signal {0}; supported are {all}", all = Signal::ALL.map(Signal::name).join(", "))]
    Signal(String),
    /// Said twice.
    #[error("duplicate eviction threshold specified for {0}")]
    Duplicate(&'static str),
    /// Neither a quantity nor a percentage, or below zero.
    #[error("invalid eviction threshold {value} of {signal}: expected a positive quantity or percentage")]
    Value {
        /// Of which signal.
        signal: &'static str,
        /// What was written.
        value: String,
    },
}

impl EvictionHard {
    pub(super) fn thresholds(&self) -> Vec<Threshold> {
        self.0.iter().map(|(signal, written)| Threshold { signal: *signal, below: written.below }).collect()
    }
    /// As a `KubeletConfiguration` has it.
    pub(crate) fn json(&self) -> Value {
        let entry = |(signal, written): (&Signal, &Written)| {
            (signal.name().to_owned(), Value::String(written.text.clone()))
        };
        Value::Object(self.0.iter().map(entry).collect::<Map<_, _>>())
    }
    fn percent(signals: &[(Signal, u32)]) -> impl Iterator<Item = (Signal, Written)> {
        signals.iter().map(|(signal, percent)| {
            let written =
                Written { text: format!("{percent}%"), below: Amount::Share(f64::from(*percent) / 100.0) };
            (*signal, written)
        })
    }
}

impl Default for EvictionHard {
    /// As a kubelet that is told nothing, but for disks: upstream's 10 % and 15 % are hundreds of GiB of a large disk and
    /// would evict pods from many a developer's machine. 5 % is what k3s uses.
    fn default() -> Self {
        let memory = Written { text: "100Mi".to_owned(), below: Amount::Absolute(100 << 20) };
        let disks = Self::percent(&[
            (Signal::NodeFsAvailable, 5),
            (Signal::NodeFsInodesFree, 5),
            (Signal::ImageFsAvailable, 5),
            (Signal::ImageFsInodesFree, 5),
        ]);
        Self([(Signal::MemoryAvailable, memory)].into_iter().chain(disks).collect())
    }
}

impl FromStr for EvictionHard {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let mut thresholds = BTreeMap::new();
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let (name, value) = one.split_once('<').ok_or_else(|| ThresholdError::Syntax(one.to_owned()))?;
            let signal =
                Signal::of_name(name.trim()).ok_or_else(|| ThresholdError::Signal(name.to_owned()))?;
            let value = value.trim();
            let below = amount(value)
                .ok_or_else(|| ThresholdError::Value { signal: signal.name(), value: value.to_owned() })?;
            if thresholds.insert(signal, Written { text: value.to_owned(), below }).is_some() {
                return Err(ThresholdError::Duplicate(signal.name()));
            }
        }
        thresholds.retain(
            |_, written| !matches!(written.below, Amount::Share(share) if share <= 0.0 || share >= 1.0),
        );
        Ok(Self(thresholds))
    }
}

impl fmt::Display for EvictionHard {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (signal, written)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(to, "{comma}{}<{}", signal.name(), written.text)?;
        }
        Ok(())
    }
}

fn amount(text: &str) -> Option<Amount> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().ok()?;
        return (0.0..=100.0).contains(&percent).then_some(Amount::Share(percent / 100.0));
    }
    u64::try_from(Quantity::parse(text).ok()?.value()).ok().filter(|amount| *amount > 0).map(Amount::Absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in
            ["memory.available<100Mi,nodefs.available<5%", "imagefs.inodesFree<1k,pid.available<12.5%", ""]
        {
            assert_eq!(text.parse::<EvictionHard>().unwrap().to_string(), text);
        }
        let default = EvictionHard::default();
        assert_eq!(default.to_string().parse(), Ok(default.clone()));
        assert_eq!(default.json()["nodefs.available"], "5%");
    }

    #[test]
    fn signals_that_are_not_named_have_no_threshold() {
        let hard: EvictionHard = " nodefs.available < 20Mi , memory.available<0%".parse().unwrap();
        let threshold = Threshold { signal: Signal::NodeFsAvailable, below: Amount::Absolute(20 << 20) };
        assert_eq!(hard.thresholds(), [threshold]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let error = |text: &str| text.parse::<EvictionHard>().unwrap_err().to_string();
        assert_eq!(
            error("memory.available>1"),
            "invalid eviction threshold syntax memory.available>1, expected <signal><<value>"
        );
        assert!(
            error("disk<1").starts_with("unsupported eviction signal disk; supported are memory.available, ")
        );
        assert_eq!(
            error("pid.available<1,pid.available<2"),
            "duplicate eviction threshold specified for pid.available"
        );
        for value in ["", "0", "-1", "-1%", "101%", "NaN%", "x"] {
            assert_eq!(
                error(&format!("pid.available<{value}")),
                format!(
                    "invalid eviction threshold {value} of pid.available: expected a positive quantity or percentage"
                )
            );
        }
    }
}
