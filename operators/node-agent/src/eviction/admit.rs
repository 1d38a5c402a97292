//! Which pods a node under pressure takes. Pure.
//!
//! Upstream: `Admit` in `pkg/kubelet/eviction/eviction_manager.go`.

use super::{Pressure, REASON, rank::is_critical};
use k8s_openapi::api::core::v1::{Pod, Toleration};

/// Why the node does not take the pod: reason and message.
pub(crate) fn refusal(pod: &Pod, pressure: Pressure) -> Option<(&'static str, String)> {
    let held =
        [(pressure.memory, "MemoryPressure"), (pressure.disk, "DiskPressure"), (pressure.pid, "PIDPressure")];
    let conditions: Vec<&str> = held.into_iter().filter_map(|(holds, name)| holds.then_some(name)).collect();
    let only_memory = conditions == ["MemoryPressure"];
    if conditions.is_empty() || is_critical(pod) || (only_memory && bears_memory_pressure(pod)) {
        return None;
    }
    Some((REASON, format!("The node had condition: [{}]. ", conditions.join(" "))))
}

fn bears_memory_pressure(pod: &Pod) -> bool {
    let class = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    let tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    class != Some("BestEffort") || tolerations.into_iter().any(tolerates_memory_pressure)
}

fn tolerates_memory_pressure(toleration: &Toleration) -> bool {
    let is = |value: &Option<String>, one: &str| value.as_deref().is_none_or(|v| v.is_empty() || v == one);
    let exists = toleration.operator.as_deref() == Some("Exists");
    is(&toleration.effect, "NoSchedule")
        && match toleration.key.as_deref().unwrap_or_default() {
            "" => exists,
            "node.kubernetes.io/memory-pressure" => exists || is(&toleration.value, ""),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(class: &str, tolerations: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [], "tolerations": tolerations},
            "status": {"qosClass": class}}))
        .unwrap()
    }

    #[test]
    fn memory_pressure_refuses_only_the_best_effort() {
        let memory = Pressure { memory: true, ..Pressure::default() };
        let refused = Some((REASON, "The node had condition: [MemoryPressure]. ".to_owned()));
        assert_eq!(refusal(&pod("BestEffort", &json!([])), Pressure::default()), None);
        assert_eq!(refusal(&pod("BestEffort", &json!([])), memory), refused);
        assert_eq!(refusal(&pod("Burstable", &json!([])), memory), None);
        let tolerating = json!([{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]);
        assert_eq!(refusal(&pod("BestEffort", &tolerating), memory), None);
        let other = json!([{"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"}]);
        assert_eq!(refusal(&pod("BestEffort", &other), memory), refused);
    }

    #[test]
    fn other_pressure_refuses_all_but_the_critical() {
        let both = Pressure { memory: true, disk: true, pid: false };
        let refused = Some((REASON, "The node had condition: [MemoryPressure DiskPressure]. ".to_owned()));
        let mut guaranteed = pod("Guaranteed", &json!([{"operator": "Exists"}]));
        assert_eq!(refusal(&guaranteed, both), refused);
        guaranteed.spec.as_mut().unwrap().priority = Some(2_000_001_000);
        assert_eq!(refusal(&guaranteed, both), None);
    }
}
