//! S6 as callers see it: a disk that fails, fills up and comes back, under a whole store.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::poll;
use proa_store::conformance::Mirror;
use proa_store::{
    Change, CommitError, Expect, Loaded, Local, Log, LogOptions, Op, OpenError, Options, Published, Revision,
    Store, Value, Write,
};

use crate::disk::{Faults, Image, TestDisk};

type TheDisk = TestDisk<()>;

/// What has not happened after this long never will.
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 4000,
        fill_bytes: 1000,
        fold_bytes: 4000,
        background: false,
        ..LogOptions::default()
    }
}

fn try_open(disk: &TheDisk) -> Result<(Arc<Local<Log>>, Arc<Mirror>), OpenError> {
    let mirror = Arc::new(Mirror::default());
    let published: Arc<dyn Published> = Arc::clone(&mirror) as _;
    let log = Log::on(Arc::new(disk.clone()), options());
    Ok((Local::open(log, published, Options::default())?, mirror))
}

fn open(disk: &TheDisk) -> (Arc<Local<Log>>, Arc<Mirror>) {
    try_open(disk).unwrap()
}

fn new_disk() -> TheDisk {
    TheDisk::new(Image::new(), 1)
}

fn put(key: &str, len: usize) -> Write {
    Write::one(Op::put(key, Expect::Absent, Value::new(vec![b'v'; len])))
}

/// A restart finds exactly what was visible.
async fn assert_same_after_restart(disk: &TheDisk, store: &Local<Log>, mirror: &Mirror) {
    store.close().await;
    let (again, seen) = open(disk);
    assert_eq!(seen.state().live, mirror.state().live);
    assert_eq!(seen.state().changes, mirror.state().changes);
    assert!(again.revision() >= store.revision());
    again.close().await;
}

#[tokio::test]
async fn s6_a_sync_that_fails_once_fails_one_batch_for_good() {
    let disk = new_disk();
    let (store, mirror) = open(&disk);
    assert_eq!(store.commit(put("/a", 10)).await, Ok(Revision(1)));
    disk.set_faults(Faults { next_syncs: 1, ..Faults::default() });
    let failed = store.commit(put("/b", 10)).await;
    assert!(matches!(failed, Err(CommitError::Io(_))), "the write is known not to be applied: {failed:?}");
    assert_eq!(mirror.state().live.len(), 1);
    let nothing = store.commit(Write::one(Op::delete("/never", Expect::Any))).await;
    assert_eq!(nothing, Ok(Revision(1)), "a revision that readers have");
    let later = store.commit(put("/b", 10)).await.unwrap();
    assert!(later > Revision(2), "the failed write's revision is not used again, {later}");
    assert_eq!(store.stats().failures, 1);
    assert_same_after_restart(&disk, &store, &mirror).await;
}

#[tokio::test]
async fn s6_a_dead_disk_refuses_writes_and_serves_reads() {
    let disk = new_disk();
    let (store, mirror) = open(&disk);
    store.commit(put("/a", 10)).await.unwrap();
    disk.set_faults(Faults { sync: 100, ..Faults::default() });
    let unknown = store.commit(put("/b", 10)).await;
    assert!(matches!(unknown, Err(CommitError::Unknown(_))), "{unknown:?}");
    let refused = store.commit(put("/c", 10)).await;
    assert!(matches!(refused, Err(CommitError::Io(_))), "{refused:?}");
    let refused = store.compact(Revision(1)).await;
    assert!(matches!(refused, Err(CommitError::Io(_))), "{refused:?}");
    assert_eq!(store.barrier().await, Ok(Revision(1)));
    assert_eq!(mirror.get("/a").unwrap().len(), 10);
    disk.set_faults(Faults::default());
    let revision = store.commit(put("/d", 10)).await.unwrap();
    assert!(revision > Revision(2), "{revision}");
    assert_eq!(mirror.state().live.len(), 2, "what was refused did not come back");
    assert_same_after_restart(&disk, &store, &mirror).await;
}

#[tokio::test]
async fn s6_a_full_disk_refuses_writes_until_there_is_space() {
    let disk = new_disk();
    let (store, mirror) = open(&disk);
    store.commit(put("/a", 10)).await.unwrap();
    disk.set_faults(Faults { space: Some(disk.used()), ..Faults::default() });
    for _ in 0..3 {
        let full = store.commit(put("/big", 5000)).await;
        assert!(matches!(full, Err(CommitError::Full(_))), "{full:?}");
        assert_eq!(mirror.state().live.len(), 1);
    }
    disk.set_faults(Faults::default());
    store.commit(put("/big", 5000)).await.unwrap();
    assert_same_after_restart(&disk, &store, &mirror).await;
}

/// A store with a snapshot, several segments, and (if closed in order) a note of that at the end.
async fn sample(closed: bool) -> (Image, Arc<Mirror>) {
    let disk = new_disk();
    let (store, mirror) = open(&disk);
    for n in 0..12 {
        let key = format!("/k{}", n % 5);
        store.commit(Write::one(Op::put(key, Expect::Any, Value::new(vec![n; 400])))).await.unwrap();
        if n == 3 || n == 7 {
            store.compact(Revision(4)).await.unwrap();
        }
    }
    let mut image = disk.image();
    store.close().await;
    if closed {
        image = disk.image();
    }
    let names: Vec<_> = image.keys().map(|name| name.trim_end_matches(char::is_numeric)).collect();
    assert_eq!(names, ["log-", "log-", "snapshot-"]);
    (image, mirror)
}

#[tokio::test]
async fn s4_a_flipped_bit_is_never_served() {
    let (image, mirror) = sample(true).await;
    let truth = mirror.state();
    let (mut refused, mut unharmed) = (0, 0);
    for (name, bytes) in &image {
        for at in (0..bytes.len()).step_by(3) {
            let mut damaged = image.clone();
            damaged.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            match try_open(&TheDisk::new(damaged, 1)) {
                Err(OpenError::Corrupt { file, .. } | OpenError::Format { file, .. }) => {
                    assert!(file.starts_with("log") || file.starts_with("snapshot"));
                    refused += 1;
                }
                Err(other) => panic!("{name} byte {at}: {other}"),
                Ok((store, seen)) => {
                    assert_eq!(seen.state().live, truth.live, "{name} byte {at}");
                    unharmed += 1;
                    store.close().await;
                }
            }
        }
    }
    // Padding and the note at the end may be damaged unnoticed.
    assert!(refused > 1000 && unharmed < 100, "{refused} refused, {unharmed} unharmed");
}

#[tokio::test]
async fn s4_a_cut_log_loses_its_last_write_and_says_so_or_refuses() {
    let (image, mirror) = sample(false).await;
    let truth = mirror.state();
    let last = image.keys().rfind(|name| name.starts_with("log")).unwrap().clone();
    let all = image[&last].len();
    for len in 0..all {
        let mut cut = image.clone();
        cut.get_mut(&last).unwrap().truncate(len);
        match try_open(&TheDisk::new(cut, 1)) {
            Err(error) => assert!(len < 64 && matches!(error, OpenError::Corrupt { .. }), "{len}: {error}"),
            Ok((store, seen)) => {
                let state = seen.state();
                let prefix = truth.changes.iter().filter(|change| change.revision <= state.revision);
                let prefix = prefix.filter(|change| change.revision > state.compacted);
                assert!(prefix.eq(&state.changes), "{len}");
                store.close().await;
            }
        }
    }
}

#[tokio::test]
async fn s4_a_missing_file_refuses_to_open() {
    let (image, _) = sample(true).await;
    for name in image.keys() {
        let mut without = image.clone();
        without.remove(name);
        let is_last = Some(name) == image.keys().rfind(|name| name.starts_with("log"));
        let result = try_open(&TheDisk::new(without, 1));
        // That the last one existed is known to nobody.
        assert!(is_last || matches!(result, Err(OpenError::Corrupt { .. })), "without {name}");
    }
}

/// A published state that waits before it returns from publishing, so that writes gather behind the writer.
struct Slow {
    mirror: Mirror,
    entered: Sender<()>,
    leave: Mutex<Receiver<()>>,
}

impl Published for Slow {
    fn head(&self, key: &str) -> Option<Revision> {
        self.mirror.head(key)
    }

    fn load(&self, loaded: Loaded) {
        self.mirror.load(loaded);
    }

    fn publish(&self, revision: Revision, changes: &[Change]) {
        self.mirror.publish(revision, changes);
        self.entered.send(()).unwrap();
        self.leave.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    }
}

type Answer = BoxFuture<'static, Result<Revision, CommitError>>;

/// A store whose writer is held while it publishes a first write, with others in its queue; sending lets it go on.
async fn held(
    disk: &TheDisk,
    writes: Vec<Write>,
) -> (Arc<Local<Log>>, Vec<Answer>, Sender<()>, Receiver<()>) {
    let ((entered, entries), (leave, leaves)) = (channel(), channel());
    let slow = Arc::new(Slow { mirror: Mirror::default(), entered, leave: Mutex::new(leaves) });
    let log = Log::on(Arc::new(disk.clone()), options());
    let store = Local::open(log, slow, Options { batch_writes: 64, ..Options::default() }).unwrap();
    let mut answers = vec![store.commit(put("/first", 1))];
    assert!(poll!(&mut answers[0]).is_pending());
    entries.recv_timeout(PATIENCE).unwrap();
    for write in writes {
        let mut answer = store.commit(write);
        assert!(poll!(&mut answer).is_pending(), "nothing is acknowledged meanwhile");
        answers.push(answer);
    }
    (store, answers, leave, entries)
}

#[tokio::test]
async fn writes_that_wait_share_one_sync() {
    let disk = new_disk();
    let writes = (0..100).map(|n| put(&format!("/k{n}"), 1)).collect();
    let (store, answers, leave, entries) = held(&disk, writes).await;
    leave.send(()).unwrap();
    for _ in 0..2 {
        entries.recv_timeout(PATIENCE).unwrap();
        leave.send(()).unwrap();
    }
    let answers = join_all(answers).await;
    let in_order: Vec<_> = (1..=101).map(|n| Ok(Revision(n))).collect();
    assert_eq!(answers, in_order);
    assert_eq!((store.stats().batches, store.stats().writes), (3, 101));
    store.close().await;
}

#[tokio::test]
async fn s6_who_loses_to_a_write_that_fails_is_not_told_of_a_conflict() {
    let disk = new_disk();
    let writes = vec![put("/a", 1), put("/a", 2), put("/first", 1)];
    let (store, answers, leave, _entries) = held(&disk, writes).await;
    disk.set_faults(Faults { next_syncs: 1, ..Faults::default() });
    leave.send(()).unwrap();
    let answers = join_all(answers).await;
    assert_eq!(answers[0], Ok(Revision(1)));
    for answer in &answers[1..] {
        assert!(matches!(answer, Err(CommitError::Io(_))), "{answer:?}");
    }
    store.close().await;
}
