//! The decision: how many replicas, and what to say about it.

pub mod limits;
pub mod metrics;
pub mod pods;
pub mod replicas;

use crate::{
    observe::{Lesson, Moment, Observed, Scale},
    status,
};
use limits::Limited;
use metrics::Measured;
use proa_kit::{
    Action, Announce, ObjectRef, Plan, Timestamp, Typed,
    action::PatchKind,
    conditions::{self, Condition},
    views::{HorizontalPodAutoscalerView, horizontal_pod_autoscaler::HorizontalPodAutoscalerStatus},
};
use proa_meta::selector::Selector;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How often an autoscaler is looked at.
const PERIOD: Duration = Duration::from_secs(15);

/// What was decided about an autoscaler.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Warnings: reason and note.
    pub warnings: Vec<(&'static str, String)>,
    /// The change of the scale, if there is to be one.
    pub rescale: Option<Rescale>,
    /// The status when that change has come about.
    pub status: HorizontalPodAutoscalerStatus,
    /// What is to be remembered.
    pub lesson: Lesson,
}

/// A change of a scale.
#[derive(Clone, Debug)]
pub struct Rescale {
    /// Whose scale.
    pub target: ObjectRef,
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
    /// Why.
    pub reason: String,
}

impl Decision {
    /// By how much replicas change.
    pub fn change(&self) -> Option<i32> {
        self.rescale.as_ref().map(|rescale| rescale.to.saturating_sub(rescale.from))
    }
    fn warn(&mut self, reason: &'static str, note: impl Into<String>) {
        self.warnings.push((reason, note.into()));
    }
    /// Sets a condition.
    pub(crate) fn set(&mut self, now: Timestamp, kind: &str, status: &str, reason: &str, message: &str) {
        conditions::set(&mut self.status.conditions, Condition::new(kind, status, reason, message, now));
    }
}

/// The plan for one autoscaler.
pub fn plan(autoscaler: &HorizontalPodAutoscalerView, observed: &Observed, now: Timestamp) -> Plan {
    let decision = observed.decision(autoscaler, now);
    let about = Arc::new(autoscaler.reference());
    let mut plan = Plan::default();
    for (reason, note) in &decision.warnings {
        plan.push(Action::warning(&about, reason, note.as_str()));
    }
    if let Some(Rescale { target, to, reason, .. }) = &decision.rescale {
        let patch = json!({"spec": {"replicas": to}});
        let note = format!("New size: {to}; reason: {reason}");
        let announce = Announce::about(&about)
            .success("SuccessfulRescale", &note)
            .failure("FailedRescale", &format!("{note}; error: {{error}}"));
        let patch = Action::patch(target.clone(), "scale", PatchKind::Merge, patch);
        plan.push(patch.announced(announce));
    }
    plan.status = status::settled(autoscaler, decision, None, now);
    plan.look_again(wait(&autoscaler.metadata.uid, now));
    plan
}

/// Until the next look: each autoscaler has its own moment in every period, so they do not all ask at once.
fn wait(uid: &str, now: Timestamp) -> Duration {
    let period = PERIOD.as_millis();
    let own = u128::from(proa_meta::fnv::hash(uid.as_bytes())) % period;
    let now = u128::try_from(now.as_millisecond()).unwrap_or_default() % period;
    let left = (period + own - now) % period;
    // A look that was made a moment ago would see the same samples.
    let left = if left < period / 2 { left + period } else { left };
    Duration::from_millis(u64::try_from(left).unwrap_or_default())
}

/// Whether metrics decide about so many replicas, and not the spec alone.
pub fn needs_metrics(autoscaler: &HorizontalPodAutoscalerView, replicas: i32) -> bool {
    let (min, max) = (autoscaler.min_replicas(), autoscaler.spec.max_replicas);
    if replicas == 0 {
        return was_scaled_to_zero(autoscaler) && (min != 0 || autoscaler.can_leave_zero());
    }
    replicas <= max && replicas >= min
}

fn was_scaled_to_zero(autoscaler: &HorizontalPodAutoscalerView) -> bool {
    conditions::is_true(&autoscaler.status.conditions, "ScaledToZero")
}

/// Decides.
pub fn decide(autoscaler: &HorizontalPodAutoscalerView, observed: &Observed, now: Timestamp) -> Decision {
    let mut decision = Decision { status: autoscaler.status.clone(), ..Decision::default() };
    let scale = match &observed.scale {
        Some(Ok(scale)) => scale,
        failed => {
            let why = failed.as_ref().and_then(|scale| scale.as_ref().err());
            let why = why.map_or("it was not read", String::as_str);
            decision.warn("FailedGetScale", why);
            let message = format!("the HPA controller was unable to get the target's current scale: {why}");
            decision.set(now, "AbleToScale", "False", "FailedGetScale", &message);
            return decision;
        }
    };
    let message = "the HPA controller was able to get the target's current scale";
    decision.set(now, "AbleToScale", "True", "SucceededGetScale", message);
    if observed.history.recommendations.is_empty() {
        decision.lesson.first = Some(Moment { replicas: scale.replicas, at: now });
    }
    let (min, max) = (autoscaler.min_replicas(), autoscaler.spec.max_replicas);
    if needs_metrics(autoscaler, scale.replicas) {
        by_metrics(autoscaler, observed, scale, &mut decision, now);
    } else if scale.replicas == 0 {
        let message = "scaling is disabled since the replica count of the target is zero";
        decision.set(now, "ScalingActive", "False", "ScalingDisabled", message);
        show(autoscaler, scale, 0, None, &mut decision);
    } else if scale.replicas > max {
        let reason = "Current number of replicas above Spec.MaxReplicas".to_owned();
        rescale(autoscaler, scale, max, reason, None, &mut decision, now);
    } else {
        let reason = "Current number of replicas below Spec.MinReplicas".to_owned();
        rescale(autoscaler, scale, min, reason, None, &mut decision, now);
    }
    decision
}

type Shown = Option<Vec<serde_json::Value>>;

/// What the status shows besides its conditions.
fn show(
    autoscaler: &HorizontalPodAutoscalerView,
    scale: &Scale,
    desired: i32,
    metrics: Shown,
    decision: &mut Decision,
) {
    let status = &mut decision.status;
    status.observed_generation = Some(autoscaler.metadata.generation);
    status.current_replicas = scale.replicas;
    status.desired_replicas = desired;
    status.current_metrics = metrics;
}

fn rescale(
    autoscaler: &HorizontalPodAutoscalerView,
    scale: &Scale,
    to: i32,
    reason: String,
    metrics: Shown,
    decision: &mut Decision,
    now: Timestamp,
) {
    let message = format!("the HPA controller was able to update the target scale to {to}");
    decision.set(now, "AbleToScale", "True", "SucceededRescale", &message);
    let to_zero =
        scale.replicas > 0 && to == 0 && autoscaler.min_replicas() == 0 && autoscaler.can_leave_zero();
    let (value, reason_of_zero, message) = if to_zero {
        ("True", "ScaledToZero", "the HPA controller scaled the workload to zero")
    } else {
        ("False", "NotScaledToZero", "the HPA controller did not scale the workload to zero")
    };
    decision.set(now, "ScaledToZero", value, reason_of_zero, message);
    show(autoscaler, scale, to, metrics, decision);
    decision.status.last_scale_time = Some(now);
    let name = &autoscaler.spec.scale_target_ref.name;
    let target =
        ObjectRef::new(scale.kind.clone(), &autoscaler.metadata.namespace, name).with_uid(&scale.uid);
    decision.rescale = Some(Rescale { target, from: scale.replicas, to, reason });
    if let Some(behavior) = &autoscaler.spec.behavior {
        let (up, down) = (&behavior.scale_up, &behavior.scale_down);
        decision.lesson.periods = Some((
            // An increase counts in the periods of decreases too, and the other way round.
            up.longest_period().max(down.longest_period()),
            up.longest_period().max(down.longest_period()),
        ));
    }
}

fn by_metrics(
    autoscaler: &HorizontalPodAutoscalerView,
    observed: &Observed,
    scale: &Scale,
    decision: &mut Decision,
    now: Timestamp,
) {
    let measured = match selected(observed, scale) {
        Ok(()) => metrics::measure(autoscaler, observed, scale, now),
        Err(Unselected { event, reason, message, error }) => {
            decision.warn(event, error.as_str());
            Measured { failure: Some((reason, message, error)), ..Measured::default() }
        }
    };
    let Measured { warnings, shown, failure, replicas, metric } = measured;
    decision.warnings.extend(warnings);
    if let Some((reason, message, error)) = failure {
        decision.set(now, "ScalingActive", "False", reason, &message);
        show(autoscaler, scale, autoscaler.status.desired_replicas, shown, decision);
        decision.warn("FailedComputeMetricsReplicas", error);
        return;
    }
    let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
    decision.set(now, "ScalingActive", "True", "ValidMetricFound", &message);
    let wanted = replicas.max(0);
    let mut reason = match wanted.cmp(&scale.replicas) {
        std::cmp::Ordering::Greater => format!("{metric} above target"),
        std::cmp::Ordering::Less => "All metrics below target".to_owned(),
        std::cmp::Ordering::Equal => String::new(),
    };
    let limited = limits::limit(autoscaler, &observed.history, scale.replicas, wanted, now);
    let Limited { mut replicas, able, limited, window } = limited;
    decision.set(now, "AbleToScale", "True", able.0, able.1);
    decision.set(now, "ScalingLimited", limited.0, limited.1, limited.2);
    decision.lesson.recommended = Some(Moment { replicas: wanted, at: now });
    decision.lesson.window = window;
    let min = autoscaler.min_replicas();
    if scale.replicas == 0 && min != 0 && was_scaled_to_zero(autoscaler) && replicas < min {
        replicas = min;
        if reason.is_empty() {
            "Current number of replicas below Spec.MinReplicas".clone_into(&mut reason);
        }
    }
    if replicas == scale.replicas {
        show(autoscaler, scale, replicas, shown, decision);
    } else {
        rescale(autoscaler, scale, replicas, reason, shown, decision, now);
    }
}

/// Why a target's pods are not known.
struct Unselected {
    event: &'static str,
    reason: &'static str,
    message: String,
    error: String,
}

fn selected(observed: &Observed, scale: &Scale) -> Result<(), Unselected> {
    if scale.selector.is_empty() {
        return Err(Unselected {
            event: "SelectorRequired",
            reason: "InvalidSelector",
            message: "the HPA target's scale is missing a selector".to_owned(),
            error: "selector is required".to_owned(),
        });
    }
    if let Err(error) = Selector::parse(&scale.selector) {
        let text =
            format!("couldn't convert selector into a corresponding internal selector object: {error}");
        return Err(Unselected {
            event: "InvalidSelector",
            reason: "InvalidSelector",
            message: text.clone(),
            error: text,
        });
    }
    if observed.selecting.len() > 1 {
        let named = observed.selecting.iter().map(|key| format!("{{{} {}}}", key.name(), key.namespace()));
        let named = named.collect::<Vec<_>>().join(" ");
        let text = format!(
            "pods by selector {} are controlled by more than one HPA (e.g. [{named}])",
            scale.selector
        );
        return Err(Unselected {
            event: "AmbiguousSelector",
            reason: "AmbiguousSelector",
            message: text.clone(),
            error: text,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spread_and_a_period_apart() {
        let at = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap();
        let mut moments = std::collections::BTreeSet::new();
        for i in 0..50 {
            let uid = format!("uid-{i}");
            let first = wait(&uid, at(1_000_003));
            assert!(first >= PERIOD / 2 && first < PERIOD * 3 / 2, "{first:?}");
            let next = 1_000_003 + i64::try_from(first.as_millis()).unwrap();
            assert_eq!(wait(&uid, at(next)), PERIOD);
            moments.insert(next % 15_000);
        }
        assert!(moments.len() > 40, "{moments:?}");
    }
}
