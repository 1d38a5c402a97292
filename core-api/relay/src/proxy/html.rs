//! Links in HTML that comes through a proxy.
//!
//! Only the values of attributes that hold URLs change; every other byte stays as it was written. Pure.
//! Upstream: apimachinery `pkg/util/proxy/transport.go`, whose list of attributes this is.

/// Attributes of elements that hold URLs.
const LINKS: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const TEXT_ONLY: [&str; 8] = ["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"];

/// The document with every link as `link` gives it.
pub(super) fn rewrite(document: &[u8], link: impl Fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len() + 256);
    let mut rest = document;
    while let Some(start) = find(rest, b"<") {
        let (text, markup) = rest.split_at(start);
        out.extend_from_slice(text);
        rest = if markup.get(1).is_some_and(u8::is_ascii_alphabetic) {
            element(markup, &link, &mut out)
        } else {
            let end = if markup.starts_with(b"<!--") { end_of(markup, b"-->") } else { end_of(markup, b">") };
            let (other, rest) = markup.split_at(end);
            out.extend_from_slice(other);
            rest
        };
    }
    out.extend_from_slice(rest);
    out
}

/// Writes a start tag, and the content of an element that holds text only; returns what follows.
fn element<'a>(markup: &'a [u8], link: &impl Fn(&str) -> String, out: &mut Vec<u8>) -> &'a [u8] {
    let length = 1 + count(&markup[1..], |byte| !ends_name(byte));
    let name = lower(&markup[1..length]);
    let links = LINKS.iter().find(|(element, _)| *element == name).map_or(&[][..], |(_, names)| names);
    let mut rest = copy(markup, length, out);
    loop {
        rest = copy(rest, count(rest, |byte| byte.is_ascii_whitespace() || byte == b'/'), out);
        match rest.first() {
            None => return rest,
            Some(b'>') => break,
            Some(_) => rest = attribute(rest, links, link, out),
        }
    }
    rest = copy(rest, 1, out);
    if !TEXT_ONLY.contains(&name.as_str()) {
        return rest;
    }
    let is_end = |at: &usize| {
        let after = &rest[at + 2..];
        after.len() >= name.len() && after[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    };
    let ends = rest.windows(2).enumerate().filter(|(_, two)| *two == b"</").map(|(at, _)| at);
    let end = ends.into_iter().find(is_end).unwrap_or(rest.len());
    copy(rest, end, out)
}

/// Writes one attribute; returns what follows. At least one byte is taken.
fn attribute<'a>(
    rest: &'a [u8],
    links: &[&str],
    link: &impl Fn(&str) -> String,
    out: &mut Vec<u8>,
) -> &'a [u8] {
    let length = count(rest, |byte| !ends_name(byte) && byte != b'=').max(1);
    let is_link = links.contains(&lower(&rest[..length]).as_str());
    let rest = copy(rest, length, out);
    let equals = count(rest, |byte| byte.is_ascii_whitespace());
    if rest.get(equals) != Some(&b'=') {
        return rest;
    }
    let rest = copy(rest, equals + 1, out);
    let rest = copy(rest, count(rest, |byte| byte.is_ascii_whitespace()), out);
    let (quoted, rest) = match rest.first() {
        Some(quote @ (b'"' | b'\'')) => (Some(*quote), copy(rest, 1, out)),
        _ => (None, rest),
    };
    let (value, rest) = rest.split_at(match quoted {
        Some(quote) => count(rest, |byte| byte != quote),
        None => count(rest, |byte| !byte.is_ascii_whitespace() && byte != b'>'),
    });
    match std::str::from_utf8(value) {
        Ok(text) if is_link => out.extend_from_slice(link(text).as_bytes()),
        _ => out.extend_from_slice(value),
    }
    rest.split_first().filter(|_| quoted.is_some()).map_or(rest, |_| copy(rest, 1, out))
}

fn copy<'a>(from: &'a [u8], length: usize, out: &mut Vec<u8>) -> &'a [u8] {
    let (taken, rest) = from.split_at(length);
    out.extend_from_slice(taken);
    rest
}

fn ends_name(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')
}

fn count(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is(*byte)).unwrap_or(bytes.len())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Behind `what`, or the end of all.
fn end_of(bytes: &[u8], what: &[u8]) -> usize {
    find(bytes, what).map_or(bytes.len(), |at| at + what.len())
}

fn lower(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(document: &str) -> String {
        let link = |link: &str| if link.starts_with('/') { format!("/p{link}") } else { link.to_owned() };
        String::from_utf8(rewrite(document.as_bytes(), link)).unwrap()
    }

    #[test]
    fn links_are_rewritten_and_nothing_else() {
        for (document, want) in [
            ("<a href=\"/x\">/y</a>", "<a href=\"/p/x\">/y</a>"),
            ("<A class=/c HREF = '/x'>", "<A class=/c HREF = '/p/x'>"),
            ("<a href=/x>", "<a href=/p/x>"),
            ("<img src=/x alt='/y'/>", "<img src=/p/x alt='/y'/>"),
            ("<a href=x><b href=\"/x\">", "<a href=x><b href=\"/x\">"),
            (
                "<script src=\"/x\">'<a href=\"/y\">'</script><a href='/z'>",
                "<script src=\"/p/x\">'<a href=\"/y\">'</script><a href='/p/z'>",
            ),
            (
                "<!-- <a href=\"/x\"> --><!doctype html></a href=\"/x\">",
                "<!-- <a href=\"/x\"> --><!doctype html></a href=\"/x\">",
            ),
            ("1 < 2 <a", "1 < 2 <a"),
            ("<a href", "<a href"),
            ("<a href=\"/x", "<a href=\"/p/x"),
            ("<script>/x", "<script>/x"),
            ("", ""),
        ] {
            assert_eq!(prefixed(document), want, "{document}");
        }
        let bytes = b"<a href=\"\xff/\">\xff";
        assert_eq!(rewrite(bytes, |_| "changed".to_owned()), bytes);
    }
}
