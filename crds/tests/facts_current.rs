//! The committed facts table is what its generator makes. Needs Go >= 1.26 and its module proxy; says so where it
//! cannot run.

use std::{
    path::Path,
    process::{Command, Output},
};

fn go(directory: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("go");
    command.current_dir(directory).args(arguments).env("GOTOOLCHAIN", "auto").env("GOFLAGS", "-mod=readonly");
    command.output().ok()
}

#[test]
fn the_facts_table_is_current() {
    let facts = Path::new(env!("CARGO_MANIFEST_DIR")).join("facts");
    let generator = facts.join("gen");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("facts-gen");
    let binary = binary.to_str().expect("the target folder has a readable name");
    match go(&generator, &["build", "-o", binary, "."]) {
        None => {
            return println!(
                "skipped: no Go was found, so the facts table was not compared with its sources"
            );
        }
        Some(built) if !built.status.success() => {
            let why = String::from_utf8_lossy(&built.stderr);
            return println!("skipped: the generator of the facts table cannot be built here: {why}");
        }
        Some(_) => {}
    }
    let made = Command::new(binary).current_dir(&generator).output().expect("the generator starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let committed = std::fs::read(facts.join("v1_37.tsv")).expect("the table is there");
    assert!(made.stdout == committed, "crds/facts/v1_37.tsv is out of date: run `make facts`");
}
