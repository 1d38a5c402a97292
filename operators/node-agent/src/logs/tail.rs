//! Where the last lines of a file start, found from its end.

use std::io::{self, Read, Seek, SeekFrom};

const BLOCK: u64 = 64 << 10;

/// Offset at which the last `lines` lines of a file start. An unfinished last line counts as one.
pub(super) fn start_of_last_lines(file: &mut (impl Read + Seek), lines: u64) -> io::Result<u64> {
    let size = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(size);
    }
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)];
    // The start is behind the end of the line before the first wanted one; a last line that is ended has its own end.
    let (mut wanted, mut end, mut is_last_byte) = (lines, size, true);
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let piece = &mut block[..usize::try_from(end - start).unwrap_or(usize::MAX)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        for at in memchr::memrchr_iter(b'\n', piece) {
            if is_last_byte && start + at as u64 + 1 == size {
                continue;
            }
            wanted -= 1;
            if wanted == 0 {
                return Ok(start + at as u64 + 1);
            }
        }
        is_last_byte = false;
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn start(text: &[u8], lines: u64) -> usize {
        usize::try_from(start_of_last_lines(&mut Cursor::new(text), lines).unwrap()).unwrap()
    }

    #[test]
    fn the_last_lines_are_found() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!([0, 1, 2, 3, 4].map(|n| start(text, n)), [14, 8, 4, 0, 0]);
        assert_eq!(start(b"one\ntwo", 1), 4);
        assert_eq!(start(b"", 5), 0);
        assert_eq!(start(b"\n\n\n", 2), 1);
    }

    proptest! {
        #[test]
        fn the_end_has_that_many_lines(
            lines in prop::collection::vec("[a-z]{0,9}", 0..60),
            padding in 0usize..140_000,
            wanted in 1u64..70,
        ) {
            let mut text = "x".repeat(padding);
            lines.iter().for_each(|line| text.extend(["\n", line]));
            text.push('\n');
            let end = &text[start(text.as_bytes(), wanted)..];
            prop_assert_eq!(end.matches('\n').count() as u64, wanted.min(lines.len() as u64 + 1));
        }
    }
}
