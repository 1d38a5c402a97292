//! Init containers: one after the other; sidecars among them go on, and are started again whenever they end.
//!
//! Looked at from the last to the first, because records of earlier ones may be gone.
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go (computeInitContainerActions).

use super::{
    Plan, Situation,
    containers::{self, Role, Spec},
    restart, run,
};
use proa_runtime_shim::{ContainerState, ContainerStatus};

/// Whether initialization is over, and which init containers to start, in order.
pub(super) fn plan<'a>(s: &Situation<'a>, plan: &mut Plan) -> (bool, Vec<Spec<'a>>) {
    let all: Vec<_> = containers::init(s.pod).collect();
    let mut is_initialized = all.is_empty() || s.has_initialized();
    let mut is_later_known = is_initialized;
    let mut starts = Vec::new();
    for (at, init) in all.iter().enumerate().rev() {
        let status = s.present(init.name());
        if is_later_known && init.role() != Role::Sidecar {
            continue;
        }
        let Some(status) = status else {
            if is_later_known {
                starts.push(*init);
            }
            continue;
        };
        let next = one(s, plan, *init, status, &mut starts);
        if next && !is_later_known {
            match all.get(at + 1) {
                Some(next) => starts.push(*next),
                None => is_initialized = true,
            }
        }
        is_later_known = true;
    }
    if !is_later_known {
        starts.extend(all.first());
    }
    starts.reverse();
    (is_initialized, starts)
}

/// Looks at one init container; whether the next may start.
fn one<'a>(
    s: &Situation<'a>,
    plan: &mut Plan,
    init: Spec<'a>,
    status: &ContainerStatus,
    starts: &mut Vec<Spec<'a>>,
) -> bool {
    match (status.container.state, init.role()) {
        (ContainerState::Running, Role::Sidecar) => {
            run::check(s, plan, init, status);
            is_started(s, init, status)
        }
        (ContainerState::Running, _) => false,
        (ContainerState::Unknown, _) => {
            run::check(s, plan, init, status);
            false
        }
        (ContainerState::Exited, Role::Init) if status.exit_code == 0 => true,
        (ContainerState::Created | ContainerState::Exited, _) => {
            let again = status.container.state == ContainerState::Created
                || restart::after_exit(s.pod, init, status.exit_code).is_wanted();
            starts.extend(again.then_some(init));
            false
        }
    }
}

/// Whether a sidecar has started: its hook has run and its startup probe, if any, succeeded.
fn is_started(s: &Situation<'_>, init: Spec<'_>, status: &ContainerStatus) -> bool {
    let id = &status.container.id;
    !s.memory.is_starting(init.name(), id)
        && !s.memory.stopping.contains_key(id)
        && (init.startup_probe().is_none() || s.probed(id).started)
}
