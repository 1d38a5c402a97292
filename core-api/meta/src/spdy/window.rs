//! Flow control windows: how much may be sent, how much may come. Arithmetic only.

/// Largest window that the protocol allows.
const LARGEST: i64 = 0x7fff_ffff;

/// What may still be sent. It may be negative after the peer made its initial window smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(i64);

impl SendWindow {
    pub(super) fn new(size: u32) -> Self {
        Self(i64::from(size))
    }
    /// How much of `wanted` may be sent.
    pub(super) fn allows(self, wanted: usize) -> usize {
        wanted.min(usize::try_from(self.0).unwrap_or(0))
    }
    /// Notes that `sent` bytes went out.
    pub(super) fn sent(&mut self, sent: usize) {
        self.0 -= i64::try_from(sent).unwrap_or(LARGEST);
    }
    /// Notes that the peer allows `delta` more; false when the window became larger than windows may be.
    #[must_use]
    pub(super) fn grow(&mut self, delta: u32) -> bool {
        self.0 += i64::from(delta);
        self.0 <= LARGEST
    }
    /// Notes that initial windows changed; false as for [`Self::grow`].
    #[must_use]
    pub(super) fn shift(&mut self, from: u32, to: u32) -> bool {
        self.0 += i64::from(to) - i64::from(from);
        self.0 <= LARGEST
    }
}

/// What the peer may still send.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    size: u32,
    left: i64,
    /// Consumed here but not yet allowed anew.
    owed: u32,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> Self {
        Self { size, left: i64::from(size), owed: 0 }
    }
    /// Notes that bytes came; false when they were more than allowed.
    #[must_use]
    pub(super) fn arrived(&mut self, bytes: usize) -> bool {
        self.left -= i64::try_from(bytes).unwrap_or(LARGEST);
        self.left >= 0
    }
    /// Notes that bytes were consumed. Returns what to allow the peer, once it is worth a frame.
    pub(super) fn consumed(&mut self, bytes: usize) -> Option<u32> {
        self.owed = self.owed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)).min(self.size);
        if self.owed < self.size.div_ceil(2) {
            return None;
        }
        self.left += i64::from(self.owed);
        Some(std::mem::take(&mut self.owed))
    }
}
