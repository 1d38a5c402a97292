//! The processes of a node's containerd: itself and its shims.

use crate::process::{Handle, find};
use std::{fs, os::unix::ffi::OsStrExt as _, path::Path};

/// The containerd that runs with this configuration.
pub(super) fn containerd(config: &Path) -> Option<Handle> {
    let is_ours = |words: &[&[u8]]| match words {
        [program, b"--config", file] => {
            program.ends_with(b"containerd") && *file == config.as_os_str().as_bytes()
        }
        _ => false,
    };
    find(is_ours).next()
}

/// The shims of the containerd on this socket.
pub(super) fn shims(socket: &Path) -> impl Iterator<Item = Handle> {
    let socket = socket.as_os_str().as_bytes().to_owned();
    find(move |words| {
        let is_shim = words.first().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"));
        is_shim && words.windows(2).any(|pair| pair[0] == b"-address" && pair[1] == socket)
    })
}

/// The shims of the containerd on this socket, by the id of what each was started for.
pub(super) fn shims_by_id(socket: &Path) -> impl Iterator<Item = (String, Handle)> {
    shims(socket).filter_map(|shim| {
        let line = fs::read(format!("/proc/{}/cmdline", shim.pid())).ok()?;
        let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
        let id = words.windows(2).find(|pair| pair[0] == b"-id")?[1];
        Some((String::from_utf8_lossy(id).into_owned(), shim))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_containerd_is_not_ours() {
        assert!(containerd(Path::new("/nowhere/config.toml")).is_none());
        assert_eq!(shims(Path::new("/nowhere/containerd.sock")).count(), 0);
    }
}
