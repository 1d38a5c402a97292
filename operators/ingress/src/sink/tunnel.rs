//! Connections that no longer speak HTTP: bytes go both ways.
//!
//! A tunnel counts as a connection of its port until it ends. It ends when nothing has moved either way for as long as an
//! answer may stand still, soon after one side has said that it sends no more, and when its port is given back.
//! Upstream: nginx `ngx_http_upstream_process_upgraded`, which does not wait for the other side.

use super::{
    body::Progress,
    endpoint::Lease,
    listener::{DRAIN, LINGER},
    workers::Place,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// Bytes that are on their way at once in one direction.
const BUFFER: usize = 16 << 10;

/// What bounds everything that goes on on one connection.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The thread that it is served on.
    pub(super) place: Place,
    /// Its place among the connections of its port.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
    /// Its port is being given back.
    pub(crate) closing: CancellationToken,
}

/// Passes bytes on both ways within the bounds.
pub(crate) async fn tunnel(
    client: OnUpgrade,
    backend: OnUpgrade,
    lease: Lease,
    bounds: Arc<Bounds>,
    patience: Duration,
) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok((client, backend)) => (TokioIo::new(client), TokioIo::new(backend)),
        Err(error) => return tracing::debug!(%error, "a connection did not change its protocol"),
    };
    let progress = Progress::new();
    tokio::select! {
        passed = both(client, backend, &progress) => {
            if let Err(error) = passed {
                tracing::debug!(%error, "a tunnel broke");
            }
        }
        () = stands_still(&progress, patience) => tracing::debug!("a tunnel stands still"),
        () = closed(&bounds.closing) => {}
    }
    drop((lease, bounds));
}

async fn both<S>(client: S, backend: S, progress: &Progress) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_backend, to_backend) = tokio::io::split(backend);
    let mut up = pin!(pass(from_client, to_backend, progress));
    let mut down = pin!(pass(from_backend, to_client, progress));
    // Who has heard that there is no more may have a last word.
    let last = tokio::select! {
        passed = &mut up => { passed?; timeout(LINGER, down).await }
        passed = &mut down => { passed?; timeout(LINGER, up).await }
    };
    last.unwrap_or(Ok(()))
}

/// One direction, up to its end, which is passed on.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    progress: &Progress,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let size = from.read(&mut buffer).await?;
        progress.moved();
        if size == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..size]).await?;
        to.flush().await?;
        progress.moved();
    }
}

async fn stands_still(progress: &Progress, patience: Duration) {
    loop {
        let until = progress.last() + patience;
        sleep_until(until).await;
        if progress.last() + patience <= until {
            return;
        }
    }
}

async fn closed(closing: &CancellationToken) {
    closing.cancelled().await;
    sleep(DRAIN).await;
}
