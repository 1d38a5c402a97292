//! S1 against `kill -9`: a child process writes under load and is killed; what it acknowledged is there.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use proa_store::conformance::Mirror;
use proa_store::{Expect, Local, Log, LogOptions, Op, Options, Published, Revision, Store, Value, Write};

/// Set for the child: where its files are.
const DATA: &str = "PROA_STORE_KILL_TEST_DATA";
const TASKS: u64 = 8;

fn open(path: &Path) -> (Arc<Local<Log>>, Arc<Mirror>) {
    let mirror = Arc::new(Mirror::default());
    let published: Arc<dyn Published> = Arc::clone(&mirror) as _;
    let sizes =
        LogOptions { segment_bytes: 20_000, fill_bytes: 4096, fold_bytes: 20_000, ..LogOptions::default() };
    let options = Options { keep_bytes: 40_000, ..Options::default() };
    (Local::open(Log::open(path, sizes).unwrap(), published, options).unwrap(), mirror)
}

/// Writes counters until killed; says on stdout what was acknowledged.
fn child(path: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let (store, mirror) = open(path);
        let tasks = (0..TASKS).map(|task| {
            let (store, mirror) = (Arc::clone(&store), Arc::clone(&mirror));
            tokio::spawn(async move {
                let key = format!("/counter/{task}");
                let mut count = mirror.get(&key).map_or(0, |bytes| counter(&bytes));
                loop {
                    count += 1;
                    let text = format!("{count} {}", "x".repeat((count % 300) as usize));
                    let op = Op::put(key.clone(), Expect::Any, Value::new(text));
                    let revision = store.commit(Write::one(op)).await.unwrap();
                    // One call of write(2), so that lines are whole.
                    let line = format!("acknowledged {task} {count} {revision}\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        });
        futures::future::join_all(tasks).await;
    });
}

fn counter(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// The last count that was acknowledged per task, and the last revision.
#[derive(Default)]
struct Acknowledged {
    counts: HashMap<u64, u64>,
    revision: u64,
}

impl Acknowledged {
    fn line(&mut self, line: &str) {
        // The test harness prints its own lines into the same pipe.
        let Some((_, rest)) = line.split_once("acknowledged ") else { return };
        let numbers: Vec<u64> = rest.split(' ').map(|number| number.parse().unwrap()).collect();
        let count = self.counts.entry(numbers[0]).or_default();
        assert!(numbers[1] > *count, "a count went backwards");
        *count = numbers[1];
        self.revision = self.revision.max(numbers[2]);
    }
}

/// Runs a child, kills it after some acknowledged writes and reads what else it had said.
fn run_and_kill(path: &Path, after: usize, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "s1_a_killed_process_keeps_what_it_acknowledged", "--nocapture"])
        .env(DATA, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..after {
        acknowledged.line(&lines.next().unwrap().unwrap());
    }
    child.kill().unwrap();
    // What is still in the pipe was acknowledged before the kill.
    lines.for_each(|line| acknowledged.line(&line.unwrap()));
    child.wait().unwrap();
}

#[test]
fn s1_a_killed_process_keeps_what_it_acknowledged() {
    if let Some(path) = std::env::var_os(DATA) {
        return child(Path::new(&path));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..8 {
        run_and_kill(&path, 200 + 333 * round, &mut acknowledged);
        let (store, mirror) = open(&path);
        assert!(store.revision() >= Revision(acknowledged.revision), "revisions went backwards");
        assert_eq!(acknowledged.counts.len() as u64, TASKS);
        for (task, count) in &mut acknowledged.counts {
            let found = mirror.get(&format!("/counter/{task}")).map(|bytes| counter(&bytes));
            let is_there = found.is_some_and(|found| (*count..=*count + 1).contains(&found));
            assert!(is_there, "round {round}: task {task} was acknowledged {count}, and has {found:?}");
            *count = found.unwrap_or_default();
        }
        runtime.block_on(store.close());
    }
}
