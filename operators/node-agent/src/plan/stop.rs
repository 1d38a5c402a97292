//! Containers that were told to stop: pre-stop hook, turn, signal, kill.
//!
//! A stop once begun goes on, whatever the reason has become. Upstream: pkg/kubelet/kuberuntime
//! (killContainer, kuberuntime_termination_order.go).

use super::{Plan, Situation, Step, after, containers, containers::Role, end};

/// Every container gets this long at least, in seconds.
const SHORTEST: i64 = 2;

/// Goes on with every stop.
pub(super) fn plan(s: &Situation<'_>, plan: &mut Plan) {
    for status in s.alive() {
        let (id, name) = (&status.container.id, &status.container.name);
        let Some(stopping) = s.memory.stopping.get(id) else { continue };
        let container = containers::find(s.pod, name);
        let has_time = s.now < stopping.deadline;
        let hook = container.and_then(containers::Spec::pre_stop);
        if hook.is_some() && has_time && !stopping.pre_stopped {
            let (container, id) = (name.clone(), id.clone());
            plan.steps.push(Step::PreStop { container, id, deadline: stopping.deadline });
            plan.wake_at(stopping.deadline);
            continue;
        }
        let is_sidecar = container.is_some_and(|container| container.role() == Role::Sidecar);
        if plan.end.is_some() && is_sidecar && has_time && !end::is_turn(s, name) {
            plan.wake_at(stopping.deadline);
            continue;
        }
        let deadline = stopping.deadline.max(after(s.now, SHORTEST));
        plan.steps.push(Step::Stop { id: id.clone(), deadline });
    }
}
