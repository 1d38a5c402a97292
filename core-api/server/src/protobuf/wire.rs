//! The wire format: keys, varints, fixed numbers, and pieces of a given length.

/// A field as it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Reads a message field by field.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

const SHORT: &str = "unexpected EOF";

impl<'a> Reader<'a> {
    /// The next field's number and piece.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Piece<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).map_err(|_| format!("proto: illegal tag {}", key >> 3))?;
        let piece = match key & 7 {
            0 => Piece::Varint(self.varint()?),
            1 => Piece::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
                Piece::Bytes(self.take(length)?)
            }
            5 => Piece::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(format!("proto: illegal wireType {other}")),
        };
        if tag == 0 { Err("proto: illegal tag 0".to_owned()) } else { Ok(Some((tag, piece))) }
    }

    pub(super) fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for at in 0..10 {
            let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("proto: integer overflow".to_owned())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| SHORT.to_owned())
    }
}

/// The last value of a number field in a small message.
pub(super) fn number(message: &[u8], wanted: u32) -> Result<Option<u64>, String> {
    let (mut reader, mut found) = (Reader(message), None);
    while let Some((tag, piece)) = reader.next()? {
        if let (true, Piece::Varint(value)) = (tag == wanted, piece) {
            found = Some(value);
        }
    }
    Ok(found)
}

/// The last value of a field of bytes in a small message.
pub(super) fn bytes(message: &[u8], wanted: u32) -> Result<Option<&[u8]>, String> {
    let (mut reader, mut found) = (Reader(message), None);
    while let Some((tag, piece)) = reader.next()? {
        if let (true, Piece::Bytes(value)) = (tag == wanted, piece) {
            found = Some(value);
        }
    }
    Ok(found)
}
