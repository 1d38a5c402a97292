//! Processes of this program, found by their command lines and ended by descriptors that no reused id can confuse.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{fs, os::fd::OwnedFd, time::Duration};

/// A process.
pub(crate) struct Process {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Process {
    fn open(pid: i32) -> Option<Self> {
        let pid = Pid::from_raw(pid)?;
        Some(Self { pid, descriptor: pidfd_open(pid, PidfdFlags::empty()).ok()? })
    }

    /// Its id.
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Asks it to end, and kills it when it takes longer than `grace`.
    pub(crate) fn end(&self, grace: Duration) {
        let _ = pidfd_send_signal(&self.descriptor, Signal::TERM);
        if !self.ends_within(grace) {
            let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
            self.ends_within(grace);
        }
    }

    fn ends_within(&self, time: Duration) -> bool {
        let timeout = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        let mut descriptors = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll(&mut descriptors, Some(&timeout)).is_ok_and(|ready| ready > 0)
    }
}

/// Processes of the subcommand whose options have these values.
pub(crate) fn find(subcommand: &str, options: &[(&str, &str)]) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let fits = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
        is_it(&words, subcommand, options)
    };
    // Opened first: if the id was reused in between, the command line is the new process's.
    ids.filter_map(|pid| Process::open(pid).filter(|_| fits(pid))).collect()
}

fn is_it(words: &[&[u8]], subcommand: &str, options: &[(&str, &str)]) -> bool {
    let has = |(option, value): &(&str, &str)| {
        words.windows(2).any(|pair| pair[0] == option.as_bytes() && pair[1] == value.as_bytes())
    };
    words.get(1) == Some(&subcommand.as_bytes()) && options.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_subcommand_and_all_options_decide() {
        let words: Vec<&[u8]> = vec![b"proa", b"node", b"--number", b"2", b"--data-dir", b"/d"];
        assert!(is_it(&words, "node", &[("--data-dir", "/d"), ("--number", "2")]));
        assert!(!is_it(&words, "node", &[("--data-dir", "/d"), ("--number", "3")]));
        assert!(!is_it(&words, "server", &[]));
    }

    #[test]
    fn a_process_is_found_and_ended() {
        let mut child = Command::new("tail").args(["-f", "/dev/null", "--pid", "1"]).spawn().unwrap();
        // The command line is that of the test until the program was loaded.
        let found = loop {
            let found = find("-f", &[("--pid", "1")]);
            if let Some(found) = found.into_iter().find(|process| process.id().cast_unsigned() == child.id())
            {
                break found;
            }
            std::thread::yield_now();
        };
        found.end(Duration::from_secs(20));
        assert!(!child.wait().unwrap().success());
    }
}
