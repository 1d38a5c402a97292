//! Every engine passes the one suite, and agrees with the model on random histories.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::path::PathBuf;
use std::sync::Arc;

use proa_store::conformance::history::{self, RandomOp, Relation, Step};
use proa_store::conformance::{CHECKS, Place};
use proa_store::{Local, Log, LogOptions, Memory, Options, Published, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

impl Place for InMemory {
    fn open(&self, published: Arc<dyn Published>) -> Arc<dyn Store> {
        Local::open(self.0.clone(), published, Options::default()).unwrap()
    }
}

struct InMemory(Memory);

struct OnDisk {
    path: PathBuf,
    options: LogOptions,
}

impl OnDisk {
    fn new(directory: &tempfile::TempDir, options: LogOptions) -> Self {
        OnDisk { path: directory.path().join("data"), options }
    }
}

impl Place for OnDisk {
    fn open(&self, published: Arc<dyn Published>) -> Arc<dyn Store> {
        let log = Log::open(&self.path, self.options.clone()).unwrap();
        Local::open(log, published, Options::default()).unwrap()
    }
}

/// Files so small that every history rotates and rewrites them.
fn tiny() -> LogOptions {
    LogOptions { segment_bytes: 600, fill_bytes: 512, fold_bytes: 500, ..LogOptions::default() }
}

async fn every_check(fresh: impl Fn(&tempfile::TempDir) -> Box<dyn Place>) {
    for (name, check) in CHECKS {
        println!("{name}");
        let directory = tempfile::tempdir().unwrap();
        check(&*fresh(&directory)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_memory_passes_the_suite() {
    every_check(|_| Box::new(InMemory(Memory::new()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_the_log_passes_the_suite() {
    every_check(|directory| Box::new(OnDisk::new(directory, LogOptions::default()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_the_log_passes_the_suite_with_tiny_files() {
    every_check(|directory| Box::new(OnDisk::new(directory, tiny()))).await;
}

fn relation() -> impl Strategy<Value = Relation> {
    use Relation::{Absent, Any, Current, Exists, Stale};
    prop_oneof![3 => Just(Any), 1 => Just(Absent), 1 => Just(Exists), 4 => Just(Current), 1 => Just(Stale)]
}

fn random_op() -> impl Strategy<Value = RandomOp> {
    let value = proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..60));
    (0..6u8, relation(), value).prop_map(|(key, relation, value)| RandomOp { key, relation, value })
}

fn step() -> impl Strategy<Value = Step> {
    let ops = proptest::collection::vec(random_op(), 0..4);
    let guards = proptest::collection::vec((0..6u8, relation()), 0..2);
    prop_oneof![
        20 => (ops, guards).prop_map(|(ops, guards)| Step::Write(ops, guards)),
        2 => (0..=100u8).prop_map(Step::Compact),
        1 => Just(Step::Restart),
    ]
}

fn histories(cases: u32, fresh: impl Fn(&tempfile::TempDir) -> Box<dyn Place>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&proptest::collection::vec(step(), 1..80), |steps| {
            let directory = tempfile::tempdir().unwrap();
            runtime.block_on(history::run(&*fresh(&directory), &steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn s7_memory_agrees_with_the_model() {
    histories(200, |_| Box::new(InMemory(Memory::new())));
}

#[test]
fn s7_the_log_agrees_with_the_model() {
    histories(60, |directory| Box::new(OnDisk::new(directory, tiny())));
}
