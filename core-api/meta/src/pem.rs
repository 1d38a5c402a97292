//! PEM: blocks of base64 between marked lines.
//!
//! Pure. As lenient as Go's decoder, which upstream uses: text around blocks is skipped, and so is a block that cannot be
//! read. Upstream: Go's `encoding/pem`.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Characters of a line of content.
const WIDTH: usize = 64;

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What it is, such as `CERTIFICATE`.
    pub kind: &'a str,
    /// It has lines of the form `Key: value` before its content.
    pub has_headers: bool,
    /// The content.
    pub bytes: Vec<u8>,
}

/// The blocks of a text.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(body) = next_line_after(&mut rest) {
        let (kind, body) = body;
        let end = format!("-----END {kind}-----");
        let Some((content, tail)) = body.split_once(end.as_str()) else {
            rest = body;
            continue;
        };
        match block(kind, content) {
            Some(block) => {
                found.push(block);
                rest = tail;
            }
            None => rest = body,
        }
    }
    found
}

/// The kind that the next block names, and what follows its first line.
fn next_line_after<'a>(rest: &mut &'a str) -> Option<(&'a str, &'a str)> {
    const BEGIN: &str = "-----BEGIN ";
    loop {
        let at = if rest.starts_with(BEGIN) { 0 } else { rest.find("\n-----BEGIN ")? + 1 };
        let after = rest.get(at + BEGIN.len()..)?;
        let (line, body) = after.split_once('\n')?;
        if let Some(kind) = line.trim_end().strip_suffix("-----") {
            return Some((kind, body));
        }
        *rest = body;
    }
}

fn block<'a>(kind: &'a str, content: &str) -> Option<Block<'a>> {
    let mut lines = content.lines().peekable();
    let mut has_headers = false;
    while lines.next_if(|line| line.contains(':')).is_some() {
        has_headers = true;
    }
    let data: String = lines.flat_map(str::chars).filter(|c| !c.is_ascii_whitespace()).collect();
    Some(Block { kind, has_headers, bytes: STANDARD.decode(data).ok()? })
}

/// A block as text.
pub fn encode(kind: &str, bytes: &[u8]) -> String {
    let data = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {kind}-----\n");
    let mut rest = data.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII: any place is between two characters.
        let (line, more) = rest.split_at(rest.len().min(WIDTH));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {kind}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes: Vec<u8> = (0..200).collect();
        let text = format!("before\n{}between\n{}", encode("A B", &bytes), encode("C", b""));
        let found = blocks(&text);
        assert_eq!(
            found,
            [
                Block { kind: "A B", has_headers: false, bytes },
                Block { kind: "C", has_headers: false, bytes: Vec::new() },
            ]
        );
        assert!(text.lines().all(|line| line.len() <= WIDTH));
    }

    #[test]
    fn headers_are_seen_and_what_is_no_block_is_skipped() {
        let text = "x -----BEGIN A-----\n\n-----BEGIN A-----\n!!\n-----END A-----\n-----BEGIN B-----\nKey: v\n\nAAAA\n\
                    -----END B-----\n-----BEGIN C-----\nAAAA\n";
        assert_eq!(blocks(text), [Block { kind: "B", has_headers: true, bytes: vec![0; 3] }]);
    }
}
