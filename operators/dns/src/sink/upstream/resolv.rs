//! Which name servers the host uses: `resolv.conf`, followed as it changes.
//!
//! Deliberately absent: its search list and options, which are the host's and not the pods'.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

/// How long the file is trusted before it is looked at again.
const TRUST: Duration = Duration::from_secs(5);
/// Servers that are used; glibc uses as many.
const MOST: usize = 3;

/// The servers of a file.
#[derive(Debug)]
pub(super) struct Servers {
    file: PathBuf,
    own: Vec<SocketAddr>,
    list: Vec<SocketAddr>,
    changed: Option<SystemTime>,
    looked: Option<Instant>,
}

impl Servers {
    /// Servers of `file` that are none of the `own` addresses.
    pub(super) fn new(file: PathBuf, own: Vec<SocketAddr>) -> Self {
        Self { file, own, list: Vec::new(), changed: None, looked: None }
    }
    /// The servers, the one that answered last first.
    pub(super) fn list(&mut self, now: Instant) -> Vec<SocketAddr> {
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= TRUST) {
            self.looked = Some(now);
            self.look();
        }
        self.list.clone()
    }
    /// A server answered: the next query goes there first.
    pub(super) fn answered(&mut self, server: SocketAddr) {
        if let Some(at) = self.list.iter().position(|own| *own == server) {
            self.list[..=at].rotate_right(1);
        }
    }
    fn look(&mut self) {
        let changed = std::fs::metadata(&self.file).and_then(|found| found.modified()).ok();
        if changed.is_some() && changed == self.changed {
            return;
        }
        match std::fs::read_to_string(&self.file) {
            Ok(text) => {
                self.list = parse(&text, &self.own);
                self.changed = changed;
                tracing::info!(file = %self.file.display(), servers = ?self.list, "name servers of the host");
            }
            // A file that is being replaced is there again next time.
            Err(error) => tracing::debug!(file = %self.file.display(), %error, "name servers cannot be read"),
        }
    }
}

/// Servers of a `resolv.conf`, without those that would lead back here.
fn parse(text: &str, own: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next());
        let Some(server) = server.and_then(address) else { continue };
        if !own.contains(&server) && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers.truncate(MOST);
    servers
}

/// An address, with a port as BSD and systemd write it.
fn address(word: &str) -> Option<SocketAddr> {
    word.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).or_else(|_| word.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_of_the_file_without_own_addresses() {
        let text = "# by hand\nsearch example.com\nnameserver 10.96.0.10\n nameserver\t192.0.2.1 # first\n\
            nameserver 192.0.2.1\nnameserver [2001:db8::1]:5353\nnameserver fe80::1%eth0\nnameserver 192.0.2.3\n\
            nameserver 192.0.2.4\n";
        let servers = parse(text, &[([10, 96, 0, 10], 53).into()]);
        let expected = ["192.0.2.1:53", "[2001:db8::1]:5353", "192.0.2.3:53"];
        assert_eq!(servers, expected.map(|server| server.parse().unwrap()));
    }

    #[test]
    fn the_file_is_read_again_when_it_changes_and_the_last_to_answer_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        std::fs::write(&file, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n").unwrap();
        let mut servers = Servers::new(file.clone(), Vec::new());
        let start = Instant::now();
        let second: SocketAddr = "192.0.2.2:53".parse().unwrap();
        assert_eq!(servers.list(start).len(), 2);
        servers.answered(second);
        assert_eq!(servers.list(start)[0], second);
        std::fs::write(&file, "nameserver 192.0.2.9\n").unwrap();
        let moved = SystemTime::now() + Duration::from_secs(60);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(moved).unwrap();
        assert_eq!(servers.list(start).len(), 2, "the file is trusted for a while");
        assert_eq!(servers.list(start + TRUST), ["192.0.2.9:53".parse().unwrap()]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(servers.list(start + TRUST * 2).len(), 1, "what was known stays");
    }
}
