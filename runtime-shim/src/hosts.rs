//! Where images are pulled from: the folder of registries that containerd reads anew at every pull.
//!
//! One folder per registry host, with a `hosts.toml` inside; the folder `_default` stands for every host that has none.
//! Users may write and change these files by hand at any time, without a restart. Invariant: a file that is there
//! is never overwritten unless it was made here and says so in its first line.
//! Upstream: containerd's `docs/hosts.md`.

use std::{fs, io, path::Path};

/// The folder that stands for all registries without one of their own.
pub const DEFAULT: &str = "_default";
const MADE_HERE: &str = "# Made by Proa, which may change it; remove this line to keep your changes.";

/// Where the images of one registry are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Host name as in image names, such as `docker.io` or `127.0.0.1:5000`, or [`DEFAULT`].
    pub host: String,
    /// URLs to ask, in order, such as `http://127.0.0.1:5000`.
    pub mirrors: Vec<String>,
    /// Whether to ask the registry itself when no mirror has an image. Without it a missing image is told at once, also
    /// on a machine without a network.
    pub fall_back: bool,
}

/// Writes a registry's file into `folder`, unless a user's own is there.
pub fn write(folder: &Path, registry: &Registry) -> io::Result<()> {
    let host = &registry.host;
    if host.is_empty() || host.contains('/') || host.starts_with('.') {
        let why = format!("{host:?} is not the host of a registry");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let directory = folder.join(host);
    let file = directory.join("hosts.toml");
    if fs::read_to_string(&file).is_ok_and(|text| !text.starts_with(MADE_HERE)) {
        return Ok(());
    }
    fs::create_dir_all(&directory)?;
    fs::write(file, text(registry))
}

fn text(registry: &Registry) -> String {
    let mut text = format!("{MADE_HERE}\n");
    // Without a `server`, containerd asks the registry itself last.
    if let (false, Some(last)) = (registry.fall_back, registry.mirrors.last()) {
        text += &format!("server = {}\n", quoted(last));
    }
    for mirror in &registry.mirrors {
        text += &format!("\n[host.{}]\n  capabilities = [\"pull\", \"resolve\"]\n", quoted(mirror));
    }
    text
}

/// A TOML string; JSON's are a part of those.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(fall_back: bool) -> Registry {
        Registry { host: DEFAULT.into(), mirrors: vec!["http://127.0.0.1:5000".into()], fall_back }
    }

    #[test]
    fn a_catch_all_names_its_mirror() {
        assert_eq!(
            text(&registry(false)),
            format!(
                "{MADE_HERE}\nserver = \"http://127.0.0.1:5000\"\n\n[host.\"http://127.0.0.1:5000\"]\n  \
                 capabilities = [\"pull\", \"resolve\"]\n"
            )
        );
        assert!(!text(&registry(true)).contains("server ="));
    }

    #[test]
    fn a_users_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("_default/hosts.toml");
        write(folder.path(), &registry(true)).unwrap();
        write(folder.path(), &registry(false)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text(&registry(false)));
        fs::write(&file, "server = \"https://mine.example\"\n").unwrap();
        write(folder.path(), &registry(true)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "server = \"https://mine.example\"\n");
    }

    #[test]
    fn a_host_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        for host in ["", "../x", "a/b"] {
            let error = write(folder.path(), &Registry { host: host.into(), ..registry(true) }).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
