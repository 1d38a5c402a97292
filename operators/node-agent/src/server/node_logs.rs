//! `/logs/`: the node's log files, read only. Nothing outside the agent's own directory of logs is reachable.

use super::reply::{self, Answer, Refusal};
use bytes::BytesMut;
use futures::stream;
use http::{HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};
use tokio::{fs::File, io::AsyncReadExt};

const PIECE: usize = 64 << 10;

/// Serves a file, or the names in a directory.
pub(super) async fn serve(root: &Path, path: &str) -> Answer {
    match find(root, path) {
        Some(found) if found.is_dir() => directory(&found),
        Some(found) => file(&found).await,
        None => Err(Refusal::no_such_path()),
    }
}

/// The file or directory, when it is below `root` after all links are followed.
fn find(root: &Path, path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let path = Path::new(&*path);
    if path.components().any(|c| !matches!(c, Component::Normal(_))) {
        return None;
    }
    let root = root.canonicalize().ok()?;
    root.join(path).canonicalize().ok().filter(|found| found.starts_with(&root))
}

fn directory(path: &Path) -> Answer {
    let names = names(path).map_err(unreadable)?;
    let links = names.iter().map(|name| {
        let target = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string().replace("%2F", "/");
        format!("<a href=\"{target}\">{}</a>\n", escaped(name))
    });
    let page = format!("<pre>\n{}</pre>\n", links.collect::<String>());
    Ok(reply::whole(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page))
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let end = if entry.file_type()?.is_dir() { "/" } else { "" };
        names.push(entry.file_name().to_string_lossy().into_owned() + end);
    }
    names.sort();
    Ok(names)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}

async fn file(path: &Path) -> Answer {
    let file = File::open(path).await.map_err(unreadable)?;
    Ok(reply::stream(stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    })))
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by value")]
fn unreadable(error: io::Error) -> Refusal {
    Refusal::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("logs");
        fs::create_dir_all(root.join("a b")).unwrap();
        fs::write(root.join("a b/0.log"), "x").unwrap();
        fs::write(directory.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        assert!(find(&root, "").is_some());
        assert!(find(&root, "a%20b/0.log").is_some());
        for path in ["link", "../secret", "%2e%2e/secret", "a%20b/../../secret", "/etc/passwd", "none"] {
            assert_eq!(find(&root, path), None, "{path}");
        }
        assert_eq!(names(&root).unwrap(), ["a b/", "link"]);
    }
}
