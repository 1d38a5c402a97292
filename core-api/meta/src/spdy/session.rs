//! A connection: its streams, who may open and close them, and what waits to be sent.

use super::{
    Decoder, Encoder, Error, Frame, Headers, MAX_DATA_FRAME, MAX_STREAMS, MAX_UNSENT_REPLIES, Setting,
    frame::{put_data, setting},
    reset,
    window::{ReceiveWindow, SendWindow},
};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// Window that each stream and the connection start with, unless settings say otherwise.
const INITIAL_WINDOW: u32 = 64 << 10;
const MAX_ID: u32 = 0x7fff_ffff;

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sent the HTTP request: its streams have odd ids.
    Client,
    /// Answered it: its streams have even ids.
    Server,
}

/// Whether windows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowControl {
    /// No: as Kubernetes' programs do. Credit that the peer gives is accepted and means nothing.
    Off,
    /// Yes, as the protocol says; both sides must.
    On,
}

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream; it waits for [`Session::reply`].
    Opened {
        /// The stream.
        id: u32,
        /// Its headers.
        headers: Headers,
        /// The peer sends no data on it.
        fin: bool,
    },
    /// The peer accepted a stream.
    Replied {
        /// The stream.
        id: u32,
        /// Its headers.
        headers: Headers,
        /// The peer sends no data on it.
        fin: bool,
    },
    /// Further headers came.
    Headers {
        /// The stream.
        id: u32,
        /// The headers.
        headers: Headers,
        /// The peer sends nothing more.
        fin: bool,
    },
    /// Data came.
    Data {
        /// The stream.
        id: u32,
        /// Bytes.
        data: Bytes,
        /// The peer sends nothing more.
        fin: bool,
    },
    /// The stream is gone: the peer reset it, or it broke the protocol on it.
    Reset {
        /// The stream.
        id: u32,
        /// Why: see [`super::reset`].
        status: u32,
    },
    /// More may be sent on a stream, or on all of them (0).
    Writable(u32),
    /// The peer answered a ping.
    Pong(u32),
    /// The peer takes no further streams.
    GoingAway {
        /// The last stream that it took.
        last: u32,
        /// 0 when all is well.
        status: u32,
    },
}

struct Stream {
    /// This side may send.
    local_open: bool,
    /// The peer may send.
    remote_open: bool,
    replied: bool,
    send: SendWindow,
    receive: ReceiveWindow,
}

/// One side of a connection.
pub struct Session {
    role: Role,
    flow: FlowControl,
    encoder: Encoder,
    decoder: Decoder,
    streams: BTreeMap<u32, Stream>,
    next_id: u32,
    next_ping: u32,
    last_peer_id: u32,
    /// The peer takes no further streams.
    peer_gone: bool,
    /// This side takes none.
    gone: bool,
    peer_streams: usize,
    initial_send: u32,
    send: SendWindow,
    receive: ReceiveWindow,
    output: BytesMut,
}

impl Session {
    /// A connection that was just upgraded.
    pub fn new(role: Role, flow: FlowControl) -> Self {
        let first = if role == Role::Client { 1 } else { 2 };
        Self {
            role,
            flow,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            streams: BTreeMap::new(),
            next_id: first,
            next_ping: first,
            last_peer_id: 0,
            peer_gone: false,
            gone: false,
            peer_streams: MAX_STREAMS,
            initial_send: INITIAL_WINDOW,
            send: SendWindow::new(INITIAL_WINDOW),
            receive: ReceiveWindow::new(INITIAL_WINDOW),
            output: BytesMut::new(),
        }
    }

    /// Takes what came from the front of `input` until something happened; `None` when more bytes are needed. Answers
    /// that the protocol wants are put to the output.
    ///
    /// # Errors
    /// The peer broke the protocol: send the output ([`Session::go_away`] first, if you like) and close.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Error> {
        while let Some(frame) = self.decoder.decode(input)? {
            let event = self.handle(frame)?;
            if self.output.len() > MAX_UNSENT_REPLIES {
                return Err(Error::Unread);
            }
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Opens a stream. With `fin` nothing will be sent on it.
    ///
    /// # Errors
    /// [`Error::NoMoreStreams`].
    pub fn open(&mut self, headers: Headers, fin: bool) -> Result<u32, Error> {
        let id = self.next_id;
        if self.peer_gone || id > MAX_ID || self.own_streams() >= self.peer_streams {
            return Err(Error::NoMoreStreams);
        }
        self.next_id += 2;
        let stream = self.stream(!fin, true, false);
        self.streams.insert(id, stream);
        self.put(&Frame::SynStream { id, associated: 0, priority: 0, fin, unidirectional: false, headers });
        Ok(id)
    }

    /// Accepts a stream that the peer opened. With `fin` nothing will be sent on it.
    ///
    /// # Errors
    /// [`Error::Closed`]: it is gone, or was accepted before.
    pub fn reply(&mut self, id: u32, headers: Headers, fin: bool) -> Result<(), Error> {
        let stream = self.streams.get_mut(&id).filter(|s| !s.replied).ok_or(Error::Closed(id))?;
        stream.replied = true;
        stream.local_open &= !fin;
        self.put(&Frame::SynReply { id, fin, headers });
        self.forget_closed(id);
        Ok(())
    }

    /// Sends from the front of `data` what windows allow, all of it without flow control, and then, if nothing is left,
    /// the end of the stream with `fin`. What is left waits for [`Event::Writable`].
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn send(&mut self, id: u32, data: &mut Bytes, fin: bool) -> Result<(), Error> {
        let stream = self.streams.get_mut(&id).filter(|s| s.local_open).ok_or(Error::Closed(id))?;
        loop {
            let mut size = data.len().min(MAX_DATA_FRAME);
            if self.flow == FlowControl::On {
                size = self.send.allows(stream.send.allows(size));
            }
            let ends = fin && size == data.len();
            if size == 0 && !ends {
                return Ok(());
            }
            let piece = data.split_to(size);
            self.send.sent(size);
            stream.send.sent(size);
            put_data(id, ends, &piece, &mut self.output);
            if ends {
                stream.local_open = false;
                self.forget_closed(id);
                return Ok(());
            }
        }
    }

    /// Notes that data that came was used: the peer may send as much again.
    pub fn consumed(&mut self, id: u32, bytes: usize) {
        if self.flow == FlowControl::Off {
            return;
        }
        if let Some(delta) = self.receive.consumed(bytes) {
            self.put(&Frame::WindowUpdate { id: 0, delta });
        }
        let open = self.streams.get_mut(&id).filter(|s| s.remote_open);
        if let Some(delta) = open.and_then(|s| s.receive.consumed(bytes)) {
            self.put(&Frame::WindowUpdate { id, delta });
        }
    }

    /// Ends a stream at once, in both directions.
    pub fn reset(&mut self, id: u32, status: u32) {
        if self.streams.remove(&id).is_some() {
            self.put(&Frame::Reset { id, status });
        }
    }

    /// Asks the peer for a sign of life and returns the number that [`Event::Pong`] will carry.
    pub fn ping(&mut self) -> u32 {
        let id = self.next_ping;
        self.next_ping = self.next_ping.wrapping_add(2);
        self.put(&Frame::Ping(id));
        id
    }

    /// Tells the peer that no further streams are taken.
    pub fn go_away(&mut self, status: u32) {
        if !std::mem::replace(&mut self.gone, true) {
            self.put(&Frame::GoAway { last: self.last_peer_id, status });
        }
    }

    /// Streams that are open in either direction.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How many bytes wait to be sent.
    pub fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Takes the bytes that wait to be sent.
    pub fn output(&mut self) -> BytesMut {
        self.output.split()
    }

    fn put(&mut self, frame: &Frame) {
        self.encoder.encode(frame, &mut self.output);
    }

    fn stream(&self, local_open: bool, remote_open: bool, replied: bool) -> Stream {
        Stream {
            local_open,
            remote_open,
            replied,
            send: SendWindow::new(self.initial_send),
            receive: ReceiveWindow::new(INITIAL_WINDOW),
        }
    }

    fn own_streams(&self) -> usize {
        self.streams.keys().filter(|&&id| self.is_own(id)).count()
    }

    /// Whether this side gives out such ids.
    fn is_own(&self, id: u32) -> bool {
        (id % 2 == 1) == (self.role == Role::Client)
    }

    /// Whether a stream of this id was ever open.
    fn was_open(&self, id: u32) -> bool {
        if self.is_own(id) { id < self.next_id } else { id <= self.last_peer_id }
    }

    fn forget_closed(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(|s| !s.local_open && !s.remote_open) {
            self.streams.remove(&id);
        }
    }

    /// Resets a stream on which the peer broke the protocol.
    fn fail(&mut self, id: u32, status: u32) -> Option<Event> {
        self.reset(id, status);
        Some(Event::Reset { id, status })
    }

    fn handle(&mut self, frame: Frame) -> Result<Option<Event>, Error> {
        match frame {
            Frame::SynStream { id, fin, unidirectional, headers, .. } => {
                self.opened(id, headers, fin, unidirectional)
            }
            Frame::SynReply { id, fin, headers } => Ok(self.replied(id, headers, fin)),
            Frame::Headers { id, fin, headers } => {
                Ok(self.end(id, fin).then_some(Event::Headers { id, headers, fin }))
            }
            Frame::Data { id, fin, data } => self.data(id, data, fin),
            Frame::Reset { id, status } => Ok(self.streams.remove(&id).map(|_| Event::Reset { id, status })),
            Frame::Settings(settings) => self.settings(&settings),
            Frame::Ping(id) if self.is_own(id) => Ok(Some(Event::Pong(id))),
            Frame::Ping(id) => {
                self.put(&Frame::Ping(id));
                Ok(None)
            }
            Frame::GoAway { last, status } => {
                self.peer_gone = true;
                Ok(Some(Event::GoingAway { last, status }))
            }
            Frame::WindowUpdate { id, delta } => self.window(id, delta),
        }
    }

    fn opened(
        &mut self,
        id: u32,
        headers: Headers,
        fin: bool,
        unidirectional: bool,
    ) -> Result<Option<Event>, Error> {
        if self.is_own(id) || id <= self.last_peer_id {
            return Err(Error::StreamId(id));
        }
        self.last_peer_id = id;
        if self.gone {
            return Ok(None);
        }
        if self.streams.len() - self.own_streams() >= MAX_STREAMS {
            self.put(&Frame::Reset { id, status: reset::REFUSED_STREAM });
            return Ok(None);
        }
        let stream = self.stream(!unidirectional, !fin, false);
        self.streams.insert(id, stream);
        self.forget_closed(id);
        Ok(Some(Event::Opened { id, headers, fin }))
    }

    fn replied(&mut self, id: u32, headers: Headers, fin: bool) -> Option<Event> {
        if !self.is_own(id) {
            return self.streams.contains_key(&id).then(|| self.fail(id, reset::PROTOCOL_ERROR)).flatten();
        }
        let stream = self.streams.get_mut(&id)?;
        if std::mem::replace(&mut stream.replied, true) {
            return self.fail(id, reset::STREAM_IN_USE);
        }
        self.end(id, fin);
        Some(Event::Replied { id, headers, fin })
    }

    /// Closes the peer's half of a stream with `fin`. False when the stream is gone.
    fn end(&mut self, id: u32, fin: bool) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        stream.remote_open &= !fin;
        self.forget_closed(id);
        true
    }

    fn data(&mut self, id: u32, data: Bytes, fin: bool) -> Result<Option<Event>, Error> {
        if self.flow == FlowControl::On && !self.receive.arrived(data.len()) {
            return Err(Error::FlowControl);
        }
        if !self.was_open(id) {
            return Err(Error::StreamId(id));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            // Closed a moment ago: what was under way is dropped, but the connection's window gets it back.
            self.consumed(id, data.len());
            return Ok(None);
        };
        if !stream.remote_open {
            return Ok(self.fail(id, reset::STREAM_ALREADY_CLOSED));
        }
        if self.flow == FlowControl::On && !stream.receive.arrived(data.len()) {
            return Ok(self.fail(id, reset::FLOW_CONTROL_ERROR));
        }
        self.end(id, fin);
        Ok(Some(Event::Data { id, data, fin }))
    }

    fn settings(&mut self, settings: &[Setting]) -> Result<Option<Event>, Error> {
        let mut writable = None;
        for setting in settings {
            match setting.id {
                setting::MAX_CONCURRENT_STREAMS => {
                    self.peer_streams = usize::try_from(setting.value).unwrap_or(usize::MAX).min(MAX_STREAMS);
                }
                setting::INITIAL_WINDOW_SIZE => {
                    let from = std::mem::replace(&mut self.initial_send, setting.value);
                    let mut fits = setting.value <= MAX_ID;
                    for stream in self.streams.values_mut() {
                        fits &= stream.send.shift(from, setting.value);
                    }
                    if self.flow == FlowControl::On && !fits {
                        return Err(Error::FlowControl);
                    }
                    writable = Some(Event::Writable(0));
                }
                _ => {}
            }
        }
        Ok(writable)
    }

    fn window(&mut self, id: u32, delta: u32) -> Result<Option<Event>, Error> {
        if self.flow == FlowControl::Off {
            return Ok(None);
        }
        if delta == 0 {
            return Err(Error::Malformed("WINDOW_UPDATE"));
        }
        if id == 0 {
            return if self.send.grow(delta) {
                Ok(Some(Event::Writable(0)))
            } else {
                Err(Error::FlowControl)
            };
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(None) };
        if !stream.send.grow(delta) {
            return Ok(self.fail(id, reset::FLOW_CONTROL_ERROR));
        }
        Ok(Some(Event::Writable(id)))
    }
}
