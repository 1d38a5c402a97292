//! Fields of a message, appended to bytes.

/// Appends a variable-length number.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Bytes of a variable-length number.
pub(super) const fn varint_length(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(super) fn varint_field(number: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(value, out);
}

pub(super) fn double_field(number: u32, value: f64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn bytes_field(number: u32, content: &[u8], out: &mut Vec<u8>) {
    length_field(number, content.len(), out);
    out.extend_from_slice(content);
}

/// The beginning of a field whose content has this length.
pub(super) fn length_field(number: u32, length: usize, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(length as u64, out);
}

/// A field whose content is being appended.
#[must_use]
pub(super) struct Open {
    /// Where it began.
    start: usize,
    /// Where its content begins, behind one byte for the length: most messages are short.
    content: usize,
}

impl Open {
    pub(super) fn begin(number: u32, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        varint(u64::from(number) << 3 | 2, out);
        out.push(0);
        Self { start, content: out.len() }
    }

    /// Writes the length.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        let length = out.len() - self.content;
        let more = varint_length(length as u64) - 1;
        if more > 0 {
            out.resize(out.len() + more, 0);
            out.copy_within(self.content..self.content + length, self.content + more);
        }
        let (first, last) = (self.content - 1, self.content - 1 + more);
        let mut value = length;
        for byte in &mut out[first..last] {
            *byte = (value & 0x7f).to_le_bytes()[0] | 0x80;
            value >>= 7;
        }
        out[last] = value.to_le_bytes()[0];
    }

    /// The same; nothing is left of it when it has no content.
    pub(super) fn end_unless_empty(self, out: &mut Vec<u8>) {
        if out.len() == self.content {
            out.truncate(self.start);
        } else {
            self.end(out);
        }
    }
}

/// A field with the content that `write` appends.
pub(super) fn nested<R>(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let open = Open::begin(number, out);
    let result = write(out);
    open.end(out);
    result
}
