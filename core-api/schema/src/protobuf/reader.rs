//! Fields of a message, one after the other, borrowed from its bytes.

use std::{borrow::Cow, fmt};

/// Why bytes are not the message that they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(Cow<'static, str>);

impl DecodeError {
    pub(super) const EOF: Self = Self(Cow::Borrowed("unexpected EOF"));

    pub(super) const fn of(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
    pub(super) const fn with(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

pub(super) type Decoded<T> = Result<T, DecodeError>;

/// What a field carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Payload<'a> {
    pub(super) fn bytes(self) -> Decoded<&'a [u8]> {
        match self {
            Payload::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong()),
        }
    }
    pub(super) fn text(self) -> Decoded<&'a str> {
        str::from_utf8(self.bytes()?).map_err(|_| DecodeError::of("proto: invalid UTF-8 in a string field"))
    }
    pub(super) fn varint(self) -> Decoded<u64> {
        match self {
            Payload::Varint(value) => Ok(value),
            other => Err(other.wrong()),
        }
    }
    /// An `int32` or `int64`: Go keeps the low bits of what does not fit.
    #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "two's complement")]
    pub(super) fn integer(self, bits: u8) -> Decoded<i64> {
        let value = self.varint()?;
        Ok(if bits == 64 { value as i64 } else { i64::from(value as i32) })
    }
    pub(super) fn double(self) -> Decoded<f64> {
        match self {
            Payload::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => Err(other.wrong()),
        }
    }
    #[cold]
    fn wrong(self) -> DecodeError {
        let number = match self {
            Payload::Varint(_) => 0,
            Payload::Fixed64(_) => 1,
            Payload::Bytes(_) => 2,
            Payload::Fixed32 => 5,
        };
        DecodeError::with(format!("proto: wrong wireType = {number}"))
    }
}

/// Reads fields.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and payload.
    pub(super) fn field(&mut self) -> Decoded<Option<(u32, Payload<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|n| (1..=0x1fff_ffff).contains(n));
        let Some(number) = number else {
            return Err(DecodeError::with(format!("proto: illegal tag {}", key >> 3)));
        };
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.fixed64()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::EOF)?;
                Payload::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Payload::Fixed32
            }
            other => return Err(DecodeError::with(format!("proto: illegal wireType {other}"))),
        };
        Ok(Some((number, payload)))
    }

    pub(super) fn varint(&mut self) -> Decoded<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::EOF)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::of("proto: integer overflow"))
    }

    pub(super) fn fixed64(&mut self) -> Decoded<u64> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(DecodeError::EOF)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn take(&mut self, length: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::EOF)?;
        self.rest = rest;
        Ok(taken)
    }
}
