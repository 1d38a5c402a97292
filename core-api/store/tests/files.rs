//! S5 and what else a user sees of the files: their size, the lock, backup and restore.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proa_store::conformance::Mirror;
use proa_store::{
    Expect, Local, Log, LogOptions, Op, OpenError, Options, Published, Revision, Store, Value, Write, restore,
};

fn small() -> LogOptions {
    let (segment_bytes, fill_bytes, fold_bytes) = (16 << 10, 4 << 10, 16 << 10);
    LogOptions { segment_bytes, fill_bytes, fold_bytes, ..LogOptions::default() }
}

fn open(path: &Path, options: Options) -> Result<(Arc<Local<Log>>, Arc<Mirror>), OpenError> {
    let mirror = Arc::new(Mirror::default());
    let published: Arc<dyn Published> = Arc::clone(&mirror) as _;
    Ok((Local::open(Log::open(path, small())?, published, options)?, mirror))
}

fn put(key: &str, len: usize) -> Write {
    Write::one(Op::put(key, Expect::Any, Value::new(vec![b'v'; len])))
}

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_true(), "{what} did not happen");
}

fn length(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap();
    // A file may be removed while the directory is read.
    entries.filter_map(|entry| entry.unwrap().metadata().ok()).map(|file| file.len()).sum()
}

#[tokio::test]
async fn s5_renewing_one_lease_does_not_grow_the_files() {
    let directory = tempfile::tempdir().unwrap();
    // As after years of one renewal every ten seconds: only a short history is kept.
    let options = Options { keep_bytes: 32 << 10, ..Options::default() };
    let (store, _) = open(directory.path(), options).unwrap();
    for n in 0..20 {
        store.commit(put(&format!("/object/{n}"), 1000)).await.unwrap();
    }
    let mut most = 0;
    for n in 0..6000 {
        store.commit(put("/leases/kube-node-lease/node", 600)).await.unwrap();
        most = most.max(store.stats().file_bytes);
        if n % 1000 == 999 {
            assert!(store.compacted() > Revision(n - 100), "history goes by itself: {}", store.compacted());
        }
    }
    assert!(most < 300 << 10, "3.6 MB were written, and the files had up to {most} bytes");
    store.close().await;
    assert!(length(directory.path()) <= most);
    let (store, mirror) = open(directory.path(), Options::default()).unwrap();
    assert_eq!(mirror.state().live.len(), 21);
    store.close().await;
}

#[tokio::test]
async fn s5_history_goes_by_age() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { keep_age: Duration::from_millis(1), ..Options::default() };
    let (store, _) = open(directory.path(), options).unwrap();
    for n in 0.. {
        store.commit(put("/lease", 10)).await.unwrap();
        if store.compacted() > Revision(5) {
            break;
        }
        assert!(n < 100_000, "nothing was compacted");
    }
    store.close().await;
}

#[tokio::test]
async fn s5_files_shrink_while_the_store_serves() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mirror) = open(directory.path(), Options::default()).unwrap();
    for n in 0..1000 {
        store.commit(put(&format!("/k{}", n % 10), 1000)).await.unwrap();
    }
    let before = store.stats().file_bytes;
    assert!(before > 1_000_000, "{before}");
    store.compact(store.revision()).await.unwrap();
    until("shrinking", || store.stats().file_bytes < 40_000).await;
    until("removing files", || store.stats().file_bytes == length(directory.path())).await;
    let count = || std::fs::read_dir(directory.path()).unwrap().count();
    let files = count();
    for _ in 0..5 {
        store.compact(store.revision()).await.unwrap();
    }
    // A rewrite that was ordered before may still be at work; for a moment it has one file more.
    until("nothing to be left to do", || count() <= files).await;
    let revision = store.commit(put("/after", 10)).await.unwrap();
    assert_eq!(revision, Revision(1001));
    store.close().await;
    let (store, seen) = open(directory.path(), Options::default()).unwrap();
    assert_eq!(seen.state().live, mirror.state().live);
    store.close().await;
}

#[tokio::test]
async fn one_process_at_a_time_has_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(directory.path(), Options::default()).unwrap();
    let second = open(directory.path(), Options::default()).map(|_| ()).unwrap_err();
    assert!(matches!(&second, OpenError::InUse(_)), "{second}");
    store.close().await;
    let (store, _) = open(directory.path(), Options::default()).unwrap();
    store.close().await;
}

#[tokio::test]
async fn s2_a_restored_backup_continues_later_than_anything_that_was_given_out() {
    let directory = tempfile::tempdir().unwrap();
    let (data, copy) = (directory.path().join("data"), directory.path().join("backup"));
    let (store, mirror) = open(&data, Options::default()).unwrap();
    for n in 0..200 {
        store.commit(put(&format!("/k{}", n % 30), 300)).await.unwrap();
    }
    store.compact(Revision(100)).await.unwrap();
    let then = mirror.state();
    let (backup, later) = futures::join!(store.backup(copy.clone()), store.commit(put("/later", 1)));
    assert_eq!((backup, later), (Ok(Revision(200)), Ok(Revision(201))), "writing goes on meanwhile");
    store.close().await;

    let into_full = restore(&copy, &data, 1000).unwrap_err();
    assert!(into_full.to_string().contains("cannot restore into"), "{into_full}");
    let fresh = directory.path().join("fresh");
    assert_eq!(restore(&copy, &fresh, 1000).unwrap(), Revision(1200));
    for _ in 0..2 {
        let (store, seen) = open(&fresh, Options::default()).unwrap();
        assert_eq!((store.revision(), store.compacted()), (Revision(1200), Revision(1200)));
        assert_eq!(seen.state().live, then.live);
        store.close().await;
    }
    let (store, _) = open(&fresh, Options::default()).unwrap();
    assert_eq!(store.commit(put("/new", 1)).await, Ok(Revision(1201)));
    store.close().await;

    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let damaged = restore(&copy, &directory.path().join("other"), 1000).unwrap_err();
    assert!(matches!(damaged, OpenError::Corrupt { .. }), "{damaged}");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open(directory.path(), Options::default()).unwrap();
    store.commit(put("/a", 1)).await.unwrap();
    store.close().await;
    let files = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let log = files.into_iter().find(|path| path.to_string_lossy().contains("log-")).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[8] = 9;
    std::fs::write(&log, bytes).unwrap();
    let error = open(directory.path(), Options::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Format { found: 9, .. }), "{error}");
}
