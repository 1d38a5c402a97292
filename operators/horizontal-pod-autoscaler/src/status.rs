//! The status of an autoscaler.

use crate::plan::Decision;
use proa_kit::{
    Timestamp,
    views::{HorizontalPodAutoscalerView, horizontal_pod_autoscaler::HorizontalPodAutoscalerStatus},
};
use serde_json::Value;

/// The new status, if it says anything new. `failure`: why the scale could not be changed.
pub(crate) fn settled(
    autoscaler: &HorizontalPodAutoscalerView,
    decision: &Decision,
    failure: Option<&str>,
    now: Timestamp,
) -> Option<Value> {
    let status = match failure.filter(|_| decision.rescale.is_some()) {
        Some(why) => failed(autoscaler, decision, why, now),
        None => decision.status.clone(),
    };
    (status != autoscaler.status).then(|| serde_json::to_value(&status).unwrap_or_default())
}

/// The scale stayed as it was.
fn failed(
    autoscaler: &HorizontalPodAutoscalerView,
    decision: &Decision,
    why: &str,
    now: Timestamp,
) -> HorizontalPodAutoscalerStatus {
    let before = &autoscaler.status;
    let mut decision = decision.clone();
    decision.status.desired_replicas = before.desired_replicas;
    decision.status.last_scale_time = before.last_scale_time;
    let kept = before.conditions.iter().find(|condition| &*condition.kind == "ScaledToZero").cloned();
    decision.status.conditions.retain(|condition| &*condition.kind != "ScaledToZero");
    decision.status.conditions.extend(kept);
    let message = format!("the HPA controller was unable to update the target scale: {why}");
    decision.set(now, "AbleToScale", "False", "FailedUpdateScale", &message);
    decision.status
}
