//! Drives a SPDY session over a connection.
//!
//! One task reads and writes; [`Connection`] is the handle to it. Invariants: no more than [`FULL`] bytes and what one
//! caller has in hand wait to be written, and nothing is read while [`EVENTS`] events wait to be taken, so a slow side
//! slows the other one down and no two sides wait for each other.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use proa_meta::spdy::{Error, Event, FlowControl, Headers, Role, Session};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::{Notify, mpsc},
};
use tokio_util::task::AbortOnDropHandle;

/// How many bytes may wait before senders do.
const FULL: usize = 256 << 10;
const EVENTS: usize = 8;
const PIECE: usize = 64 << 10;

/// A handle to a connection; the connection ends with it.
pub(in crate::server) struct Connection {
    shared: Arc<Shared>,
    _driver: AbortOnDropHandle<()>,
}

struct Shared {
    session: Mutex<State>,
    /// There is something to write.
    work: Notify,
    /// There is room to send, or never again.
    room: Notify,
}

struct State {
    session: Session,
    /// Nothing more will be sent: close when all is written.
    closing: bool,
    /// The connection is gone.
    gone: bool,
}

/// Starts to speak SPDY. The events end with the connection.
pub(in crate::server) fn start(
    io: impl AsyncRead + AsyncWrite + Send + 'static,
    role: Role,
) -> (Connection, mpsc::Receiver<Event>) {
    // The programs at the other end count no windows.
    let session = Session::new(role, FlowControl::Off);
    let shared = Arc::new(Shared {
        session: Mutex::new(State { session, closing: false, gone: false }),
        work: Notify::new(),
        room: Notify::new(),
    });
    let (sender, events) = mpsc::channel(EVENTS);
    let driver = AbortOnDropHandle::new(tokio::spawn(drive(io, shared.clone(), sender)));
    (Connection { shared, _driver: driver }, events)
}

impl Connection {
    /// Opens a stream.
    pub(in crate::server) fn open(&self, headers: Headers) -> Result<u32, Error> {
        self.act(|session| session.open(headers, false))
    }

    /// Accepts a stream that the peer opened.
    #[cfg(test)]
    pub(in crate::server) fn reply(&self, id: u32) -> Result<(), Error> {
        self.act(|session| session.reply(id, Headers::new(), false))
    }

    /// Sends data and, with `fin`, the end of the stream. Waits while too much is under way.
    pub(in crate::server) async fn send(&self, id: u32, mut data: Bytes, fin: bool) -> Result<(), Error> {
        loop {
            let mut room = std::pin::pin!(self.shared.room.notified());
            // Registered before looking, so that room made in between is not missed.
            room.as_mut().enable();
            if self.try_send(id, &mut data, fin)? {
                return Ok(());
            }
            room.await;
        }
    }

    fn try_send(&self, id: u32, data: &mut Bytes, fin: bool) -> Result<bool, Error> {
        let mut state = self.shared.session.lock();
        if state.gone {
            return Err(Error::Closed(id));
        }
        if state.session.unsent() > FULL {
            return Ok(false);
        }
        state.session.send(id, data, fin)?;
        self.shared.work.notify_one();
        Ok(data.is_empty())
    }

    /// Says goodbye, then closes when all is written.
    #[cfg(test)]
    pub(in crate::server) fn close(&self) {
        let mut state = self.shared.session.lock();
        state.session.go_away(0);
        state.closing = true;
        self.shared.work.notify_one();
    }

    fn act<T>(&self, action: impl FnOnce(&mut Session) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.shared.session.lock();
        if state.gone {
            return Err(Error::NoMoreStreams);
        }
        let outcome = action(&mut state.session);
        self.shared.work.notify_one();
        outcome
    }
}

async fn drive(io: impl AsyncRead + AsyncWrite + Send, shared: Arc<Shared>, events: mpsc::Sender<Event>) {
    let (reader, writer) = split(io);
    let outcome = tokio::select! {
        outcome = read(reader, &shared, &events) => outcome,
        outcome = write(writer, &shared) => outcome,
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a SPDY connection ended early");
    }
    shared.session.lock().gone = true;
    shared.room.notify_waiters();
}

/// Reads until the end. Whoever takes the events sets the pace.
async fn read(
    mut reader: impl AsyncRead + Unpin,
    shared: &Shared,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(PIECE);
    loop {
        let next = shared.session.lock().session.receive(&mut input).map_err(io::Error::other)?;
        if shared.session.lock().session.unsent() > 0 {
            shared.work.notify_one();
        }
        match next {
            Some(event) => {
                if events.send(event).await.is_err() {
                    return Ok(());
                }
            }
            None => {
                input.reserve(PIECE);
                if reader.read_buf(&mut input).await? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    loop {
        let (output, closing) = {
            let mut state = shared.session.lock();
            (state.session.output(), state.closing)
        };
        if output.is_empty() && closing {
            return writer.shutdown().await;
        }
        if output.is_empty() {
            shared.work.notified().await;
            continue;
        }
        shared.room.notify_waiters();
        writer.write_all(&output).await?;
        writer.flush().await?;
    }
}
