//! Processes that outlive whoever started them: found by their command lines, watched and ended by descriptors that no
//! reused id can confuse.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{fs, io, os::fd::OwnedFd, process::Child, time::Duration};
use tokio::io::unix::AsyncFd;

/// A process, whoever started it.
#[derive(Debug)]
pub struct Handle {
    pid: u32,
    descriptor: OwnedFd,
    /// When this process started it, it also has to bury it.
    child: Option<Child>,
}

impl Handle {
    /// A process that is there.
    fn open(pid: u32) -> Option<Self> {
        let descriptor = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        Some(Self { pid, descriptor, child: None })
    }

    /// A process that this one started.
    ///
    /// # Errors
    /// It is gone already.
    pub fn of(child: Child) -> io::Result<Self> {
        let pid = child.id();
        let handle = Self::open(pid).ok_or_else(|| io::Error::other("the process is gone"))?;
        Ok(Self { child: Some(child), ..handle })
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the process has ended.
    pub(super) async fn ended(&mut self) {
        let waited = async { watched(self.descriptor.try_clone()?)?.readable().await.map(drop) };
        if let Err(error) = waited.await {
            tracing::warn!(%error, pid = self.pid, "a process cannot be watched");
        }
        self.bury();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Says whether the process ended in time.
    fn wait(&self, within: Duration) -> bool {
        let timeout =
            Timespec { tv_sec: within.as_secs().cast_signed(), tv_nsec: within.subsec_nanos().into() };
        let mut descriptors = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll(&mut descriptors, Some(&timeout)).is_ok_and(|ready| ready > 0)
    }

    /// Asks the process to end, and kills it when it takes longer than `grace`.
    pub fn end(mut self, grace: Duration) {
        let _ = pidfd_send_signal(&self.descriptor, Signal::TERM);
        if !self.wait(grace) {
            self.kill();
        }
        self.bury();
    }

    /// Kills the process; it may take a moment to go.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }

    /// Kills the process and waits; whether it ended in time.
    pub fn kill_and_wait(mut self, within: Duration) -> bool {
        self.kill();
        let has_ended = self.wait(within);
        self.bury();
        has_ended
    }

    fn bury(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.try_wait();
        }
    }
}

fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(unsafe_code, reason = "unsafe only for what may close or change its descriptor meanwhile")]
    // SAFETY: an owned descriptor stays the same and open until it is dropped, and the AsyncFd owns it.
    Ok(unsafe { AsyncFd::register(descriptor)? })
}

/// The process with this id.
#[must_use]
pub fn by_id(pid: u32) -> Option<Handle> {
    Handle::open(pid)
}

/// Processes whose command lines fit; they are given as their words, the program first.
pub fn find(fits: impl Fn(&[&[u8]]) -> bool) -> impl Iterator<Item = Handle> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_fitting = move |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.strip_suffix(b"\0").unwrap_or(&line).split(|&byte| byte == 0).collect();
        fits(&words)
    };
    // Opened first: if the id was reused in between, the command line is the new process's.
    ids.filter_map(move |pid| Handle::open(pid).filter(|handle| is_fitting(handle.pid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found_watched_and_ended() {
        let child = Command::new("sleep").args(["1000"]).spawn().unwrap();
        let pid = child.id();
        let mine = |words: &[&[u8]]| words == [b"sleep".as_slice(), b"1000"];
        // The command line is that of the test until the program was loaded.
        while !find(mine).any(|handle| handle.pid() == pid) {
            std::thread::yield_now();
        }
        let handle = Handle::of(child).unwrap();
        assert!(!handle.has_ended());
        handle.end(Duration::from_secs(5));
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "it was buried");
    }

    #[tokio::test]
    async fn the_end_of_a_process_wakes() {
        let mut handle = Handle::of(Command::new("true").spawn().unwrap()).unwrap();
        handle.ended().await;
        assert!(handle.has_ended());
    }
}
