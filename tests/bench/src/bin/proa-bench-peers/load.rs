//! Many clients at once, each sending one request after the other, and how long each answer took.

use crate::client::{Call, Connection, Endpoint};
use anyhow::{Result, anyhow};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) answers: usize,
    pub(crate) failed: usize,
    /// Why the first that failed did.
    pub(crate) reason: Option<String>,
}

/// When clients stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time; what is under way then is finished and counted.
    Time(Duration),
    /// When this many requests were sent.
    Count(u64),
}

/// A client gives up after so many failures: on a connection that is gone they come at once, and without end.
const MOST_FAILURES: usize = 100;

/// Clients with connections of their own, used again for each measurement.
pub(crate) struct Clients(Vec<Connection>);

impl Clients {
    pub(crate) async fn connect(endpoint: &Endpoint, count: usize) -> Result<Self> {
        Ok(Self(endpoint.connections(count).await?))
    }
    /// Lets the first `clients` of them send what `make` makes of numbers that never repeat.
    ///
    /// # Errors
    /// When no request succeeded.
    pub(crate) async fn run(
        &mut self,
        clients: usize,
        until: Until,
        next: &Arc<AtomicU64>,
        make: impl Fn(u64) -> Call + Clone + Send + 'static,
    ) -> Result<Seen> {
        let begun = Instant::now();
        let first = next.load(Ordering::Relaxed);
        let mut tasks = JoinSet::new();
        for connection in self.0.drain(..clients) {
            tasks.spawn(client(connection, until, begun, first, Arc::clone(next), make.clone()));
        }
        let mut own = Vec::new();
        while let Some(one) = tasks.join_next().await {
            own.push(one?);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (mut micros, mut failed, mut reason) = (Vec::new(), 0, None);
        for mut one in own {
            micros.append(&mut one.micros);
            failed += one.failed;
            reason = reason.or(one.reason);
            self.0.push(one.connection);
        }
        if micros.is_empty() {
            let reason = reason.unwrap_or_else(|| "no request was sent".to_owned());
            return Err(anyhow!("all {failed} requests failed: {reason}"));
        }
        micros.sort_unstable();
        Ok(Seen {
            per_second: micros.len() as f64 / seconds,
            p50_ms: percentile(&micros, 50),
            p99_ms: percentile(&micros, 99),
            answers: micros.len(),
            failed,
            reason,
        })
    }
}

struct Own {
    connection: Connection,
    micros: Vec<u64>,
    failed: usize,
    reason: Option<String>,
}

async fn client(
    connection: Connection,
    until: Until,
    begun: Instant,
    first: u64,
    next: Arc<AtomicU64>,
    make: impl Fn(u64) -> Call,
) -> Own {
    let mut own = Own { connection, micros: Vec::new(), failed: 0, reason: None };
    loop {
        if let Until::Time(time) = until
            && begun.elapsed() >= time
        {
            return own;
        }
        let number = next.fetch_add(1, Ordering::Relaxed);
        if let Until::Count(count) = until
            && number >= first + count
        {
            return own;
        }
        let call = make(number);
        let sent = Instant::now();
        match own.connection.send(&call).await {
            Ok(()) => own.micros.push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX)),
            Err(error) => {
                own.failed += 1;
                own.reason.get_or_insert_with(|| format!("{error:#}"));
                if own.failed >= MOST_FAILURES {
                    return own;
                }
            }
        }
    }
}

/// The value in milliseconds below which this share of sorted microseconds lies.
pub(crate) fn percentile(sorted_micros: &[u64], percent: usize) -> f64 {
    let at = (sorted_micros.len() * percent / 100).min(sorted_micros.len().saturating_sub(1));
    sorted_micros.get(at).map_or(f64::NAN, |micros| *micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let seen: Vec<u64> = (1..=200).map(|n| n * 1000).collect();
        assert!((percentile(&seen, 50) - 101.0).abs() < 1e-9);
        assert!((percentile(&seen, 99) - 199.0).abs() < 1e-9);
        assert!((percentile(&[7000], 99) - 7.0).abs() < 1e-9);
        assert!(percentile(&[], 50).is_nan());
    }
}
