//! `hostPath`: a path of the node, checked against the type that it shall have.
//!
//! Upstream: `pkg/volume/hostpath/host_path.go`.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Checks the type, and makes what may be made. Symbolic links of the node are followed.
pub(super) fn check(path: &Path, type_: &str) -> io::Result<()> {
    match type_ {
        "" => Ok(()),
        "DirectoryOrCreate" => {
            if !path.exists() {
                DirBuilder::new().recursive(true).mode(0o755).create(path)?;
            }
            expect(path, "Directory", "directory")
        }
        "Directory" => expect(path, "Directory", "directory"),
        "FileOrCreate" => {
            if !path.exists() {
                OpenOptions::new().create(true).append(true).mode(0o644).open(path)?;
            }
            expect(path, "File", "file")
        }
        "File" => expect(path, "File", "file"),
        "Socket" => expect(path, "Socket", "socket file"),
        "CharDevice" => expect(path, "CharDevice", "character device"),
        "BlockDevice" => expect(path, "BlockDevice", "block device"),
        other => Err(io::Error::other(format!("{other} is an invalid volume type"))),
    }
}

fn expect(path: &Path, type_: &str, description: &str) -> io::Result<()> {
    let at = path.display();
    let Ok(metadata) = fs::metadata(path) else {
        return Err(io::Error::other(format!("hostPath {at} doesn't exist")));
    };
    let found = name(metadata.file_type());
    if found == type_ {
        return Ok(());
    }
    Err(io::Error::other(format!("hostPath type check failed: {at} is not a {description}, it's a {found}")))
}

fn name(file: fs::FileType) -> &'static str {
    match file {
        file if file.is_dir() => "Directory",
        file if file.is_file() => "File",
        file if file.is_socket() => "Socket",
        file if file.is_char_device() => "CharDevice",
        file if file.is_block_device() => "BlockDevice",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("dir")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let check = |name: &str, type_: &str| check(&path(name), type_).map_err(|error| error.to_string());
        for (name, type_) in [
            ("none", ""),
            ("dir", "Directory"),
            ("dir", "DirectoryOrCreate"),
            ("new/dir", "DirectoryOrCreate"),
            ("file", "File"),
            ("file", "FileOrCreate"),
            ("new/file", "FileOrCreate"),
            ("socket", "Socket"),
            ("/dev/null", "CharDevice"),
        ] {
            assert_eq!(check(name, type_), Ok(()), "{name} {type_}");
        }
        assert!(path("new/dir").is_dir() && path("new/file").is_file());
        let at = |name: &str| path(name).display().to_string();
        for (name, type_, want) in [
            ("none", "Directory", format!("hostPath {} doesn't exist", at("none"))),
            (
                "file",
                "Directory",
                format!("hostPath type check failed: {} is not a directory, it's a File", at("file")),
            ),
            (
                "dir",
                "FileOrCreate",
                format!("hostPath type check failed: {} is not a file, it's a Directory", at("dir")),
            ),
            (
                "dir",
                "Socket",
                format!("hostPath type check failed: {} is not a socket file, it's a Directory", at("dir")),
            ),
            ("dir", "Thing", "Thing is an invalid volume type".to_owned()),
        ] {
            assert_eq!(check(name, type_), Err(want));
        }
    }
}
