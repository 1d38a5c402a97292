//! What came of a step, taken into the worker's memory.

use super::{
    Worker,
    jobs::{Done, doubled},
};
use crate::{
    act::{Outcome, StartError},
    build,
    images::ImageError,
    plan::{
        containers,
        memory::{Failure, Ground, Hook, Image, Job},
        resize,
    },
    volumes::{FAILED_MOUNT, Mounted},
};
use jiff::{SignedDuration, Timestamp};
use proa_runtime_shim::Runtime;
use std::sync::Arc;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// Pauses of volumes: first and longest. Upstream: pkg/util/goroutinemap/exponentialbackoff.
const MOUNT: (SignedDuration, SignedDuration) =
    (SignedDuration::from_millis(500), SignedDuration::from_secs(122));
/// Pauses of sandboxes and containers that cannot be made.
const MAKE: (SignedDuration, SignedDuration) = (SECOND, SignedDuration::from_secs(10));
/// Pauses of pulls.
const PULL: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(10), SignedDuration::from_secs(300));
/// How long a failed pull is shown as such before it is shown as backing off.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// How long a deletion that was accepted may take to be seen.
const DELETION: SignedDuration = SignedDuration::from_secs(60);

impl<R: Runtime> Worker<R> {
    /// Takes in what came of a job; nothing of one that was aborted.
    pub(super) fn finish(&mut self, finished: Option<(Job, Done)>) {
        let Some((job, done)) = finished else { return };
        let now = self.shop.node.clock.now();
        match done {
            Done::Report(result) => self.reported(result, now),
            Done::Step(outcome) => self.take_outcome(job, outcome, now),
        }
    }
    fn take_outcome(&mut self, job: Job, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Prepared(result) => self.prepared(result, now),
            Outcome::Sandboxed(result) => {
                self.is_stale = true;
                let times = self.memory.sandbox.as_ref().map_or(0, |failure| failure.times);
                let reason = build::FAILED_CREATE_SANDBOX;
                self.memory.sandbox = result.err().map(|message| failure(reason, message, times, MAKE, now));
            }
            Outcome::Imaged { container, result } => self.imaged(container, result, now),
            Outcome::Started { container, result } => self.started(container, result, now),
            Outcome::Resized(result) => self.resized(result, now),
            Outcome::PostStarted { container, id, result } => self.post_started(container, id, result, now),
            Outcome::PreStopped { id } => {
                if let Some(stopping) = self.memory.stopping.get_mut(&id) {
                    stopping.pre_stopped = true;
                }
            }
            Outcome::Changed(result) => {
                self.is_stale = true;
                self.settle(job, result, now);
            }
            Outcome::Released(result) => self.released(result, now),
            Outcome::Deleted(Ok(())) => self.jobs.rest(job, now + DELETION),
            Outcome::Deleted(result) => self.settle(job, result, now),
        }
    }
    fn settle(&mut self, job: Job, result: Result<(), String>, now: Timestamp) {
        match result {
            Ok(()) => self.jobs.succeeded(&job),
            Err(error) => {
                tracing::warn!(
                    pod = build::display(&self.pod),
                    ?job,
                    error,
                    "step failed; it is tried again"
                );
                self.jobs.failed(job, now);
            }
        }
    }
    fn prepared(&mut self, result: Result<Mounted, String>, now: Timestamp) {
        let times = match &self.memory.ground {
            Ground::Failed(failure) => failure.times,
            _ => 0,
        };
        let unmet = match result {
            Ok(mounted) => {
                self.memory.cgroup = self.preparing.take().or(self.memory.cgroup);
                let unmet: Vec<String> = mounted.unmet.iter().map(|unmet| unmet.message.clone()).collect();
                self.mounted = Arc::new(mounted);
                unmet
            }
            Err(message) => vec![message],
        };
        self.memory.ground = if unmet.is_empty() {
            Ground::Ready
        } else {
            Ground::Failed(failure(FAILED_MOUNT, unmet.join("; "), times, MOUNT, now))
        };
    }
    fn imaged(
        &mut self,
        container: String,
        result: Result<proa_runtime_shim::Image, ImageError>,
        now: Timestamp,
    ) {
        let times = match self.memory.images.get(&container) {
            Some(Image::Failed { failure, .. }) => failure.times,
            _ => 0,
        };
        match result {
            Ok(image) => self.keep_image(container, image),
            Err(ImageError { reason, message }) => {
                let failure = failure(reason, message, times, PULL, now);
                self.memory.images.insert(container, Image::Failed { failure, fresh: now + FRESH });
            }
        }
    }
    fn started(&mut self, container: String, result: Result<String, StartError>, now: Timestamp) {
        self.is_stale = true;
        // The next start looks for the image again, as its policy says.
        self.memory.images.remove(&container);
        self.images.remove(&container);
        match result {
            Ok(id) => {
                self.memory.failures.remove(&container);
                if let Some(given) = self.giving.remove(&container) {
                    self.memory.given.insert(id.clone(), given);
                }
                let hook = containers::find(&self.pod, &container).and_then(containers::Spec::post_start);
                if hook.is_some() {
                    self.memory.post_starts.insert(id, Hook::Wanted);
                }
            }
            Err(StartError { reason, message }) => self.fail(container, reason, message, now),
        }
    }
    fn fail(&mut self, container: String, reason: &str, message: String, now: Timestamp) {
        let times = self.memory.failures.get(&container).map_or(0, |failure| failure.times);
        self.memory.failures.insert(container, failure(reason, message, times, MAKE, now));
    }
    fn resized(&mut self, result: Result<(), String>, now: Timestamp) {
        let error = result.as_ref().err().cloned();
        if let Some(message) = error.as_ref().filter(|_| error != self.memory.resize_error) {
            self.teller.warn_pod("ResizeError", &resize::message("error", &self.pod, message));
        }
        if error.is_none()
            && let Some(given) = self.resizing.take()
        {
            self.memory.cgroup = Some(given.limits);
            self.memory.given_pod = Some(given.pod);
            self.memory.given.extend(given.containers);
        }
        self.memory.resize_error = error;
        self.settle(Job::Resize, result, now);
    }
    fn post_started(&mut self, container: String, id: String, result: Result<(), String>, now: Timestamp) {
        match result {
            Ok(()) => drop(self.memory.post_starts.remove(&id)),
            Err(message) => {
                self.memory.post_starts.insert(id, Hook::Failed(message.clone()));
                self.fail(container, "PostStartHookError", message, now);
            }
        }
    }
    fn released(&mut self, result: Result<(), String>, now: Timestamp) {
        let times = match &self.memory.ground {
            Ground::ReleaseFailed(failure) => failure.times,
            _ => 0,
        };
        self.memory.ground = match result {
            Ok(()) => Ground::Released,
            Err(message) => {
                tracing::warn!(
                    pod = build::display(&self.pod),
                    error = message,
                    "pod is not cleared away yet"
                );
                Ground::ReleaseFailed(failure("FailedRelease", message, times, MAKE, now))
            }
        };
    }
}

fn failure(
    reason: &str,
    message: String,
    times: u32,
    (first, longest): (SignedDuration, SignedDuration),
    now: Timestamp,
) -> Failure {
    let retry = now + doubled(first, times, longest);
    Failure { reason: reason.to_owned(), message, retry, times: times + 1 }
}
