//! A power loss while many callers write and files are rewritten beside the writer.

use std::sync::Arc;

use proa_store::conformance::{Mirror, live_objects};
use proa_store::{
    Engine, Expect, Local, Log, LogOptions, Op, Options, Published, Revision, Store, Value, Write,
};

use crate::disk::{Image, TestDisk};
use crate::random::Random;

/// Notes are acknowledged revisions.
type TheDisk = TestDisk<Revision>;

fn log(disk: &TheDisk) -> Log {
    let sizes =
        LogOptions { segment_bytes: 3000, fill_bytes: 1000, fold_bytes: 3000, ..LogOptions::default() };
    Log::on(Arc::new(disk.clone()), sizes)
}

async fn write_much(disk: &TheDisk, tasks: u64, each: u64) -> Arc<Mirror> {
    let mirror = Arc::new(Mirror::default());
    let published: Arc<dyn Published> = Arc::clone(&mirror) as _;
    let options = Options { keep_bytes: 6000, ..Options::default() };
    let store = Local::open(log(disk), published, options).unwrap();
    let tasks = (0..tasks).map(|task| {
        let (store, disk) = (Arc::clone(&store), disk.clone());
        tokio::spawn(async move {
            let mut luck = Random(task);
            for _ in 0..each {
                let key = format!("/k{}", luck.below(20));
                let len = luck.below(150);
                let value = luck.chance(80).then(|| Value::new(luck.bytes(len)));
                let op = Op { key: key.into(), expect: Expect::Any, value };
                let revision = store.commit(Write::one(op)).await.unwrap();
                disk.note(revision);
            }
        })
    });
    futures::future::join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
    store.close().await;
    mirror
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_a_power_loss_under_concurrent_load_keeps_what_was_acknowledged() {
    let mut luck = Random(5);
    for _ in 0..6 {
        let disk = TheDisk::new(Image::new(), 1);
        let mirror = write_much(&disk, 8, 60).await;
        let truth = mirror.state().changes;
        let is_folded = disk.image().keys().any(|name| name.starts_with("snapshot"));
        assert!(is_folded, "files were rewritten meanwhile: {:?}", disk.image().keys());
        for _ in 0..300 {
            let point = luck.below(disk.points() as u64) as usize;
            let acknowledged = disk.notes(point).into_iter().max().unwrap_or_default();
            let again = TheDisk::new(disk.crash(point, &mut luck), 0);
            let loaded = log(&again).load().unwrap_or_else(|error| panic!("point {point}: {error}"));
            assert!(loaded.revision >= acknowledged, "lost {acknowledged}, has {}", loaded.revision);
            let until = truth.iter().filter(|change| change.revision <= loaded.revision);
            let (old, new): (Vec<_>, Vec<_>) = until.partition(|change| change.revision <= loaded.compacted);
            assert!(loaded.changes.iter().eq(new), "the changes differ at point {point}");
            let base = loaded.base.into_iter().map(|o| (o.key, (o.revision, o.bytes))).collect();
            assert_eq!(live_objects(old), base, "the base differs at point {point}");
        }
    }
}
