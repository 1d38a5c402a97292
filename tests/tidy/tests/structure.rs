//! The structure that `docs/architecture.md` promises, checked against the tree.
//!
//! Checked: who may depend on whom, the files of each operator shape, module texts, file sizes, and that no test is
//! switched off. Printed: lines of production code by area, against their budgets.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Longest file. A file that outgrows it is split by meaning.
const MOST_LINES: usize = 700;
/// Areas and how many lines of production code they may hold. Kinds and operators that are still to come are counted in.
const BUDGETS: [(&str, &[&str], usize); 5] = [
    ("core", &["core-api"], 52_000),
    ("crds", &["crds"], 17_500),
    ("operators and node", &["operators", "runtime-shim"], 50_000),
    ("the binary", &["proa"], 4_000),
    ("benchmarks and what tests share", &["tests"], 11_000),
];

/// Workspace crates that a crate may depend on. Operators may use these two and the runtime, and no core crate else.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("proa-meta", &[]),
    ("proa-schema", &["proa-meta"]),
    ("proa-store", &[]),
    ("proa-encryption", &["proa-meta", "proa-store"]),
    ("proa-quota", &["proa-meta"]),
    ("proa-registry", &["proa-meta", "proa-schema", "proa-store"]),
    ("proa-policy", &["proa-meta", "proa-schema", "proa-store", "proa-registry", "proa-quota"]),
    ("proa-server", &["proa-meta", "proa-schema", "proa-store", "proa-registry", "proa-policy"]),
    ("proa-edge", &["proa-meta", "proa-server"]),
    ("proa-relay", &["proa-meta", "proa-registry", "proa-server"]),
    ("proa-local", &["proa-meta", "proa-server"]),
    ("proa-crds", &["proa-meta", "proa-schema", "proa-registry"]),
    (
        "proa-assembly",
        &[
            "proa-meta",
            "proa-schema",
            "proa-store",
            "proa-encryption",
            "proa-registry",
            "proa-policy",
            "proa-server",
            "proa-relay",
            "proa-local",
            "proa-crds",
        ],
    ),
    ("proa-kit", &["proa-meta"]),
    // What objects cost is decided by the same code where it is charged and where it is counted.
    ("proa-operator-resource-quota", &["proa-meta", "proa-kit", "proa-quota"]),
    ("proa-runtime-shim", &["proa-meta"]),
    ("proa-node-agent", &["proa-meta", "proa-kit", "proa-runtime-shim"]),
];
const OPERATOR: &[&str] = &["proa-meta", "proa-kit"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

fn sources() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root())
        .output()
        .expect("git lists the sources");
    let names = String::from_utf8(listed.stdout).expect("paths are text");
    let files: Vec<PathBuf> = names.lines().map(PathBuf::from).filter(|p| root().join(p).exists()).collect();
    assert!(files.len() > 100, "the list of sources is complete: {}", files.len());
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).expect("a listed source can be read")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo describes the workspace");
    serde_json::from_slice(&output.stdout).expect("cargo's JSON")
}

#[test]
fn crates_depend_in_one_direction() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    let mut wrong = Vec::new();
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let may: &[&str] = match allowed.get(name) {
            Some(may) => may,
            None if name.starts_with("proa-operator-") => OPERATOR,
            None => continue,
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            let is_ours = on == "proa" || on.starts_with("proa-");
            // Tests may start a whole cluster.
            if is_ours && dependency["kind"] != "dev" && !may.contains(&on) {
                wrong.push(format!("{name} -> {on}"));
            }
        }
    }
    assert!(wrong.is_empty(), "dependencies against the plan: {wrong:?}");
}

#[test]
fn only_the_edge_names_actix_and_the_core_knows_no_client() {
    let mut wrong = Vec::new();
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let core = ["proa-meta", "proa-schema", "proa-store", "proa-registry", "proa-policy", "proa-server"];
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            let is_dev = dependency["kind"] == "dev";
            let actix = on.starts_with("actix") && name != "proa-edge" && !is_dev;
            let client = on.starts_with("kube") && core.contains(&name) && !is_dev;
            if actix || client {
                wrong.push(format!("{name} -> {on}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Files that an operator of each shape is made of: those it must have, and those that are left out when they would be
/// empty. Folders of the same names hold what outgrew them. `node` is what an agent says of its node itself, `api` what an
/// operator serves.
const SHAPES: [(&str, &[&str], &[&str]); 4] = [
    ("reconciler", &["lib", "observe", "plan"], &["build", "status"]),
    ("projector", &["lib", "index", "render", "sink"], &["status"]),
    ("decider", &["lib", "index", "plan"], &["status", "node", "containers", "api"]),
    (
        "node agent",
        &["lib", "index", "observe", "plan", "act", "worker", "status"],
        &[
            "node",
            "images",
            "collect",
            "build",
            "env",
            "sources",
            "volumes",
            "supported",
            "probes",
            "hooks",
            "eviction",
            "server",
            "logs",
            "stats",
        ],
    ),
];

#[test]
fn operators_have_one_of_three_shapes() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("operators")).expect("operators") {
        let dir = entry.expect("an entry").path();
        let name = dir.file_name().and_then(|n| n.to_str()).expect("text").to_owned();
        if !dir.join("src").is_dir() || name == "kit" {
            continue;
        }
        let files: BTreeSet<String> = fs::read_dir(dir.join("src"))
            .expect("src")
            .filter_map(|e| e.expect("an entry").path().file_stem()?.to_str().map(str::to_owned))
            .collect();
        let fits = SHAPES.iter().any(|(_, needed, more)| {
            needed.iter().all(|f| files.contains(*f))
                && files.iter().all(|f| needed.contains(&f.as_str()) || more.contains(&f.as_str()))
        });
        if !fits {
            wrong.push(format!("{name}: {files:?}"));
        }
    }
    assert!(wrong.is_empty(), "operators of no shape: {wrong:#?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|p| p.file_stem().is_none_or(|s| s != "tests") && !read(p).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "without a module text: {silent:?}");
}

#[test]
fn files_are_not_too_long_and_not_named_mod() {
    let mut wrong = Vec::new();
    for path in sources() {
        let lines = read(&path).lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{} has {lines} lines", path.display()));
        }
        if path.file_name().is_some_and(|n| n == "mod.rs") {
            wrong.push(format!("{} hides its name", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_test_is_switched_off_and_nothing_is_a_stub() {
    let needles = [["#[ign", "ore"].concat(), ["todo", "!("].concat(), ["unimple", "mented!("].concat()];
    let mut wrong = Vec::new();
    for path in sources() {
        let text = read(&path);
        wrong
            .extend(needles.iter().filter(|n| text.contains(*n)).map(|n| format!("{}: {n}", path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_kind_has_a_file_of_its_own() {
    let mut wrong = Vec::new();
    let mut kinds = 0;
    for path in sources().into_iter().filter(|p| p.starts_with("crds/src")) {
        let made = read(&path).matches("pub(crate) fn kind() -> KindDef").count();
        kinds += made;
        if made > 1 {
            wrong.push(format!("{} makes {made} kinds", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(kinds > 10, "kinds are found where they are looked for: {kinds}");
}

/// Lines that are neither blank nor comment, up to the file's own tests.
fn production_lines(text: &str) -> usize {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count()
}

#[test]
fn the_code_fits_its_budgets() {
    let mut over = Vec::new();
    for (area, folders, budget) in BUDGETS {
        let is_production = |p: &PathBuf| {
            folders.iter().any(|f| p.starts_with(f))
                && !p
                    .components()
                    .skip(1)
                    .any(|c| ["tests", "benches", "examples"].iter().any(|t| c.as_os_str() == *t))
                && p.file_stem().is_none_or(|s| s != "tests")
        };
        let lines: usize =
            sources().iter().filter(|p| is_production(p)).map(|p| production_lines(&read(p))).sum();
        println!("{area}: {lines} of {budget} lines");
        if lines > budget {
            over.push(format!("{area}: {lines} lines, {budget} planned"));
        }
    }
    assert!(over.is_empty(), "{over:?}");
}
