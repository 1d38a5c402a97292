//! State of a simulated pod's containers: a pure function of time.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How long the steps of a simulated pod take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// From the node taking the pod over until its containers run.
    pub start: Duration,
    /// From running until ready.
    pub ready: Duration,
    /// From the request to stop until everything is gone.
    pub stop: Duration,
    /// How long containers run that are meant to end.
    pub run: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        let none = Duration::ZERO;
        Self { start: none, ready: none, stop: none, run: Duration::from_millis(100) }
    }
}

/// What a simulated pod's containers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// They end with this code; they run for ever when there is none.
    pub exits: Option<i32>,
    /// They never become ready.
    pub never_ready: bool,
}

/// State of a pod's containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running yet.
    Starting,
    /// Running since.
    Running {
        /// When they started.
        since: Timestamp,
        /// Whether they pass their readiness checks.
        ready: bool,
    },
    /// Ended.
    Exited {
        /// When they started.
        since: Timestamp,
        /// When they ended.
        until: Timestamp,
        /// Exit code.
        code: i32,
    },
}

/// A state, and how long it lasts; none when it lasts until somebody acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The state.
    pub state: State,
    /// Time to the next one.
    pub lasts: Option<Duration>,
}

/// A runtime without containers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Simulated {
    /// How long things take.
    pub delays: Delays,
}

impl Simulated {
    /// State at `now` of the containers of a pod that the node took over at `accepted`.
    pub(crate) fn observe(&self, accepted: Timestamp, behaviour: Behaviour, now: Timestamp) -> Observed {
        let since = after(accepted, self.delays.start);
        if now < since {
            return Observed { state: State::Starting, lasts: until(now, since) };
        }
        if let Some(code) = behaviour.exits {
            let end = after(since, self.delays.run);
            if now >= end {
                return Observed { state: State::Exited { since, until: end, code }, lasts: None };
            }
            let state = State::Running { since, ready: !behaviour.never_ready };
            return Observed { state, lasts: until(now, end) };
        }
        let ready_at = after(since, self.delays.ready);
        let ready = !behaviour.never_ready && now >= ready_at;
        let lasts = if ready || behaviour.never_ready { None } else { until(now, ready_at) };
        Observed { state: State::Running { since, ready }, lasts }
    }

    /// How much longer a pod needs to stop that was asked to at `asked`; none when it is gone.
    pub(crate) fn stopping(&self, asked: Timestamp, now: Timestamp) -> Option<Duration> {
        until(now, after(asked, self.delays.stop))
    }
}

fn after(at: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| at.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

fn until(now: Timestamp, then: Timestamp) -> Option<Duration> {
    let left = then.duration_since(now);
    // A timer that fires a little early must not find the same state again.
    (left > SignedDuration::ZERO).then(|| left.unsigned_abs().max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + ms).expect("in range")
    }

    fn runtime() -> Simulated {
        let ms = Duration::from_millis;
        Simulated { delays: Delays { start: ms(10), ready: ms(20), stop: ms(5), run: ms(30) } }
    }

    #[test]
    fn a_pod_starts_then_becomes_ready() {
        let observe = |now| runtime().observe(at(0), Behaviour::default(), at(now));
        assert_eq!(observe(0), Observed { state: State::Starting, lasts: Some(Duration::from_millis(10)) });
        let running = State::Running { since: at(10), ready: false };
        assert_eq!(observe(10), Observed { state: running, lasts: Some(Duration::from_millis(20)) });
        assert_eq!(
            observe(30),
            Observed { state: State::Running { since: at(10), ready: true }, lasts: None }
        );
    }

    #[test]
    fn a_pod_that_ends_keeps_its_times() {
        let ends = Behaviour { exits: Some(3), never_ready: false };
        let exited = State::Exited { since: at(10), until: at(40), code: 3 };
        assert_eq!(runtime().observe(at(0), ends, at(500)), Observed { state: exited, lasts: None });
    }

    #[test]
    fn stopping_takes_its_time() {
        assert_eq!(runtime().stopping(at(0), at(2)), Some(Duration::from_millis(3)));
        assert_eq!(runtime().stopping(at(0), at(5)), None);
    }
}
