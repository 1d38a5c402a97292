//! How many replicas a metric asks for. Amounts are in thousandths.
//!
//! Upstream: pkg/controller/podautoscaler/replica_calculator.go, metrics/utilization.go.

use super::pods::{Groups, Requests};
use proa_kit::views::{HorizontalPodAutoscalerView, PodView};
use std::{collections::BTreeMap, sync::Arc};

/// How far off its target a metric may be before replicas change, when nothing else is said.
const TOLERANCE: f64 = 0.1;

/// How far off its target a metric may be.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Below.
    pub down: f64,
    /// Above.
    pub up: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { down: TOLERANCE, up: TOLERANCE }
    }
}

impl Tolerance {
    /// Of an autoscaler.
    pub fn of(autoscaler: &HorizontalPodAutoscalerView) -> Self {
        let Some(behavior) = &autoscaler.spec.behavior else { return Self::default() };
        let said = |rules: &proa_kit::views::horizontal_pod_autoscaler::ScalingRules| {
            rules.tolerance.map_or(TOLERANCE, |tolerance| tolerance.as_f64())
        };
        Self { down: said(&behavior.scale_down), up: said(&behavior.scale_up) }
    }
    fn holds(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// What a metric asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// How many replicas.
    pub replicas: i32,
    /// What the metric is now: of each pod on average, or in all.
    pub usage: i64,
    /// Percent of what pods ask for.
    pub utilization: Option<i32>,
}

/// By pod.
pub type Amounts = BTreeMap<Box<str>, i64>;

/// How a metric of pods compares with its target.
struct Compared {
    ratio: f64,
    usage: i64,
    utilization: Option<i32>,
}

/// A target of a metric of pods.
#[derive(Clone, Copy, Debug)]
pub enum PodTarget<'a> {
    /// Percent of what pods ask for.
    Utilization(i32, &'a Requests),
    /// So much on average.
    Average(i64),
}

impl PodTarget<'_> {
    fn compare(self, amounts: &Amounts) -> Result<Compared, String> {
        match self {
            Self::Utilization(percent, requests) => {
                let known = amounts.iter().filter_map(|(pod, used)| Some((*used, *requests.get(pod)?)));
                let add = |sum: (i64, i64, i64), (used, asked): (i64, i64)| {
                    (sum.0.saturating_add(used), sum.1.saturating_add(asked), sum.2 + 1)
                };
                let (used, asked, pods) = known.fold((0, 0, 0), add);
                if asked == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                let utilization = clamp(i128::from(used) * 100 / i128::from(asked));
                let ratio = f64::from(utilization) / f64::from(percent);
                Ok(Compared { ratio, usage: used / pods, utilization: Some(utilization) })
            }
            Self::Average(target) => {
                let used = amounts.values().fold(0, |sum: i64, used| sum.saturating_add(*used));
                let usage = used / i64::try_from(amounts.len()).unwrap_or(i64::MAX).max(1);
                Ok(Compared { ratio: float(usage) / float(target), usage, utilization: None })
            }
        }
    }
    /// What a pod without figures counts as when replicas would go: it must not be a reason for that.
    fn assumed(self, pod: &str) -> i64 {
        match self {
            Self::Utilization(percent, requests) => {
                let asked = requests.get(pod).copied().unwrap_or_default();
                asked.saturating_mul(i64::from(percent.max(100))) / 100
            }
            Self::Average(target) => target,
        }
    }
}

/// By a metric of pods.
pub fn by_pods(
    current: i32,
    groups: &Groups,
    mut amounts: Amounts,
    target: PodTarget<'_>,
    tolerance: Tolerance,
) -> Result<Proposal, String> {
    amounts.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
    if amounts.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let Compared { ratio, usage, utilization } = target.compare(&amounts)?;
    let propose = |replicas| Ok(Proposal { replicas, usage, utilization });
    let waits_for_pods = !groups.unready.is_empty() && ratio > 1.0;
    if !waits_for_pods && groups.missing.is_empty() {
        if tolerance.holds(ratio) {
            return propose(current);
        }
        return propose(ceil(ratio * float(groups.ready)));
    }
    for pod in &groups.missing {
        if ratio < 1.0 {
            amounts.insert(pod.clone(), target.assumed(pod));
        } else if ratio > 1.0 {
            amounts.insert(pod.clone(), 0);
        }
    }
    if waits_for_pods {
        amounts.extend(groups.unready.iter().map(|pod| (pod.clone(), 0)));
    }
    let again = target.compare(&amounts)?.ratio;
    let turns = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
    if tolerance.holds(again) || turns {
        return propose(current);
    }
    let replicas = ceil(again * float(i64::try_from(amounts.len()).unwrap_or(i64::MAX)));
    // More or fewer pods counted than there are replicas; that alone must not turn the direction.
    if (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current) {
        return propose(current);
    }
    propose(replicas)
}

/// By a metric as a whole whose target is a whole.
pub fn by_value(
    current: i32,
    usage: i64,
    target: i64,
    pods: &[Arc<PodView>],
    tolerance: Tolerance,
) -> Result<Proposal, String> {
    let ratio = float(usage) / float(target);
    let propose = |replicas| Ok(Proposal { replicas, usage, utilization: None });
    if current == 0 {
        return propose(ceil(ratio));
    }
    if tolerance.holds(ratio) {
        return propose(current);
    }
    if pods.is_empty() {
        let why = "no pods returned by selector while calculating replica count";
        return Err(format!("unable to calculate ready pods: {why}"));
    }
    let ready = pods.iter().filter(|pod| &*pod.status.phase == "Running" && pod.is_ready()).count();
    propose(ceil(ratio * float(i64::try_from(ready).unwrap_or(i64::MAX))))
}

/// By a metric as a whole whose target is so much for each of `present` replicas.
pub fn by_share(present: i32, usage: i64, target: i64, tolerance: Tolerance) -> Proposal {
    let ratio = float(usage) / (float(target) * f64::from(present));
    let replicas = if tolerance.holds(ratio) { present } else { ceil(float(usage) / float(target)) };
    let usage = if usage == i64::MAX { usage } else { ceil_wide(float(usage) / f64::from(present)) };
    Proposal { replicas, usage, utilization: None }
}

#[expect(clippy::cast_precision_loss, reason = "ratios are floating point")]
fn float(number: i64) -> f64 {
    number as f64
}

/// Rounded up; what is no number is nothing.
#[expect(clippy::cast_possible_truncation, reason = "it ends at the largest number")]
fn ceil(number: f64) -> i32 {
    number.ceil() as i32
}

#[expect(clippy::cast_possible_truncation, reason = "it ends at the largest number")]
fn ceil_wide(number: f64) -> i64 {
    number.ceil() as i64
}

fn clamp(number: i128) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
