//! Variables that a container left in a file of a volume.
//!
//! Owns: the file's grammar, a strict part of the shell's: `NAME='value'`, the value taken literally and over several
//! lines if need be; empty lines and lines that begin with `#` between declarations. Anything else is an error. The file
//! is opened below its volume, whatever symbolic links the container made.
//! Upstream: `pkg/kubelet/util/env`, <https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/>.

use crate::volumes::beneath;
use std::{
    io::{self, Read as _},
    path::Path,
};

/// Most bytes that are read of a file: it was written by a container.
const MAX_BYTES: u64 = 1 << 20;

/// The value of a variable in a file of a volume; none when the file does not declare it.
pub(super) fn read(volume: &Path, path: &str, name: &str) -> io::Result<Option<String>> {
    let mut text = String::new();
    let file = beneath::open_file(volume, Path::new(path))?;
    if file.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
        return Err(invalid("the file is too large"));
    }
    parse(&text, name).map_err(invalid)
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn parse(text: &str, wanted: &str) -> Result<Option<String>, &'static str> {
    let mut rest = text;
    let mut found = None;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let (name, value, after) = declaration(rest)?;
        if name == wanted {
            found = Some(value.to_owned());
        }
        rest = after;
    }
}

/// Name, value, and what follows the line.
fn declaration(text: &str) -> Result<(&str, &str, &str), &'static str> {
    let (name, after) = text.split_once('=').ok_or("a line is no declaration")?;
    let name = name.trim_end_matches([' ', '\t']);
    if name.is_empty() || name.contains(['\n', '\'', '"']) {
        return Err("a declaration has no name");
    }
    let value =
        after.trim_start_matches([' ', '\t']).strip_prefix('\'').ok_or("a value is not in single quotes")?;
    let (value, after) = value.split_once('\'').ok_or("a quote is not closed")?;
    let (end, after) = after.split_once('\n').unwrap_or((after, ""));
    if end.trim().is_empty() { Ok((name, value, after)) } else { Err("something follows a value") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literal() {
        let text = "# comment\n\n  A='a #b $C \\n'\nM = 'line1\nline2'  \nE=''\nA='again'\r\n";
        assert_eq!(parse(text, "A"), Ok(Some("again".to_owned())));
        assert_eq!(parse(text, "M"), Ok(Some("line1\nline2".to_owned())));
        assert_eq!(parse(text, "E"), Ok(Some(String::new())));
        assert_eq!(parse(text, "X"), Ok(None));
        assert_eq!(parse("A='a #b $C \\n'", "A"), Ok(Some("a #b $C \\n".to_owned())));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in
            ["A=a", "A=\"a\"", "A='a''b'", "A='a'$B", "A='a", "noise", "='a'", "A='a' # c", "export\nA='a'"]
        {
            assert!(parse(text, "A").is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_out_of_the_volume_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        std::fs::write(dir.path().join("secret"), "A='a'").unwrap();
        std::fs::write(volume.join("own"), "A='b'").unwrap();
        std::os::unix::fs::symlink("../secret", volume.join("link")).unwrap();
        assert!(read(&volume, "link", "A").is_err());
        assert_eq!(read(&volume, "own", "A").unwrap(), Some("b".to_owned()));
    }
}
