//! Swaps the whole content of a directory at once.
//!
//! The files are in a directory of their own, named after the time; `..data` points to it, and what users see are links
//! through `..data`. A change writes a new directory and turns `..data` round. Invariants: a reader sees the old files
//! or the new ones; after a crash the next write cleans up; content that is the same is not written again, so watchers
//! inside containers are not woken for nothing. Upstream: `pkg/volume/util/atomic_writer.go`.

use super::{
    layout,
    ownership::{self, Access},
    payload::{File, Payload},
};
use jiff::Timestamp;
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";
/// Mode of directories that are made for files.
const DIRECTORY_MODE: u32 = 0o755;

/// Makes the directory hold exactly these files. Whether something was written.
pub(super) fn write(directory: &Path, files: &Payload, fs_group: Option<u32>) -> io::Result<bool> {
    for path in files.keys() {
        verify(path)?;
    }
    let old = fs::read_link(directory.join(DATA)).ok();
    if let Some(old) = &old
        && holds(&directory.join(old), files)?
    {
        link_names(directory, files)?;
        return Ok(false);
    }
    let new = write_new(directory, files)?;
    if let Some(group) = fs_group {
        ownership::give_all_to_group(&directory.join(&new), group, Access::ReadOnly)?;
        ownership::give_to_group(directory, group, Access::ReadOnly)?;
    }
    turn_round(directory, &new)?;
    link_names(directory, files)?;
    remove_others(directory, &new)?;
    Ok(true)
}

/// A path stays below the volume and does not look like one of ours.
fn verify(path: &str) -> io::Result<()> {
    let is_plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain && !path.is_empty() && !path.starts_with("..") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {path:?}")))
}

/// Whether a directory holds these files and no others.
fn holds(directory: &Path, files: &Payload) -> io::Result<bool> {
    let mut present = BTreeSet::new();
    match list(directory, Path::new(""), &mut present) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        done => done?,
    }
    let is_same = |(path, file): (&String, &File)| {
        present.contains(Path::new(path))
            && fs::read(directory.join(path)).is_ok_and(|data| data == file.data)
    };
    Ok(present.len() == files.len() && files.iter().all(is_same))
}

fn list(root: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

fn write_new(directory: &Path, files: &Payload) -> io::Result<PathBuf> {
    let new = new_directory(directory)?;
    let root = directory.join(&new);
    for (path, file) in files {
        let at = root.join(path);
        make_parents(&root, Path::new(path))?;
        fs::write(&at, &file.data)?;
        layout::set_mode(&at, file.mode)?;
        if let Some(owner) = file.owner {
            ownership::chown(&at, Some(owner), None)?;
        }
    }
    Ok(new)
}

fn make_parents(root: &Path, path: &Path) -> io::Result<()> {
    let parents: Vec<&Path> = path.ancestors().skip(1).filter(|parent| *parent != Path::new("")).collect();
    for parent in parents.into_iter().rev() {
        let at = root.join(parent);
        if !at.is_dir() {
            fs::create_dir(&at)?;
            layout::set_mode(&at, DIRECTORY_MODE)?;
        }
    }
    Ok(())
}

fn new_directory(directory: &Path) -> io::Result<PathBuf> {
    loop {
        let now = Timestamp::now();
        let name = PathBuf::from(now.strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string());
        match fs::create_dir(directory.join(&name)) {
            // The clock stood still; it will move on.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                layout::set_mode(&directory.join(&name), DIRECTORY_MODE)?;
                return Ok(name);
            }
        }
    }
}

fn turn_round(directory: &Path, new: &Path) -> io::Result<()> {
    let link = directory.join(NEW_DATA);
    remove_if_there(&link)?;
    symlink(new, &link)?;
    fs::rename(&link, directory.join(DATA))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// First parts of the files' paths: what users see.
fn names(files: &Payload) -> BTreeSet<&str> {
    files.keys().filter_map(|path| path.split('/').next()).collect()
}

/// Makes the links that users see, and removes those to nothing.
fn link_names(directory: &Path, files: &Payload) -> io::Result<()> {
    let wanted = names(files);
    for name in &wanted {
        let at = directory.join(name);
        if fs::symlink_metadata(&at).is_err() {
            symlink(Path::new(DATA).join(name), &at)?;
        }
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_stale = name.to_str().is_none_or(|name| !name.starts_with("..") && !wanted.contains(name));
        if is_stale && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes the directories of earlier writes, also of ones that did not finish.
fn remove_others(directory: &Path, kept: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(".."));
        if is_ours && entry.file_type()?.is_dir() && *name != *kept.as_os_str() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    fn files(list: &[(&str, &str)]) -> Payload {
        let file = |data: &str| File { data: data.into(), mode: 0o640, owner: None };
        list.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
    }

    fn seen(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("..")).collect();
        names.sort();
        names
    }

    fn read(directory: &Path, path: &str) -> String {
        fs::read_to_string(directory.join(path)).unwrap()
    }

    #[test]
    fn content_is_swapped_whole() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        assert!(write(at, &files(&[("a", "1"), ("d/e", "2")]), None).unwrap());
        assert_eq!(
            (read(at, "a"), read(at, "d/e"), seen(at)),
            ("1".into(), "2".into(), vec!["a".into(), "d".into()])
        );
        assert_eq!(fs::metadata(at.join("a")).unwrap().permissions().mode() & 0o7777, 0o640);
        let first = fs::read_link(at.join(DATA)).unwrap();
        assert!(!write(at, &files(&[("a", "1"), ("d/e", "2")]), None).unwrap());
        assert_eq!(fs::read_link(at.join(DATA)).unwrap(), first);
        assert!(write(at, &files(&[("a", "3"), ("f", "4")]), None).unwrap());
        assert_eq!((read(at, "a"), seen(at)), ("3".into(), vec!["a".into(), "f".into()]));
        assert!(!at.join(first).exists());
        // An open file keeps what it had; the link leads to the new one.
        assert!(write(at, &files(&[]), None).unwrap());
        assert_eq!(seen(at), Vec::<String>::new());
    }

    #[test]
    fn what_a_crash_left_is_cleaned_up() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        write(at, &files(&[("a", "1")]), None).unwrap();
        fs::create_dir(at.join("..2020_half")).unwrap();
        symlink("..2020_half", at.join(NEW_DATA)).unwrap();
        fs::remove_file(at.join("a")).unwrap();
        assert!(!write(at, &files(&[("a", "1")]), None).unwrap());
        assert_eq!(read(at, "a"), "1");
        assert!(write(at, &files(&[("a", "2")]), None).unwrap());
        assert_eq!(read(at, "a"), "2");
        assert!(!at.join("..2020_half").exists());
    }

    #[test]
    fn files_are_given_to_their_group_and_owner() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let mut payload = files(&[("d/a", "1")]);
        payload.insert("own".to_owned(), File { data: vec![], mode: 0o600, owner: Some(4242) });
        write(at, &payload, Some(4343)).unwrap();
        let of = |path: &str| {
            let metadata = fs::metadata(at.join(path)).unwrap();
            (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
        };
        assert_eq!(of("d/a"), (0, 4343, 0o640));
        assert_eq!(of("own"), (4242, 4343, 0o640));
        assert_eq!(of("d"), (0, 4343, 0o2755));
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["", "/a", "../a", "a/../b", "..a"] {
            assert!(write(dir.path(), &files(&[(path, "")]), None).is_err(), "{path}");
        }
    }
}
