//! Images made here, as docker-archive files in memory.
//!
//! Owns: the format, as far as one layer of a few files needs it. Invariant: the same content gives the same bytes, so
//! also the same image id. Deliberately absent: reading archives, which containerd does.
//! Upstream: `image-spec` config, `docker save`.

use ring::digest;
use serde_json::json;
use std::{fmt::Write as _, io};

/// A file of an image.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Path in the image, without the leading slash.
    pub path: &'a str,
    /// Permissions.
    pub mode: u32,
    /// Content.
    pub content: &'a [u8],
}

/// An image of a few files, which belong to root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Archive<'a> {
    /// Name with tag.
    pub name: &'a str,
    /// What it runs.
    pub entrypoint: &'a [&'a str],
    /// As whom; root when empty.
    pub user: &'a str,
    /// Its files.
    pub files: &'a [File<'a>],
}

impl Archive<'_> {
    /// The archive. An error is a path that tar cannot hold.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let layer = tar(self.files)?;
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": { "Entrypoint": self.entrypoint, "User": self.user },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
        });
        let manifest = json!([{ "Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"] }]);
        let file = |path, content| File { path, mode: 0o644, content };
        tar(&[
            file("manifest.json", manifest.to_string().as_bytes()),
            file("config.json", config.to_string().as_bytes()),
            file("layer.tar", &layer),
        ])
    }
}

fn tar(files: &[File<'_>]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_mtime(0);
        builder.append_data(&mut header, file.path, file.content)?;
    }
    builder.into_inner()
}

/// Hexadecimal digits of a digest.
pub(crate) fn sha256(content: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, content);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// This machine's architecture, as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_gives_the_same_archive() {
        let files = [File { path: "bin/program", mode: 0o755, content: b"#!" }];
        let archive =
            Archive { name: "a.example/b:1", entrypoint: &["/bin/program"], user: "1", files: &files };
        let bytes = archive.bytes().unwrap();
        assert_eq!(bytes, archive.bytes().unwrap());
        let mut entries = tar::Archive::new(bytes.as_slice());
        let names: Vec<_> =
            entries.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["manifest.json", "config.json", "layer.tar"]);
    }

    #[test]
    fn digests_are_hexadecimal() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
