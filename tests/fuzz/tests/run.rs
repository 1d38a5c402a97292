//! The corpora and mutations of them, through every target.

use proa_fuzz::{
    TARGETS,
    mutate::{Random, mutated},
};
use std::{
    panic::catch_unwind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Mutations of each target, unless `FUZZ_SECONDS` says how long to go on.
const RUNS: u64 = 400;
const SELECTORS: [&str; 6] =
    ["a=b,c!=d", "x in (a, b),!y", "a notin (b),c", "n>5,m<7", "metadata.name=a\\,b", "a==b"];

fn corpus(paths: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core-api/schema/tests");
    let read = |path: PathBuf| std::fs::read(&path).expect("a file of the corpus can be read");
    let mut inputs: Vec<Vec<u8>> = SELECTORS.map(|text| text.as_bytes().to_vec()).to_vec();
    for path in paths.iter().map(|path| root.join(path)) {
        if path.is_dir() {
            let mut files: Vec<PathBuf> = std::fs::read_dir(&path)
                .expect("a folder")
                .map(|file| file.expect("a file").path())
                .collect();
            files.sort();
            inputs.extend(files.into_iter().map(read));
        } else {
            inputs.extend(read(path).split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
    }
    inputs
}

#[test]
fn nothing_that_comes_from_outside_ends_in_a_panic() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seconds, seed) = (number("FUZZ_SECONDS"), number("FUZZ_SEED").unwrap_or(1));
    let only = std::env::var("FUZZ_TARGET").ok();
    for (name, paths, run) in TARGETS.iter().filter(|target| only.as_deref().is_none_or(|o| o == target.0)) {
        let corpus = corpus(paths);
        assert!(corpus.len() > 5);
        let (mut random, started, mut runs) = (Random::new(seed), Instant::now(), 0);
        let goes_on = |runs| match seconds {
            Some(seconds) => started.elapsed() < Duration::from_secs(seconds),
            None => runs < RUNS,
        };
        let mut inputs = corpus.iter().cloned();
        while let Some(input) = inputs.next().or_else(|| goes_on(runs).then(|| mutated(&corpus, &mut random)))
        {
            runs += 1;
            let began = Instant::now();
            let result = catch_unwind(|| run(&input));
            let shown = String::from_utf8_lossy(&input);
            assert!(result.is_ok(), "{name} fell over {shown:?} ({input:?})");
            if seconds.is_some() && began.elapsed() > Duration::from_secs(1) {
                println!("{name} took {:?} for {} bytes: {:.300}", began.elapsed(), input.len(), shown);
            }
        }
        println!("{name}: {runs} runs");
    }
}
