//! The phase that containers' states add up to. Upstream: pkg/kubelet/kubelet_pods.go (getPhase).

use super::find;
use crate::plan::{
    Situation,
    containers::{self, Role, Spec},
    restart::after_exit,
};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, PodStatus};

/// How many containers are in which state.
#[derive(Default)]
struct Count {
    pending_init: usize,
    failed_init: usize,
    unstarted_sidecars: usize,
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    done: usize,
    succeeded: usize,
}

/// One container's state, as far as phases go.
enum State<'a> {
    Missing,
    Running,
    Ended(&'a ContainerStateTerminated),
    Waiting,
}

/// The phase; `is_over` says that nothing will run again.
pub(super) fn of(s: &Situation<'_>, status: &PodStatus, is_over: bool) -> &'static str {
    let mut count = Count::default();
    for init in containers::init(s.pod) {
        match init.role() {
            Role::Sidecar => count.sidecar(find(status, init.name())),
            _ => count.init(s, init, find(status, init.name())),
        }
    }
    containers::apps(s.pod).for_each(|app| count.app(s, app, find(status, app.name())));
    count.phase(s.has_initialized(), is_over)
}

fn state(status: Option<&ContainerStatus>) -> State<'_> {
    let Some(status) = status else { return State::Missing };
    let Some(state) = &status.state else { return State::Missing };
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    match (&state.terminated, last) {
        _ if state.running.is_some() => State::Running,
        (Some(ended), _) => State::Ended(ended),
        (None, Some(ended)) if state.waiting.is_some() => State::Ended(ended),
        _ if state.waiting.is_some() => State::Waiting,
        _ => State::Missing,
    }
}

impl Count {
    fn init(&mut self, s: &Situation<'_>, init: Spec<'_>, status: Option<&ContainerStatus>) {
        match state(status) {
            State::Ended(ended) if ended.exit_code != 0 => {
                self.failed_init += usize::from(!after_exit(s.pod, init, ended.exit_code).is_wanted());
            }
            State::Ended(_) => {}
            State::Missing | State::Running | State::Waiting => self.pending_init += 1,
        }
    }
    fn sidecar(&mut self, status: Option<&ContainerStatus>) {
        match state(status) {
            State::Missing => self.unknown += 1,
            State::Running => {
                let is_started = status.is_some_and(|status| status.started == Some(true));
                self.unstarted_sidecars += usize::from(!is_started);
                self.running += 1;
            }
            State::Ended(_) => {}
            State::Waiting => {
                self.unstarted_sidecars += 1;
                self.waiting += 1;
            }
        }
    }
    fn app(&mut self, s: &Situation<'_>, app: Spec<'_>, status: Option<&ContainerStatus>) {
        match state(status) {
            State::Missing => self.unknown += 1,
            State::Running => self.running += 1,
            State::Waiting => self.waiting += 1,
            State::Ended(ended) => {
                self.stopped += 1;
                self.done += usize::from(!after_exit(s.pod, app, ended.exit_code).is_wanted());
                let has_ended_itself = status.is_some_and(|status| {
                    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
                });
                self.succeeded += usize::from(has_ended_itself && ended.exit_code == 0);
            }
        }
    }
    fn phase(&self, has_initialized: bool, is_over: bool) -> &'static str {
        if self.failed_init > 0 {
            return "Failed";
        }
        let is_initializing = self.pending_init > 0 || (self.unstarted_sidecars > 0 && !has_initialized);
        if is_initializing || self.waiting > 0 || self.unknown > 0 {
            return "Pending";
        }
        match (self.running, self.stopped) {
            (1.., _) => "Running",
            (0, 0) => "Pending",
            (0, stopped) if is_over || stopped == self.done => {
                if stopped == self.succeeded {
                    "Succeeded"
                } else {
                    "Failed"
                }
            }
            (0, _) => "Running",
        }
    }
}
