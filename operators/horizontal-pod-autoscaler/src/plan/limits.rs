//! What keeps replicas from following a recommendation: the spec's bounds, its behavior, recent recommendations.
//!
//! Upstream: pkg/controller/podautoscaler/horizontal.go (normalizeDesiredReplicas, convertDesiredReplicasWithRules,
//! stabilizeRecommendationWithBehaviors, convertDesiredReplicasWithBehaviorRate).

use crate::observe::{History, is_within};
use proa_kit::{
    Timestamp,
    views::{
        HorizontalPodAutoscalerView,
        horizontal_pod_autoscaler::{Behavior, ScalingRules},
    },
};

/// How long a higher recommendation keeps replicas from going, when nothing else is said, in seconds.
const STABILIZATION: i32 = 300;
/// Without a behavior replicas at most double at once, or become so many.
const LEAST_LIMIT: i32 = 4;

/// How many replicas there may be, and what is said about that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// How many.
    pub replicas: i32,
    /// Reason and message of the condition `AbleToScale`.
    pub able: (&'static str, &'static str),
    /// Status, reason and message of the condition `ScalingLimited`.
    pub limited: (&'static str, &'static str, &'static str),
    /// How far back recommendations count, in seconds.
    pub window: i32,
}

const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: (&str, &str) =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_FAST_UP: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);

/// How many of `wanted` replicas there may be.
pub fn limit(
    autoscaler: &HorizontalPodAutoscalerView,
    history: &History,
    current: i32,
    wanted: i32,
    now: Timestamp,
) -> Limited {
    let history = &with_first(history, current, now);
    let bounds = (autoscaler.min_replicas(), autoscaler.spec.max_replicas);
    let (stable, why, window, (replicas, said)) = match &autoscaler.spec.behavior {
        None => {
            let stable = highest(history, STABILIZATION, wanted, now);
            (stable, DOWN_STABILIZED, STABILIZATION, within(current, stable, bounds))
        }
        Some(behavior) => {
            let windows = windows(behavior);
            let stable = stabilized(history, windows, current, wanted, now);
            let why = if wanted >= current { UP_STABILIZED } else { DOWN_STABILIZED };
            let limited = by_behavior(behavior, history, current, stable, bounds, now);
            (stable, why, windows.0.max(windows.1), limited)
        }
    };
    let status = if replicas == stable { "False" } else { "True" };
    Limited {
        replicas,
        able: if stable == wanted { READY } else { why },
        limited: (status, said.0, said.1),
        window,
    }
}

/// Where nothing is remembered, what there is counts as recommended.
fn with_first(history: &History, current: i32, now: Timestamp) -> History {
    let mut history = history.clone();
    if history.recommendations.is_empty() {
        history.recommendations.push(crate::observe::Moment { replicas: current, at: now });
    }
    history
}

fn highest(history: &History, window: i32, wanted: i32, now: Timestamp) -> i32 {
    let recent = history.recommendations.iter().filter(|moment| is_within(moment.at, window, now));
    recent.map(|moment| moment.replicas).fold(wanted, i32::max)
}

fn lowest(history: &History, window: i32, wanted: i32, now: Timestamp) -> i32 {
    let recent = history.recommendations.iter().filter(|moment| is_within(moment.at, window, now));
    recent.map(|moment| moment.replicas).fold(wanted, i32::min)
}

/// Stabilization windows, up and down.
fn windows(behavior: &Behavior) -> (i32, i32) {
    let of = |rules: &ScalingRules, usual| rules.stabilization_window_seconds.unwrap_or(usual);
    (of(&behavior.scale_up, 0), of(&behavior.scale_down, STABILIZATION))
}

/// As many as there are, or as near to that as recent recommendations allow.
fn stabilized(history: &History, windows: (i32, i32), current: i32, wanted: i32, now: Timestamp) -> i32 {
    let (low, high) = (lowest(history, windows.0, wanted, now), highest(history, windows.1, wanted, now));
    current.max(low).min(high)
}

type Said = (i32, (&'static str, &'static str));

/// Without a behavior.
fn within(current: i32, wanted: i32, (min, max): (i32, i32)) -> Said {
    let fastest = current.saturating_mul(2).max(LEAST_LIMIT);
    let (most, why) = if max > fastest { (fastest, TOO_FAST_UP) } else { (max, TOO_MANY) };
    if wanted < min {
        (min, TOO_FEW)
    } else if wanted > most {
        (most, why)
    } else {
        (wanted, WITHIN)
    }
}

fn by_behavior(
    behavior: &Behavior,
    history: &History,
    current: i32,
    wanted: i32,
    (min, max): (i32, i32),
    now: Timestamp,
) -> Said {
    if wanted > current {
        let fastest = most(&behavior.scale_up, history, current, now).max(current);
        let (most, why) = if max > fastest { (fastest, TOO_FAST_UP) } else { (max, TOO_MANY) };
        if wanted > most {
            return (most, why);
        }
    } else if wanted < current {
        let fastest = fewest(&behavior.scale_down, history, current, now).min(current);
        let (fewest, why) = if min < fastest { (fastest, TOO_FAST_DOWN) } else { (min, TOO_FEW) };
        if wanted < fewest {
            return (fewest, why);
        }
    }
    (wanted, WITHIN)
}

/// Replicas at the start of each policy's period, with the policy's kind and value.
fn starts<'a>(
    rules: &'a ScalingRules,
    history: &'a History,
    current: i32,
    now: Timestamp,
) -> impl Iterator<Item = (i32, bool, i32)> + 'a {
    rules.policies.iter().map(move |policy| {
        let added = History::sum(&history.added, policy.period_seconds, now);
        let removed = History::sum(&history.removed, policy.period_seconds, now);
        let start = current.saturating_sub(added).saturating_add(removed);
        (start, &*policy.kind == "Percent", policy.value)
    })
}

/// As many as the policies allow.
fn most(rules: &ScalingRules, history: &History, current: i32, now: Timestamp) -> i32 {
    let allowed = starts(rules, history, current, now).map(|(start, is_percent, value)| {
        // Rounded up, or few replicas would never become more.
        if is_percent {
            share(start, 1.0 + f64::from(value) / 100.0, f64::ceil)
        } else {
            start.saturating_add(value)
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        Some("Min") => allowed.min().unwrap_or(i32::MAX),
        _ => allowed.max().unwrap_or(i32::MIN),
    }
}

/// As few as the policies allow.
fn fewest(rules: &ScalingRules, history: &History, current: i32, now: Timestamp) -> i32 {
    let allowed = starts(rules, history, current, now).map(|(start, is_percent, value)| {
        if is_percent {
            share(start, 1.0 - f64::from(value) / 100.0, f64::trunc)
        } else {
            start.saturating_sub(value)
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        Some("Min") => allowed.max().unwrap_or(i32::MIN),
        _ => allowed.min().unwrap_or(i32::MAX),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it ends at the largest number")]
fn share(of: i32, factor: f64, round: fn(f64) -> f64) -> i32 {
    round(f64::from(of) * factor) as i32
}

#[cfg(test)]
mod tests;
