//! RFC 3339 as Go's `time.Parse` reads it: the same texts pass, the same messages say why one does not.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::Offset};

/// Which of the two layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A fraction of any length is allowed.
    Seconds,
    /// Exactly six places are required.
    Micros,
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text does not fit the layout.
    #[error("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")]
    Syntax {
        /// The whole text.
        text: String,
        /// The expected layout.
        layout: &'static str,
        /// What was left when parsing stopped.
        rest: String,
        /// Part of the layout that was expected there.
        element: &'static str,
    },
    /// A part is out of range.
    #[error("parsing time {text:?}: {part} out of range")]
    Range {
        /// The whole text.
        text: String,
        /// Which part.
        part: &'static str,
    },
    /// There is more behind the time.
    #[error("parsing time {text:?}: extra text: {rest:?}")]
    Extra {
        /// The whole text.
        text: String,
        /// What is left over.
        rest: String,
    },
}

impl Layout {
    const fn text(self) -> &'static str {
        match self {
            Self::Seconds => "2006-01-02T15:04:05Z07:00",
            Self::Micros => "2006-01-02T15:04:05.000000Z07:00",
        }
    }
}

/// The text and how far it was read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    layout: Layout,
}

pub(super) fn parse(text: &str, layout: Layout) -> Result<Timestamp, TimeError> {
    let mut r = Reader { text, at: 0, layout };
    let year = r.number(4, "2006")?;
    r.literal(b'-', "-")?;
    let month = r.number(2, "01")?;
    r.in_range((1..=12).contains(&month), "month")?;
    r.literal(b'-', "-")?;
    let day = r.number(2, "02")?;
    r.literal(b'T', "T")?;
    // Go lets an hour of one digit through, of all parts.
    let hour = r.number(if r.digits(0, 2).is_some() { 2 } else { 1 }, "15")?;
    r.in_range(hour < 24, "hour")?;
    r.literal(b':', ":")?;
    let minute = r.number(2, "04")?;
    r.in_range(minute < 60, "minute")?;
    r.literal(b':', ":")?;
    let second = r.number(2, "05")?;
    r.in_range(second < 60, "second")?;
    let nanosecond = r.fraction()?;
    let offset = r.offset()?;
    if r.at < text.len() {
        return Err(TimeError::Extra { text: text.to_owned(), rest: r.rest() });
    }
    let civil = DateTime::new(
        year as i16,
        month as i8,
        day as i8,
        hour as i8,
        minute as i8,
        second as i8,
        nanosecond,
    );
    civil
        .and_then(|civil| Offset::UTC.to_timestamp(civil))
        .and_then(|at| at.checked_sub(SignedDuration::from_secs(offset)))
        .map_err(|_| r.range("day"))
}

impl Reader<'_> {
    fn bytes(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }
    fn rest(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
    fn syntax(&self, element: &'static str) -> TimeError {
        let (text, layout) = (self.text.to_owned(), self.layout.text());
        TimeError::Syntax { text, layout, rest: self.rest(), element }
    }
    fn range(&self, part: &'static str) -> TimeError {
        TimeError::Range { text: self.text.to_owned(), part }
    }
    fn in_range(&self, fits: bool, part: &'static str) -> Result<(), TimeError> {
        if fits { Ok(()) } else { Err(self.range(part)) }
    }
    fn literal(&mut self, byte: u8, element: &'static str) -> Result<(), TimeError> {
        if self.bytes().first() != Some(&byte) {
            return Err(self.syntax(element));
        }
        self.at += 1;
        Ok(())
    }
    fn digits(&self, from: usize, count: usize) -> Option<i32> {
        let digits = self.bytes().get(from..from + count)?;
        digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i32::from(d - b'0')))
    }
    fn number(&mut self, count: usize, element: &'static str) -> Result<i32, TimeError> {
        let number = self.digits(0, count).ok_or_else(|| self.syntax(element))?;
        self.at += count;
        Ok(number)
    }
    /// Nanoseconds. Digits beyond the ninth are dropped.
    fn fraction(&mut self) -> Result<i32, TimeError> {
        if self.layout == Layout::Micros {
            let starts = self.bytes().first().is_some_and(|b| matches!(b, b'.' | b','));
            let micros = self.digits(1, 6).filter(|_| starts).ok_or_else(|| self.syntax(".000000"))?;
            self.at += 7;
            return Ok(micros * 1000);
        }
        let bytes = self.bytes();
        let places = bytes.iter().skip(1).take_while(|b| b.is_ascii_digit()).count();
        if !matches!(bytes.first(), Some(b'.' | b',')) || places == 0 {
            return Ok(0);
        }
        let kept = places.min(9);
        let number = self.digits(1, kept).unwrap_or(0);
        self.at += 1 + places;
        Ok(number * 10i32.pow(9 - kept as u32))
    }
    /// Seconds east of Greenwich.
    fn offset(&mut self) -> Result<i64, TimeError> {
        const ELEMENT: &str = "Z07:00";
        let sign = match self.bytes().first() {
            Some(b'Z') => {
                self.at += 1;
                return Ok(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(self.syntax(ELEMENT)),
        };
        let (Some(hours), Some(b':'), Some(minutes)) =
            (self.digits(1, 2), self.bytes().get(3), self.digits(4, 2))
        else {
            return Err(self.syntax(ELEMENT));
        };
        // 24 and 60 are let through by Go.
        self.in_range(hours <= 24, "time zone offset hour")?;
        self.in_range(minutes <= 60, "time zone offset minute")?;
        self.at += 6;
        Ok(sign * i64::from(hours * 3600 + minutes * 60))
    }
}
