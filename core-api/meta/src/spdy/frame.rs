//! Frames and their bytes.

use super::{
    Error, MAX_CONTROL_FRAME,
    headers::{Deflater, Headers, Inflater},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;
/// The 31 bits of a stream id.
const ID: u32 = 0x7fff_ffff;
/// The 24 bits of a length.
const LENGTH: u32 = 0x00ff_ffff;
const HEAD: usize = 8;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// One setting of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Persist, or persisted.
    pub flags: u8,
    /// Which one.
    pub id: u32,
    /// Value.
    pub value: u32,
}

/// Ids of settings that mean something here.
pub(super) mod setting {
    pub(in crate::spdy) const MAX_CONCURRENT_STREAMS: u32 = 4;
    pub(in crate::spdy) const INITIAL_WINDOW_SIZE: u32 = 7;
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// The stream.
        id: u32,
        /// The stream that it belongs to, or 0.
        associated: u32,
        /// 0 (highest) to 7.
        priority: u8,
        /// The sender sends no data.
        fin: bool,
        /// The receiver sends no data.
        unidirectional: bool,
        /// Headers.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// The stream.
        id: u32,
        /// The sender sends no data.
        fin: bool,
        /// Headers.
        headers: Headers,
    },
    /// Ends a stream at once.
    Reset {
        /// The stream.
        id: u32,
        /// Why: see [`super::reset`].
        status: u32,
    },
    /// Settings.
    Settings(Vec<Setting>),
    /// Asks for, or is, an answer.
    Ping(u32),
    /// The sender takes no further streams.
    GoAway {
        /// The last stream that it took.
        last: u32,
        /// 0 when all is well.
        status: u32,
    },
    /// More headers.
    Headers {
        /// The stream.
        id: u32,
        /// The sender sends nothing more.
        fin: bool,
        /// Headers.
        headers: Headers,
    },
    /// More may be sent.
    WindowUpdate {
        /// The stream, or 0 for the connection.
        id: u32,
        /// Bytes.
        delta: u32,
    },
    /// Data, or a piece of it.
    Data {
        /// The stream.
        id: u32,
        /// The sender sends nothing more; only with the last piece.
        fin: bool,
        /// Bytes.
        data: Bytes,
    },
}

/// Writes frames. One per connection and direction, for compression has memory.
pub struct Encoder {
    deflater: Deflater,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { deflater: Deflater::new() }
    }
}

impl Encoder {
    /// Appends the bytes of `frame` to `out`. Data must be shorter than 16 MiB.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::SynStream { id, associated, priority, fin, unidirectional, headers } => {
                let flags = flag(*fin, FIN) | flag(*unidirectional, UNIDIRECTIONAL);
                self.with_headers(SYN_STREAM, flags, headers, out, |out| {
                    out.put_u32(id & ID);
                    out.put_u32(associated & ID);
                    out.put_u8(priority << 5);
                    out.put_u8(0);
                });
            }
            Frame::SynReply { id, fin, headers } => {
                self.with_headers(SYN_REPLY, flag(*fin, FIN), headers, out, |out| out.put_u32(id & ID));
            }
            Frame::Headers { id, fin, headers } => {
                self.with_headers(HEADERS, flag(*fin, FIN), headers, out, |out| out.put_u32(id & ID));
            }
            Frame::Reset { id, status } => words(RST_STREAM, &[id & ID, *status], out),
            Frame::Settings(settings) => put_settings(settings, out),
            Frame::Ping(id) => words(PING, &[*id], out),
            Frame::GoAway { last, status } => words(GOAWAY, &[last & ID, *status], out),
            Frame::WindowUpdate { id, delta } => words(WINDOW_UPDATE, &[id & ID, delta & ID], out),
            Frame::Data { id, fin, data } => put_data(*id, *fin, data, out),
        }
    }

    fn with_headers(
        &mut self,
        kind: u16,
        flags: u8,
        headers: &Headers,
        out: &mut BytesMut,
        fields: impl FnOnce(&mut BytesMut),
    ) {
        let start = out.len();
        control(kind, flags, 0, out);
        fields(out);
        self.deflater.put(headers, out);
        // The length is known only after compression.
        let length = u32::try_from(out.len() - start - HEAD).unwrap_or(LENGTH) & LENGTH;
        let word = u32::from(flags) << 24 | length;
        out[start + 4..start + HEAD].copy_from_slice(&word.to_be_bytes());
    }
}

const fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn control(kind: u16, flags: u8, length: usize, out: &mut BytesMut) {
    out.put_u16(CONTROL | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | u32::try_from(length).unwrap_or(LENGTH) & LENGTH);
}

fn words(kind: u16, words: &[u32], out: &mut BytesMut) {
    control(kind, 0, 4 * words.len(), out);
    words.iter().for_each(|&word| out.put_u32(word));
}

fn put_settings(settings: &[Setting], out: &mut BytesMut) {
    control(SETTINGS, 0, 4 + 8 * settings.len(), out);
    out.put_u32(u32::try_from(settings.len()).unwrap_or(u32::MAX));
    for setting in settings {
        out.put_u32(u32::from(setting.flags) << 24 | setting.id & LENGTH);
        out.put_u32(setting.value);
    }
}

pub(super) fn put_data(id: u32, fin: bool, data: &[u8], out: &mut BytesMut) {
    out.reserve(HEAD + data.len());
    out.put_u32(id & ID);
    out.put_u32(u32::from(flag(fin, FIN)) << 24 | u32::try_from(data.len()).unwrap_or(LENGTH) & LENGTH);
    out.put_slice(data);
}

/// Reads frames. One per connection and direction.
pub struct Decoder {
    inflater: Inflater,
    /// The data frame that is being handed on: stream, whether it ends it, bytes to come.
    data: Option<(u32, bool, usize)>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { inflater: Inflater::new(), data: None }
    }
}

impl Decoder {
    /// Takes the next frame, or the next piece of a data frame, from the front of `input`; `None` when more bytes are
    /// needed first. Frames of types that the protocol does not know are skipped.
    ///
    /// # Errors
    /// What cannot be SPDY/3. The connection is of no use afterwards.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Error> {
        loop {
            if let Some((id, fin, left)) = self.data {
                return Ok(self.piece(id, fin, left, input));
            }
            let Some((first, second)) = head(input) else { return Ok(None) };
            let (flags, length) = ((second >> 24) as u8, (second & LENGTH) as usize);
            if first >> 31 == 0 {
                input.advance(HEAD);
                if first == 0 {
                    return Err(Error::StreamId(0));
                }
                self.data = Some((first, flags & FIN != 0, length));
                continue;
            }
            let (version, kind) = ((first >> 16) as u16 & !CONTROL, first as u16);
            if version != VERSION {
                return Err(Error::Version(version));
            }
            if length > MAX_CONTROL_FRAME {
                return Err(Error::FrameTooLarge(length));
            }
            if input.len() < HEAD + length {
                return Ok(None);
            }
            input.advance(HEAD);
            let payload = input.split_to(length);
            if let Some(frame) = self.control(kind, flags, &payload)? {
                return Ok(Some(frame));
            }
        }
    }

    fn piece(&mut self, id: u32, fin: bool, left: usize, input: &mut BytesMut) -> Option<Frame> {
        if input.is_empty() && left > 0 {
            return None;
        }
        let data = input.split_to(left.min(input.len())).freeze();
        let left = left - data.len();
        self.data = (left > 0).then_some((id, fin, left));
        Some(Frame::Data { id, fin: fin && left == 0, data })
    }

    fn control(&mut self, kind: u16, flags: u8, payload: &[u8]) -> Result<Option<Frame>, Error> {
        let fin = flags & FIN != 0;
        let frame = match kind {
            SYN_STREAM => self.syn_stream(flags, payload)?,
            SYN_REPLY => {
                let (id, headers) = self.id_and_headers("SYN_REPLY", payload)?;
                Frame::SynReply { id, fin, headers }
            }
            HEADERS => {
                let (id, headers) = self.id_and_headers("HEADERS", payload)?;
                Frame::Headers { id, fin, headers }
            }
            RST_STREAM => {
                let [id, status] = fixed("RST_STREAM", payload)?;
                Frame::Reset { id: nonzero(id & ID)?, status }
            }
            SETTINGS => Frame::Settings(settings(payload).ok_or(Error::Malformed("SETTINGS"))?),
            PING => {
                let [id] = fixed("PING", payload)?;
                Frame::Ping(id)
            }
            GOAWAY => {
                let [last, status] = fixed("GOAWAY", payload)?;
                Frame::GoAway { last: last & ID, status }
            }
            WINDOW_UPDATE => {
                let [id, delta] = fixed("WINDOW_UPDATE", payload)?;
                Frame::WindowUpdate { id: id & ID, delta: delta & ID }
            }
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }

    fn syn_stream(&mut self, flags: u8, mut payload: &[u8]) -> Result<Frame, Error> {
        const WHAT: Error = Error::Malformed("SYN_STREAM");
        let id = nonzero(payload.try_get_u32().map_err(|_| WHAT)? & ID)?;
        let associated = payload.try_get_u32().map_err(|_| WHAT)? & ID;
        let priority = payload.try_get_u8().map_err(|_| WHAT)? >> 5;
        payload.try_get_u8().map_err(|_| WHAT)?;
        let (fin, unidirectional) = (flags & FIN != 0, flags & UNIDIRECTIONAL != 0);
        let headers = self.inflater.read(payload)?;
        Ok(Frame::SynStream { id, associated, priority, fin, unidirectional, headers })
    }

    fn id_and_headers(&mut self, what: &'static str, mut payload: &[u8]) -> Result<(u32, Headers), Error> {
        let id = payload.try_get_u32().map_err(|_| Error::Malformed(what))? & ID;
        Ok((nonzero(id)?, self.inflater.read(payload)?))
    }
}

fn head(input: &[u8]) -> Option<(u32, u32)> {
    let mut head = input.get(..HEAD)?;
    Some((head.get_u32(), head.get_u32()))
}

fn nonzero(id: u32) -> Result<u32, Error> {
    if id == 0 { Err(Error::StreamId(0)) } else { Ok(id) }
}

fn fixed<const N: usize>(what: &'static str, mut payload: &[u8]) -> Result<[u32; N], Error> {
    if payload.len() != 4 * N {
        return Err(Error::Malformed(what));
    }
    Ok(std::array::from_fn(|_| payload.get_u32()))
}

fn settings(mut payload: &[u8]) -> Option<Vec<Setting>> {
    let count = usize::try_from(payload.try_get_u32().ok()?).ok()?;
    if payload.len() != count.checked_mul(8)? {
        return None;
    }
    let mut settings = Vec::with_capacity(count);
    while payload.has_remaining() {
        let (word, value) = (payload.get_u32(), payload.get_u32());
        settings.push(Setting { flags: (word >> 24) as u8, id: word & LENGTH, value });
    }
    Some(settings)
}
