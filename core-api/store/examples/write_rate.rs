//! Prints how many writes of 2 KiB each engine commits per second when 1, 16 and 64 callers write at once, and the
//! writer's time per write. Run with `cargo run --release -p proa-store --example write_rate [directory]`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use proa_store::{
    Change, Engine, Expect, Key, Loaded, Local, Log, LogOptions, Memory, Op, Options, Published, Revision,
    Store, Value, Write,
};

/// The least that a registry does.
#[derive(Default)]
struct Heads(RwLock<HashMap<Key, Revision>>);

impl Published for Heads {
    fn head(&self, key: &str) -> Option<Revision> {
        self.0.read().get(key).copied()
    }

    fn load(&self, _loaded: Loaded) {}

    fn publish(&self, _revision: Revision, changes: &[Change]) {
        let mut heads = self.0.write();
        for change in changes {
            match change.value {
                Some(_) => heads.insert(change.key.clone(), change.revision),
                None => heads.remove(&change.key),
            };
        }
    }
}

async fn measure<E: Engine>(
    name: &str,
    engine: E,
    callers: usize,
    writes: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let store = Local::open(engine, Arc::new(Heads::default()), Options::default())?;
    let keys: Vec<Key> = (0..5000).map(|n| format!("/pods/default/pod-{n}").into()).collect();
    let (keys, bytes) = (Arc::new(keys), bytes::Bytes::from(vec![b'v'; 2048]));
    let start = Instant::now();
    let tasks = (0..callers).map(|caller| {
        let (store, keys, bytes) = (Arc::clone(&store), Arc::clone(&keys), bytes.clone());
        tokio::spawn(async move {
            for n in 0..writes / callers {
                let key = keys[(caller + n * callers) % keys.len()].clone();
                store.commit(Write::one(Op::put(key, Expect::Any, Value::new(bytes.clone())))).await?;
            }
            Ok::<_, proa_store::CommitError>(())
        })
    });
    for task in futures::future::join_all(tasks).await {
        task??;
    }
    let elapsed = start.elapsed().as_secs_f64();
    let stats = store.stats();
    let written = stats.writes as f64;
    println!(
        "{name:>7} {callers:>3} callers: {:>8.0} writes/s, {:>6.1} us a write, {:>4.1} writes a sync, {} MiB on disk",
        written / elapsed,
        elapsed / written * 1e6,
        written / stats.batches as f64,
        stats.file_bytes >> 20,
    );
    store.close().await;
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "write_rate.tmp".into());
    for callers in [1, 16, 64, 256] {
        measure("memory", Memory::new(), callers, 50_000).await?;
        let log = Log::open(Path::new(&directory), LogOptions::default())?;
        measure("log", log, callers, if callers == 1 { 5_000 } else { 50_000 }).await?;
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}
