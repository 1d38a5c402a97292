//! Two connections as one.

use bytes::BytesMut;
use futures::future::{Either, select};
use std::{io, pin::pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::timeout,
};

const PIECE: usize = 64 << 10;
/// How long the other direction may go on after one has ended.
const GRACE: Duration = Duration::from_secs(5);

/// Copies in both directions until one side ends; what the other one has under way still passes.
pub(super) async fn splice(
    one: impl AsyncRead + AsyncWrite + Send,
    other: impl AsyncRead + AsyncWrite + Send,
) {
    let ((from_one, to_one), (from_other, to_other)) = (split(one), split(other));
    let there = pin!(pump(from_one, to_other));
    let back = pin!(pump(from_other, to_one));
    // How the rest ends does not matter: both sides know by now.
    let _ = match select(there, back).await {
        Either::Left((_, back)) => timeout(GRACE, back).await,
        Either::Right((_, there)) => timeout(GRACE, there).await,
    };
}

/// Copies until the end, or until a side breaks, and passes that on, too.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut piece = BytesMut::with_capacity(PIECE);
    while from.read_buf(&mut piece).await.is_ok_and(|read| read > 0) {
        to.write_all(&piece).await?;
        to.flush().await?;
        piece.clear();
    }
    to.shutdown().await
}
