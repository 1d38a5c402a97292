//! How many requests are answered at once.
//!
//! Reading and writing requests have seats of their own; who finds none waits in order, and a full queue is 429.
//! Watches and streams need no seat; members of `system:masters` always find one. Upstream: apiserver
//! `pkg/server/filters/{maxinflight,priority-and-fairness}.go`, reduced to one priority level each.

use crate::{
    api::{Limits, Server},
    request_info::RequestInfo,
};
use proa_meta::{ApiError, ApiResult, Reason, User, identity};
use prometheus_client::metrics::gauge::Gauge;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests that may wait per seat.
const QUEUE_PER_SEAT: usize = 16;

/// Seats of a server.
pub(crate) struct Fairness {
    read: Level,
    write: Level,
}

struct Level {
    seats: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
}

/// Held while a request is answered.
pub(crate) struct Seat<'a> {
    _permit: Option<SemaphorePermit<'a>>,
    gauge: Option<Gauge>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.dec();
        }
    }
}

impl Fairness {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { read: Level::new(limits.read_in_flight), write: Level::new(limits.write_in_flight) }
    }

    pub(super) async fn enter<'a>(
        &'a self,
        server: &Server,
        info: &RequestInfo,
        user: &User,
    ) -> ApiResult<Seat<'a>> {
        if info.is_long_running() {
            return Ok(Seat { _permit: None, gauge: None });
        }
        let mutating = !info.is_read_only();
        let level = if mutating { &self.write } else { &self.read };
        let permit = level.take(user.in_group(identity::MASTERS)).await?;
        let gauge = server.metrics.in_flight(mutating);
        gauge.inc();
        Ok(Seat { _permit: permit, gauge: Some(gauge) })
    }
}

impl Level {
    fn new(seats: usize) -> Self {
        Self { seats: Semaphore::new(seats), waiting: AtomicUsize::new(0), queue: seats * QUEUE_PER_SEAT }
    }

    async fn take(&self, exempt: bool) -> ApiResult<Option<SemaphorePermit<'_>>> {
        if let Ok(permit) = self.seats.try_acquire() {
            return Ok(Some(permit));
        }
        if exempt {
            return Ok(None);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many());
        }
        let _waiting = Waiting(&self.waiting);
        // The semaphore is never closed.
        Ok(self.seats.acquire().await.ok())
    }
}

/// Leaves the queue, also when the request is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn too_many() -> ApiError {
    ApiError::new(Reason::TooManyRequests, "Too many requests, please try again later.").with_retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, pin_mut};

    #[test]
    fn a_full_queue_is_refused_and_masters_pass() {
        let level = Level::new(1);
        let first = level.take(false).now_or_never().unwrap().unwrap();
        assert!(first.is_some());
        let waiting: Vec<_> = (0..QUEUE_PER_SEAT)
            .map(|_| {
                let mut wait = Box::pin(level.take(false));
                assert!(wait.as_mut().now_or_never().is_none());
                wait
            })
            .collect();
        let error = level.take(false).now_or_never().unwrap().err().unwrap();
        assert_eq!((error.code(), error.details().unwrap().retry_after_seconds), (429, 1));
        assert!(level.take(true).now_or_never().unwrap().unwrap().is_none());
        drop(waiting);
        let next = level.take(false);
        pin_mut!(next);
        assert!(next.as_mut().now_or_never().is_none());
        drop(first);
        assert!(next.now_or_never().unwrap().unwrap().is_some());
    }
}
