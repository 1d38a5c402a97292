//! One line of a log file, and what of it a reader gets.
//!
//! The format is the Container Runtime Interface's: `TIME STREAM TAGS TEXT`, where the first tag is `P` when the
//! container's own line goes on in the next one.

use super::options::{LogOptions, LogStream};
use bytes::{BufMut, BytesMut};
use jiff::Timestamp;

/// A line of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    time: &'a str,
    stream: LogStream,
    partial: bool,
    /// With its end of line, unless the line is partial.
    text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line, its end of line included. `None` when it is in no such format.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (time, rest) = word(line)?;
        let (stream, rest) = word(rest)?;
        let (tags, text) = word(rest)?;
        let time = std::str::from_utf8(time).ok().filter(|t| is_time(t))?;
        let stream = match stream {
            b"stdout" => LogStream::Stdout,
            b"stderr" => LogStream::Stderr,
            _ => return None,
        };
        let partial = tags.split(|&b| b == b':').next() == Some(b"P");
        let text = if partial { text.strip_suffix(b"\n").unwrap_or(text) } else { text };
        Some(Self { time, stream, partial, text })
    }
}

fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', line)?;
    Some((&line[..end], &line[end + 1..]))
}

/// Whether this has the shape of an RFC 3339 time. Reading each one whole would cost more than all the rest.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':' && bytes[16] == b':'
}

/// Whether reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It does.
    More,
    /// Everything that was asked for is there.
    Enough,
}

/// Applies the options line by line.
#[derive(Debug)]
pub(super) struct Formatter {
    timestamps: bool,
    since: Option<Timestamp>,
    stream: LogStream,
    /// Lines that may still come; only when the end of the file was asked for without following.
    lines: Option<u64>,
    bytes: Option<u64>,
    /// The last line was partial: the next one continues it.
    continues: bool,
}

impl Formatter {
    pub(super) fn new(options: &LogOptions) -> Self {
        Self {
            timestamps: options.timestamps,
            since: options.since,
            stream: options.stream,
            lines: options.tail_lines.filter(|_| !options.follow),
            bytes: options.limit_bytes,
            continues: false,
        }
    }

    /// Appends what the reader gets of a line. A line in an unknown format is left out.
    pub(super) fn format(&mut self, line: &[u8], out: &mut BytesMut) -> Flow {
        if self.lines == Some(0) {
            return Flow::Enough;
        }
        let Some(line) = Line::parse(line) else { return Flow::More };
        let continues = std::mem::replace(&mut self.continues, line.partial);
        self.lines = self.lines.map(|n| n - 1);
        if self.is_wanted(&line) && self.put(&line, continues, out) == Flow::Enough {
            return Flow::Enough;
        }
        if self.lines == Some(0) { Flow::Enough } else { Flow::More }
    }

    fn is_wanted(&self, line: &Line<'_>) -> bool {
        let is_late = self.since.is_none_or(|since| line.time.parse::<Timestamp>().is_ok_and(|t| t >= since));
        is_late && (self.stream == LogStream::All || self.stream == line.stream)
    }

    fn put(&mut self, line: &Line<'_>, continues: bool, out: &mut BytesMut) -> Flow {
        let start = out.len();
        if self.timestamps && !continues {
            put_time(line.time, out);
            out.put_u8(b' ');
        }
        out.put_slice(line.text);
        let Some(left) = &mut self.bytes else { return Flow::More };
        let allowed = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len() - start);
        out.truncate(start + allowed);
        *left -= allowed as u64;
        if *left == 0 { Flow::Enough } else { Flow::More }
    }
}

/// Writes a time with nine digits behind the second, as upstream.
fn put_time(time: &str, out: &mut BytesMut) {
    let (seconds, rest) = time.split_at(19);
    let (digits, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let digits = &digits[..digits.len().min(9)];
    out.put_slice(seconds.as_bytes());
    out.put_u8(b'.');
    out.put_slice(digits.as_bytes());
    out.put_bytes(b'0', 9 - digits.len());
    out.put_slice(zone.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(options: &LogOptions, lines: &[&str]) -> String {
        let (mut formatter, mut out) = (Formatter::new(options), BytesMut::new());
        for line in lines {
            if formatter.format(line.as_bytes(), &mut out) == Flow::Enough {
                break;
            }
        }
        String::from_utf8(out.to_vec()).unwrap()
    }

    const LINES: [&str; 4] = [
        "2024-05-06T07:08:09.12Z stdout F one\n",
        "2024-05-06T07:08:10.123456789+02:00 stderr P tw\n",
        "2024-05-06T07:08:11+02:00 stderr F o\n",
        "2024-05-06T07:08:12Z stdout F:X  three\n",
    ];

    #[test]
    fn parts_of_a_line_are_joined() {
        assert_eq!(formatted(&LogOptions::default(), &LINES), "one\ntwo\n three\n");
    }

    #[test]
    fn times_stand_before_whole_lines() {
        let options = LogOptions { timestamps: true, ..LogOptions::default() };
        let expected = "2024-05-06T07:08:09.120000000Z one\n\
            2024-05-06T07:08:10.123456789+02:00 two\n\
            2024-05-06T07:08:12.000000000Z  three\n";
        assert_eq!(formatted(&options, &LINES), expected);
    }

    #[test]
    fn streams_are_told_apart() {
        let stream = |stream| LogOptions { stream, ..LogOptions::default() };
        assert_eq!(formatted(&stream(LogStream::Stderr), &LINES), "two\n");
        assert_eq!(formatted(&stream(LogStream::Stdout), &LINES), "one\n three\n");
    }

    #[test]
    fn older_lines_are_left_out_whatever_their_zone() {
        let since = |text: &str| LogOptions { since: Some(text.parse().unwrap()), ..LogOptions::default() };
        assert_eq!(formatted(&since("2024-05-06T05:08:11Z"), &LINES), "one\no\n three\n");
        assert_eq!(formatted(&since("2024-05-06T07:08:12Z"), &LINES), " three\n");
    }

    #[test]
    fn bytes_are_limited_within_a_line() {
        let options = LogOptions { limit_bytes: Some(5), ..LogOptions::default() };
        assert_eq!(formatted(&options, &LINES), "one\nt");
    }

    #[test]
    fn lines_are_limited_when_the_end_was_asked_for() {
        let options = LogOptions { tail_lines: Some(1), ..LogOptions::default() };
        assert_eq!(formatted(&options, &LINES), "one\n");
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        let odd =
            ["", "\n", "words\n", "2024-05-06T07:08:09Z stdout\n", "2024-05-06T07:08:09Z x F y\n", LINES[0]];
        assert_eq!(formatted(&LogOptions::default(), &odd), "one\n");
    }
}
