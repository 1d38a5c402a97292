//! The image that every sandbox runs: one static program of about a kilobyte that waits.
//!
//! Owns: the program (`pause/pause.rs`, compiled when the crate is built) and its image, made in memory: a node needs
//! no network to start its first pod. Invariant: the name says what is inside, so a node whose containerd already
//! has it need not look closer, and another version gets another name.

use crate::archive::{Archive, File, sha256};
use std::sync::LazyLock;

static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
const REPOSITORY: &str = "proa.internal/pause";

/// The pause image.
#[derive(Debug)]
pub struct PauseImage {
    /// Its name, with a tag that changes with its content.
    pub name: String,
    /// The image as a docker-archive.
    pub archive: Vec<u8>,
}

/// The pause image of this build.
pub static IMAGE: LazyLock<PauseImage> = LazyLock::new(|| {
    let name = format!("{REPOSITORY}:{}", &sha256(PROGRAM)[..12]);
    let files = [File { path: "pause", mode: 0o755, content: PROGRAM }];
    // Nobody, as upstream: it needs no right at all.
    let image = Archive { name: &name, entrypoint: &["/pause"], user: "65535:65535", files: &files };
    let archive = image.bytes().expect("its only path is short");
    PauseImage { name, archive }
});

/// Whether a name is that of a pause image; none of them may be collected as unused.
pub(crate) fn is_pause(name: &str) -> bool {
    name == IMAGE.name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{Command, Stdio},
    };

    #[test]
    fn it_is_small_and_named_after_its_content() {
        assert!(PROGRAM.len() < 16 << 10, "{} bytes", PROGRAM.len());
        assert!(is_pause(&IMAGE.name));
        assert_eq!(IMAGE.name.len(), REPOSITORY.len() + 1 + 12);
    }

    #[test]
    fn it_ends_when_it_is_asked_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, PROGRAM).unwrap();
        let made_runnable = Command::new("chmod").arg("755").arg(&path).status().unwrap();
        assert!(made_runnable.success());
        let mut child = Command::new(&path).stdin(Stdio::null()).spawn().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        let status = child.wait().unwrap();
        // A signal that comes before the program waits for it ends it as well, by the kernel.
        assert!(status.code() == Some(0) || status.signal() == Some(15), "{status}");
    }
}
