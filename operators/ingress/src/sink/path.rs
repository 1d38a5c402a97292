//! A request's path as routes see it: decoded, without dot segments and doubled slashes, as nginx does.
//!
//! So `/public/../admin` and `/%61dmin` are `/admin` for every rule; the backend is sent what the client wrote.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;

/// What a path cannot hold as it is. `?` stays: what replaces a path may bring a query.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// The path that rules are compared with; `None` for one that leads above the root or is badly encoded.
pub(crate) fn normal(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') {
        return None;
    }
    if !path.contains('%') && !path.contains("//") && !path.contains("/.") {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decoded(path)?;
    let mut parts: Vec<&str> = Vec::new();
    for part in decoded.split('/').skip(1) {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| decoded.ends_with(end));
    let mut normal = format!("/{}", parts.join("/"));
    if is_folder && normal.len() > 1 {
        normal.push('/');
    }
    Some(Cow::Owned(normal))
}

fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        };
        if byte == 0 {
            return None;
        }
        bytes.push(byte);
    }
    Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// A path made of a normal one, as it is written in a request, with the query of the request.
pub(crate) fn written(path: &str, query: Option<&str>) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut written = format!("{slash}{}", utf8_percent_encode(path, ENCODED));
    if let Some(query) = query {
        written.push(if path.contains('?') { '&' } else { '?' });
        written.push_str(query);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_they_lead_to() {
        for (path, expected) in [
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/public/../admin", Some("/admin")),
            ("/%61dmin", Some("/admin")),
            ("/a%2f..%2fadmin", Some("/admin")),
            ("//a///b/", Some("/a/b/")),
            ("/a/.", Some("/a/")),
            ("/a/..", Some("/")),
            ("/.well-known/x", Some("/.well-known/x")),
            ("/..", None),
            ("/%zz", None),
            ("/%0", None),
            ("/%00", None),
            ("*", None),
        ] {
            assert_eq!(normal(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_decoded_is_encoded_again() {
        assert_eq!(written("/a b#c", Some("q=1")), "/a%20b%23c?q=1");
        assert_eq!(written("x?fixed=1", Some("q=1")), "/x?fixed=1&q=1");
    }
}
