//! Bodies on their way through: never gathered, counted where there is a limit, and cut off when they stand still.

use super::endpoint::Held;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Why a body ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// More than the limit.
    TooLarge,
    /// Nothing came for too long.
    Silent,
    /// The connection.
    Connection(hyper::Error),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("body is too large"),
            Self::Silent => f.write_str("body stands still"),
            Self::Connection(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}

/// How far a body, or what goes through a tunnel, has come.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    /// Milliseconds after the start at which something last came.
    last: AtomicU64,
    is_too_large: AtomicBool,
}

impl Progress {
    /// Nothing came yet.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), last: AtomicU64::new(0), is_too_large: AtomicBool::new(false) }
    }
    /// Something came.
    pub(crate) fn moved(&self) {
        let after = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(after, Ordering::Relaxed);
    }
    /// When something last came.
    pub(crate) fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
    /// Whether the body was larger than its limit.
    pub(crate) fn is_too_large(&self) -> bool {
        self.is_too_large.load(Ordering::Relaxed)
    }
}

/// The body of a request on its way to a backend.
#[derive(Debug)]
pub(crate) enum Upload {
    /// There is none.
    Nothing,
    /// One that comes from the client.
    Client {
        /// Where from.
        incoming: Incoming,
        /// Bytes that may still come.
        left: Option<u64>,
        /// How far it is.
        progress: Arc<Progress>,
    },
}

impl Upload {
    /// A client's body with a limit.
    pub(crate) fn new(incoming: Incoming, limit: Option<u64>) -> Self {
        if incoming.is_end_stream() {
            return Self::Nothing;
        }
        Self::Client { incoming, left: limit, progress: Arc::new(Progress::new()) }
    }
    /// How far it is.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Nothing => None,
            Self::Client { progress, .. } => Some(progress.clone()),
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self::Client { incoming, left, progress } = self.get_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(context));
        progress.moved();
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(Broken::Connection(error)))),
            None => return Poll::Ready(None),
        };
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(left) = left {
            let Some(rest) = left.checked_sub(size) else {
                progress.is_too_large.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(Broken::TooLarge)));
            };
            *left = rest;
        }
        Poll::Ready(Some(Ok(frame)))
    }
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Client { incoming, .. } => incoming.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Client { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Made here.
    Own(Full<Bytes>),
    /// None.
    Nothing(Empty<Bytes>),
    /// A backend's.
    Backend(Box<Download>),
}

/// A backend's body on its way to the client. Its connection is kept for others once it came to its end.
#[derive(Debug)]
pub(crate) struct Download {
    incoming: Incoming,
    held: Option<Held>,
    patience: Duration,
    /// Only while nothing comes.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Download {
    /// A body, the connection that it comes from, and how long it may stand still.
    pub(crate) fn new(incoming: Incoming, held: Held, patience: Duration) -> Self {
        let mut download = Self { incoming, held: Some(held), patience, waiting: None };
        download.give_back_at_end();
        download
    }
    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }
    fn give_back(&mut self) {
        if let Some(held) = self.held.take() {
            held.keep();
        }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = None;
                this.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Broken::Connection(error)))),
            Poll::Ready(None) => {
                this.give_back();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let patience = this.patience;
                let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                ready!(waiting.as_mut().poll(context));
                Poll::Ready(Some(Err(Broken::Silent)))
            }
        }
    }
    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Nothing(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Backend(body) => Pin::new(&mut **body).poll_frame(context),
        }
    }
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Nothing(body) => body.is_end_stream(),
            Self::Backend(body) => body.is_end_stream(),
        }
    }
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => HttpBody::size_hint(body),
            Self::Nothing(body) => HttpBody::size_hint(body),
            Self::Backend(body) => body.size_hint(),
        }
    }
}
