//! Rules about other pods, which are not supported yet: such a pod waits, and is told why, rather than placed against them.

use proa_kit::views::pod_spec::{PodAffinity, PodSpec};

/// Why the pod cannot be placed.
pub fn refusal(spec: &PodSpec) -> Option<&'static str> {
    let requires = |rules: &Option<PodAffinity>| {
        rules.as_ref().is_some_and(|own| !own.required_during_scheduling_ignored_during_execution.is_empty())
    };
    if let Some(affinity) = &spec.affinity {
        if requires(&affinity.pod_affinity) {
            return Some("required pod affinity is not supported by this scheduler yet");
        }
        if requires(&affinity.pod_anti_affinity) {
            return Some("required pod anti-affinity is not supported by this scheduler yet");
        }
    }
    let strict = spec.topology_spread_constraints.iter().any(|c| &*c.when_unsatisfiable == "DoNotSchedule");
    strict.then_some("topology spread with DoNotSchedule is not supported by this scheduler yet")
}
