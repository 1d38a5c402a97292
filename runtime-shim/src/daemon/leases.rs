//! Addresses of pods as the CNI plugins keep them: host-local's files, one per address with the sandbox's id on its first
//! line, and libcni's record of what a sandbox was given.
//!
//! The plugins give addresses back when they are told that a sandbox goes; this is for those that nobody told.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where libcni keeps its records; the path is built into containerd.
const RECORDS: &str = "/var/lib/cni/results";

/// An address that a sandbox has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// host-local's file, named after the address.
    pub(super) file: PathBuf,
    /// Id of the sandbox.
    pub(super) sandbox: String,
}

/// All addresses in use; `addresses` is host-local's directory, with one more per network.
pub(super) fn all(addresses: &Path) -> Vec<Lease> {
    let networks = fs::read_dir(addresses).into_iter().flatten().flatten();
    let files = networks.flat_map(|network| fs::read_dir(network.path()).into_iter().flatten().flatten());
    files.filter_map(|file| lease(file.path())).collect()
}

fn lease(file: PathBuf) -> Option<Lease> {
    // Other files are a lock and the address that was given last.
    file.file_name()?.to_str()?.parse::<std::net::IpAddr>().ok()?;
    let sandbox = fs::read_to_string(&file).ok()?.lines().next()?.trim().to_owned();
    Some(Lease { file, sandbox })
}

impl Lease {
    /// Gives the address back. The sandbox must be gone.
    pub(super) fn release(&self) {
        let of_sandbox = format!("-{}-", self.sandbox);
        let records = fs::read_dir(RECORDS).into_iter().flatten().flatten();
        for record in records.filter(|r| r.file_name().to_string_lossy().contains(&of_sandbox)) {
            drop(fs::remove_file(record.path()));
        }
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::warn!(%error, file = %self.file.display(), "an address stays in use");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let network = dir.path().join("pods");
        fs::create_dir(&network).unwrap();
        fs::write(network.join("10.1.0.7"), "0123abcd\r\neth0").unwrap();
        fs::write(network.join("last_reserved_ip.0"), "10.1.0.7").unwrap();
        fs::write(network.join("lock"), "").unwrap();
        let leases = all(dir.path());
        assert_eq!(leases, [Lease { file: network.join("10.1.0.7"), sandbox: "0123abcd".into() }]);
        leases[0].release();
        assert!(all(dir.path()).is_empty());
        assert!(all(Path::new("/nowhere/at/all")).is_empty());
    }
}
