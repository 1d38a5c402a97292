//! Containers to start: one after the other in the spec's order, each once its pause is over and its image is here.
//!
//! A container that cannot be started holds no other one up; one that is being started does, with its post-start hook.
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go (SyncPod, doBackOff).

use super::{
    Plan, Situation, Step, Waiting,
    containers::Spec,
    memory::{Image, Job},
    restart::go_duration,
};
use k8s_openapi::api::core::v1::ContainerState;
use proa_runtime_shim::{ContainerState as State, ContainerStatus};

/// Plans the start of containers.
pub(super) fn plan(s: &Situation<'_>, plan: &mut Plan, starts: &[Spec<'_>], is_ground_ready: bool) {
    if !is_ground_ready {
        return;
    }
    let mut is_held_up = s.memory.post_starts.keys().any(|id| s.alive().any(|c| c.container.id == *id));
    for container in starts {
        let name = container.name();
        if s.memory.is_busy(&Job::Start(name.to_owned())) {
            is_held_up = true;
            continue;
        }
        if waits(s, plan, *container) {
            continue;
        }
        match image(s, plan, name) {
            Some(()) if !is_held_up => {
                let (container, attempt) = (name.to_owned(), attempt(s, name));
                plan.steps.push(Step::Start { container, attempt });
                is_held_up = true;
            }
            Some(()) => {}
            None => is_held_up |= !plan.waiting.contains_key(name),
        }
    }
}

/// Plans the images of containers that will be started next.
pub(super) fn images(s: &Situation<'_>, plan: &mut Plan, starts: Vec<Spec<'_>>) {
    for container in starts {
        if !waits(s, plan, container) {
            image(s, plan, container.name());
        }
    }
}

/// Whether a container must wait before it is tried again; says why.
fn waits(s: &Situation<'_>, plan: &mut Plan, container: Spec<'_>) -> bool {
    let name = container.name();
    if let Some(failure) = s.memory.failures.get(name)
        && s.now < failure.retry
    {
        plan.waiting.insert(name.to_owned(), failure.into());
        plan.wake_at(failure.retry);
        return true;
    }
    let Some(backoff) = s.memory.backoffs.get(name) else { return false };
    let Some(finished) = last_exit(s, name).and_then(|status| status.finished) else { return false };
    let Some(until) = backoff.until(finished, s.now) else { return false };
    let message = format!(
        "back-off {} restarting failed container={name} pod={}",
        go_duration(backoff.seconds),
        pod_text(s)
    );
    plan.waiting.insert(name.to_owned(), Waiting { reason: CRASH_LOOP.to_owned(), message });
    plan.wake_at(until);
    true
}

/// Reason of a container that waits for its next start.
pub(crate) const CRASH_LOOP: &str = "CrashLoopBackOff";

/// The newest container of a name that ended.
pub(crate) fn last_exit<'a>(s: &Situation<'a>, name: &str) -> Option<&'a ContainerStatus> {
    s.observed.of(name).find(|status| status.container.state == State::Exited)
}

/// A pod as messages name it.
fn pod_text(s: &Situation<'_>) -> String {
    let metadata = &s.pod.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{}_{}({})", text(&metadata.name), text(&metadata.namespace), text(&metadata.uid))
}

/// Whether the image is here; plans to get it, or says why that waits.
fn image(s: &Situation<'_>, plan: &mut Plan, name: &str) -> Option<()> {
    match s.memory.images.get(name) {
        Some(Image::Here(_)) => return Some(()),
        Some(Image::Failed { failure, .. }) if failure.retry <= s.now => {
            plan.steps.push(Step::Image { container: name.to_owned() });
            plan.waiting.insert(name.to_owned(), failure.into());
        }
        Some(Image::Failed { failure, fresh }) => {
            let is_pull = failure.reason == "ErrImagePull";
            let waiting = if is_pull && *fresh <= s.now {
                let image = super::containers::find(s.pod, name).map_or("", Spec::image);
                let message =
                    format!("Back-off pulling image \"{image}\": ErrImagePull: {}", failure.message);
                Waiting { reason: "ImagePullBackOff".to_owned(), message }
            } else {
                plan.wake_at(if is_pull { *fresh } else { failure.retry });
                failure.into()
            };
            plan.waiting.insert(name.to_owned(), waiting);
            plan.wake_at(failure.retry);
        }
        None => plan.steps.push(Step::Image { container: name.to_owned() }),
    }
    None
}

/// How often a container of the name was made before.
fn attempt(s: &Situation<'_>, name: &str) -> u32 {
    if let Some(latest) = s.latest(name) {
        return latest.container.attempt + 1;
    }
    let statuses = s.pod.status.iter().flat_map(|status| {
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses]
    });
    let known = statuses.flatten().flatten().find(|status| status.name == name);
    // Its records are gone, but it ran: the count goes on.
    let has_ended =
        |state: &Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    let ran = known.filter(|status| status.container_id.is_some() || has_ended(&status.last_state));
    ran.map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0) + 1)
}
