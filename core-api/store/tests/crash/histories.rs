//! Random histories of one thread, each crashed at random points; from some of those the history goes on.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use proa_store::conformance::live_objects;
use proa_store::{Change, Engine, Key, Loaded, Log, LogOptions, OpenError, Revision, Value};

use crate::disk::{Faults, Image, TestDisk};
use crate::random::Random;

/// What the engine has promised at some point.
#[derive(Clone, Debug, Default)]
struct Promise {
    /// This many changes are there.
    certain: usize,
    /// Whether these follow is open.
    open: Vec<Change>,
    /// The compacted revision is in here.
    compacted: (Revision, Revision),
    /// Revisions up to this one are never used again.
    used: Revision,
}

type TheDisk = TestDisk<Promise>;

fn options(seed: u64) -> LogOptions {
    let fill_bytes = [1, 64, 700][seed as usize % 3];
    LogOptions { segment_bytes: 1500, fill_bytes, fold_bytes: 1500, fold_segments: 4, background: false }
}

/// A process that writes to a disk.
struct Process {
    log: Log,
    disk: TheDisk,
    luck: Random,
    /// Every change that is there.
    truth: Vec<Change>,
    promise: Promise,
    next: Revision,
}

impl Process {
    /// Opens what a crash left, where `truth` with or without the promise's open changes should be. A failing disk
    /// is tried again.
    fn open(
        disk: TheDisk,
        seed: u64,
        faults: &Faults,
        truth: &[Change],
        promise: &Promise,
        mut luck: Random,
    ) -> Self {
        disk.note(promise.clone());
        disk.set_faults(Faults { space: None, ..faults.clone() });
        for attempt in 0.. {
            if attempt == 3 {
                disk.set_faults(Faults::default());
            }
            let mut log = Log::on(Arc::new(disk.clone()), options(seed));
            let loaded = match log.load() {
                Ok(loaded) => loaded,
                Err(OpenError::Io { source, .. }) if attempt < 3 && source.kind() == ErrorKind::Other => {
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let truth = check(&loaded, truth, promise);
            let compacted = (loaded.compacted, loaded.compacted);
            let used = loaded.revision;
            let promise = Promise { certain: truth.len(), open: Vec::new(), compacted, used };
            disk.note(promise.clone());
            disk.set_faults(faults.clone());
            let luck = Random(luck.number());
            return Process { log, disk, luck, truth, promise, next: loaded.revision.next() };
        }
        unreachable!("the third attempt succeeds or panics")
    }

    /// Works until the history is long enough or the disk fails for good.
    fn work(&mut self, steps: u64) {
        for _ in 0..steps {
            let works = match self.luck.below(20) {
                0 | 1 => self.compact(),
                2 => self.log.shrink().is_ok(),
                _ => self.append(),
            };
            if !works && !self.recover() {
                return;
            }
        }
        if self.luck.chance(30) {
            drop(self.log.close());
        }
    }

    fn append(&mut self) -> bool {
        let batch = self.batch();
        self.promise.open.clone_from(&batch);
        self.disk.note(self.promise.clone());
        let result = self.log.append(&batch);
        self.next = batch.last().unwrap().revision.next();
        match result {
            Ok(()) => {
                self.truth.extend(batch);
                self.promise.certain = self.truth.len();
                self.promise.used = Revision(self.next.0 - 1);
                self.promise.open.clear();
            }
            Err(proa_store::EngineError::Unknown(_)) => {}
            // Any other error promises that the batch never comes back.
            Err(_) => self.promise.open.clear(),
        }
        self.disk.note(self.promise.clone());
        result.is_ok()
    }

    fn batch(&mut self) -> Vec<Change> {
        let mut revision = self.next;
        let count = 1 + self.luck.below(5);
        let mut batch = Vec::new();
        for n in 0..count {
            let key: Key = format!("/k/{}", self.luck.below(12)).into();
            let is_twice = batch.iter().any(|other: &Change| other.revision == revision && other.key == key);
            if n > 0 && (is_twice || self.luck.chance(60)) {
                revision = revision.next();
            }
            let len = if self.luck.chance(5) { 2500 } else { self.luck.below(200) };
            let value = self.luck.chance(75).then(|| Value::new(self.luck.bytes(len)));
            batch.push(Change { revision, key, value });
        }
        batch
    }

    fn compact(&mut self) -> bool {
        let last = self.truth.last().map_or(self.promise.compacted.0, |change| change.revision);
        let (old, _) = self.promise.compacted;
        if last <= old {
            return true;
        }
        let up_to = Revision(old.0 + 1 + self.luck.below(last.0 - old.0));
        self.promise.compacted.1 = up_to.max(self.promise.compacted.1);
        self.disk.note(self.promise.clone());
        let worked = self.log.compact(up_to).is_ok();
        if worked {
            self.promise.compacted.0 = up_to;
            self.disk.note(self.promise.clone());
        }
        worked
    }

    fn recover(&mut self) -> bool {
        for _ in 0..4 {
            if self.log.recover(self.next).is_ok() {
                self.promise.open.clear();
                self.promise.used = Revision(self.next.0 - 1);
                self.disk.note(self.promise.clone());
                return true;
            }
        }
        false
    }
}

/// Checks what was loaded against what was promised; answers with what turned out to be there.
fn check(loaded: &Loaded, truth: &[Change], promise: &Promise) -> Vec<Change> {
    let mut truth = truth[..promise.certain].to_vec();
    let with_open = promise.open.last().is_some_and(|open| {
        let last = loaded.changes.last().map(|change| change.revision);
        last == Some(open.revision)
    });
    if with_open {
        truth.extend(promise.open.iter().cloned());
    }
    assert!(
        loaded.revision >= promise.used,
        "revisions go backwards: {} < {}",
        loaded.revision,
        promise.used
    );
    assert!(truth.last().is_none_or(|last| last.revision <= loaded.revision));
    let (least, most) = promise.compacted;
    assert!(
        (least..=most).contains(&loaded.compacted),
        "compacted {}, promised {least}..={most}",
        loaded.compacted
    );
    let is_old = |change: &&Change| change.revision <= loaded.compacted;
    let base: BTreeMap<_, _> =
        loaded.base.iter().map(|o| (o.key.clone(), (o.revision, o.bytes.clone()))).collect();
    assert_eq!(base.len(), loaded.base.len(), "an object is there twice");
    assert_eq!(base, live_objects(truth.iter().filter(is_old)), "the base at {}", loaded.compacted);
    assert!(truth.iter().filter(|change| !is_old(change)).eq(&loaded.changes), "the changes differ");
    truth
}

/// Crashes one history at many points: it is written by several processes, which end with a power loss or are only
/// killed, so that the next one finds what was written but not synced. Answers with the number of crashes.
fn crash_a_history(seed: u64, crashes: usize, faults: &Faults) -> usize {
    let mut luck = Random(seed);
    let mut disk = TheDisk::new(Image::new(), luck.number());
    let (mut truth, mut promise) = (Vec::new(), Promise::default());
    let processes = 5;
    for _ in 0..processes {
        let mut process = Process::open(disk, seed, faults, &truth, &promise, luck.clone());
        let steps = 5 + luck.below(30);
        process.work(steps);
        (disk, truth, promise) = (process.disk, process.truth, process.promise);
        for _ in 0..crashes / processes {
            let (image, promise, point) = crash(&disk, &mut luck);
            let mut log = Log::on(Arc::new(TheDisk::new(image, 0)), options(seed));
            let loaded = log.load().unwrap_or_else(|error| panic!("seed {seed}, point {point}: {error}"));
            check(&loaded, &truth, &promise);
        }
        if luck.chance(60) {
            let (image, then, _) = crash(&disk, &mut luck);
            (disk, promise) = (TheDisk::new(image, luck.number()), then);
        }
    }
    crashes / processes * processes
}

/// A power loss at a random point, and what was promised by then.
fn crash(disk: &TheDisk, luck: &mut Random) -> (Image, Promise, usize) {
    // The first note is of the time before.
    let point = 1 + luck.below(disk.points() as u64 - 1) as usize;
    let promise = disk.last_note(point).unwrap();
    (disk.crash(point, luck), promise, point)
}

fn crash_histories(histories: u64, crashes: usize, faults: &Faults) {
    let total: usize = (0..histories)
        .map(|seed| {
            let run = || crash_a_history(seed, crashes, faults);
            std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("the history with seed {seed} failed"))
        })
        .sum();
    println!("{total} crashes of {histories} histories");
}

#[test]
fn s1_s4_a_power_loss_at_any_point_keeps_what_was_acknowledged() {
    crash_histories(200, 100, &Faults::default());
}

#[test]
fn s1_s6_a_power_loss_on_a_failing_disk_keeps_what_was_acknowledged() {
    let faults = Faults { sync: 4, write: 2, name: 2, ..Faults::default() };
    crash_histories(300, 60, &faults);
}

#[test]
fn s1_s6_a_power_loss_on_a_full_disk_keeps_what_was_acknowledged() {
    let faults = Faults { space: Some(9000), ..Faults::default() };
    crash_histories(100, 60, &faults);
}
