//! Feeding a file to `ctr`.

use super::{LoadError, names};
use crate::{Error, containerd::NAMESPACE, daemon::find_program};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    path::Path,
    process::Stdio,
};
use tokio::process::{ChildStdin, Command};

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is loaded.
pub(super) struct Input {
    content: Content,
    /// The repository of images that come with tags only.
    repository: Option<String>,
}

enum Content {
    File(File),
    Compressed(File),
    Memory(&'static [u8]),
}

impl Input {
    /// Looks at a file. It is read twice when it is compressed.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        let mut start = Vec::new();
        (&mut file).take(2).read_to_end(&mut start)?;
        file.rewind()?;
        let is_compressed = start == GZIP;
        let are_tags_only = if is_compressed {
            let mut archive = tar::Archive::new(MultiGzDecoder::new(&file));
            archive.entries().is_ok_and(names::are_tags_only)
        } else {
            tar::Archive::new(&file).entries_with_seek().is_ok_and(names::are_tags_only)
        };
        file.rewind()?;
        let content = if is_compressed { Content::Compressed(file) } else { Content::File(file) };
        Ok(Self { content, repository: are_tags_only.then(|| names::repository(path)) })
    }

    pub(super) fn of_memory(bytes: &'static [u8]) -> Self {
        Self { content: Content::Memory(bytes), repository: None }
    }
}

/// Loads what `input` holds.
pub(super) async fn import(socket: &Path, input: Input, what: &str) -> Result<(), LoadError> {
    let ctr = find_program("ctr").ok_or(LoadError::NoProgram)?;
    let mut command = Command::new(ctr);
    command.arg("--address").arg(socket).args(["--namespace", NAMESPACE, "images", "import"]);
    if let Some(repository) = &input.repository {
        command.args(["--base-name", repository]);
    }
    command.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |error: io::Error| Error::Failed { operation: "load_image", message: error.to_string() };
    let mut ctr = command.spawn().map_err(failed)?;
    if let Some(stdin) = ctr.stdin.take() {
        feed(input.content, stdin);
    }
    let done = ctr.wait_with_output().await.map_err(failed)?;
    if done.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    let why = words.trim().trim_start_matches("ctr: ").to_owned();
    Err(LoadError::NotAnImage { what: what.to_owned(), why })
}

/// Writes beside the tasks until all is read or the reader is gone; the reader's words say what was wrong.
fn feed(mut content: Content, stdin: ChildStdin) {
    tokio::task::spawn_blocking(move || {
        let Ok(pipe) = stdin.into_owned_fd() else { return };
        let mut pipe = File::from(pipe);
        let _ = match &mut content {
            Content::File(file) => io::copy(file, &mut pipe),
            Content::Compressed(file) => io::copy(&mut MultiGzDecoder::new(file), &mut pipe),
            Content::Memory(bytes) => io::copy(bytes, &mut pipe),
        };
    });
}
