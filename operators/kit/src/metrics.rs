//! Counters of reconciles, as text that Prometheus reads.
//!
//! Names follow controller-runtime, so that known dashboards work.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Counters of a process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, Arc<Counters>>>>);

/// Counters of one operator.
#[derive(Debug, Default)]
pub struct Counters {
    success: AtomicU64,
    requeue: AtomicU64,
    error: AtomicU64,
    nanos: AtomicU64,
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more to do until something changes.
    Success,
    /// To be looked at again at a set time.
    Requeue,
    /// Failed.
    Error,
}

impl Counters {
    /// Counts one reconcile.
    pub fn count(&self, outcome: Outcome, took: Duration) {
        let counter = match outcome {
            Outcome::Success => &self.success,
            Outcome::Requeue => &self.requeue,
            Outcome::Error => &self.error,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    /// Reconciles so far.
    pub fn total(&self) -> u64 {
        [&self.success, &self.requeue, &self.error].iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }
}

impl Metrics {
    /// Counters of an operator.
    pub fn of(&self, operator: &'static str) -> Arc<Counters> {
        self.0.lock().entry(operator).or_default().clone()
    }
    /// All counters in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut out = String::from("# TYPE controller_runtime_reconcile_total counter\n");
        let operators = self.0.lock();
        for (name, counters) in operators.iter() {
            for (result, counter) in [
                ("success", &counters.success),
                ("requeue_after", &counters.requeue),
                ("error", &counters.error),
            ] {
                let value = counter.load(Ordering::Relaxed);
                // Writing to a string cannot fail.
                let _ = writeln!(
                    out,
                    "controller_runtime_reconcile_total{{controller=\"{name}\",result=\"{result}\"}} {value}"
                );
            }
        }
        out.push_str("# TYPE controller_runtime_reconcile_time_seconds summary\n");
        for (name, counters) in operators.iter() {
            let seconds = Duration::from_nanos(counters.nanos.load(Ordering::Relaxed)).as_secs_f64();
            let _ = writeln!(
                out,
                "controller_runtime_reconcile_time_seconds_sum{{controller=\"{name}\"}} {seconds}\n\
                 controller_runtime_reconcile_time_seconds_count{{controller=\"{name}\"}} {}",
                counters.total()
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_appear_by_operator_and_result() {
        let metrics = Metrics::default();
        metrics.of("a").count(Outcome::Success, Duration::from_millis(500));
        metrics.of("a").count(Outcome::Error, Duration::from_millis(500));
        let text = metrics.text();
        assert!(
            text.contains("controller_runtime_reconcile_total{controller=\"a\",result=\"error\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("controller_runtime_reconcile_time_seconds_sum{controller=\"a\"} 1\n"),
            "{text}"
        );
    }
}
