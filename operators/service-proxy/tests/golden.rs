//! Golden cases: objects (`tests/golden/NAME.yaml`) and the transaction that puts them into the table (`NAME.nft`).
//!
//! `before` is what the table held already. `UPDATE_GOLDEN=1` writes the transactions. Each is checked by nft itself.

use proa_kit::{
    Change, View,
    project::{Dirty, Projection},
    views::{EndpointSliceView, PodView, ServiceView},
};
use proa_operator_service_proxy::{
    Proxy, ProxyConfig,
    index::{Index, Subject},
    render::Rules,
    sink::{Listed, table::Table},
};
use serde_json::Value;
use std::{
    collections::HashSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

fn config() -> ProxyConfig {
    ProxyConfig {
        cluster: "golden".into(),
        node: "one".into(),
        pod_cidr: "10.244.0.0/16".parse().expect("a network"),
        node_pod_cidr: "10.244.0.0/24".parse().expect("a network"),
        service_cidr: "10.96.0.0/12".parse().expect("a network"),
        bridge: "proa-golden".into(),
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(folder).expect("the cases").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    cases.sort();
    assert!(cases.len() >= 10, "cases are found: {cases:?}");
    cases
}

fn objects<V: View>(of: &Value, kind: &str) -> Vec<Arc<V>> {
    let list = of[kind].as_array().cloned().unwrap_or_default();
    list.into_iter()
        .map(|object| Arc::new(serde_json::from_str(&object.to_string()).expect("an object")))
        .collect()
}

/// Takes in what is there, and takes out what was there before.
fn take_in<V: View>(before: &Value, now: &Value, kind: &str, mut take: impl FnMut(&Change<V>)) {
    let old = objects::<V>(before, kind);
    let new = objects::<V>(now, kind);
    let find = |among: &[Arc<V>], key| among.iter().find(|object| object.key() == key).cloned();
    for gone in old.iter().filter(|object| find(&new, object.key()).is_none()) {
        take(&Change { old: Some(gone.clone()), new: None });
    }
    for object in &new {
        take(&Change { old: find(&old, object.key()), new: Some(object.clone()) });
    }
}

fn rules(index: &mut Index, before: &Value, now: &Value) -> Rules {
    let mut dirty: Dirty<Subject> = Dirty::Keys(HashSet::new());
    take_in::<ServiceView>(before, now, "services", |change| index.service(change, &mut dirty));
    take_in::<EndpointSliceView>(before, now, "slices", |change| index.slice(change, &mut dirty));
    take_in::<PodView>(before, now, "pods", |change| index.pod(change, &mut dirty));
    Proxy::new(&config()).render(index, &dirty)
}

/// The transactions of what was before, if anything was, and of what is now.
fn transactions(case: &Value) -> (String, String) {
    let (mut index, mut table) = (Index::default(), Table::new(Arc::new(config())));
    let before = rules(&mut index, &Value::Null, &case["before"]);
    let before = table.rebuild(before, &Listed::default(), true);
    let now = rules(&mut index, &case["before"], &case["objects"]);
    (before, table.change(now.parts))
}

fn compare(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, text).expect("the case can be written");
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "{}", path.display());
}

/// Gives a transaction to nft in a network of its own, without keeping it.
fn check(text: &str) {
    let mut child = Command::new("unshare")
        .args(["--net", "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare runs");
    child.stdin.take().expect("it was asked for").write_all(text.as_bytes()).expect("nft reads");
    let output = child.wait_with_output().expect("nft ends");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn transactions_match_the_golden_cases_and_nft_takes_them() {
    for path in cases() {
        let text = fs::read_to_string(&path).expect("a case");
        let case: Value = serde_saphyr::from_str(&text).expect("YAML");
        let (before, now) = transactions(&case);
        compare(&path.with_extension("nft"), &now);
        check(&format!("{before}{now}"));
    }
}

#[test]
fn the_fixed_part_is_as_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fixed-part.nft");
    let mut table = Table::new(Arc::new(config()));
    let text = table.rebuild(Rules { complete: true, parts: Vec::new() }, &Listed::default(), true);
    compare(&path, &text);
    check(&format!("{text}{}", table.anew(false)));
}

#[test]
fn a_rebuild_removes_what_an_earlier_run_left() {
    let mut table = Table::new(Arc::new(config()));
    let listed = Listed {
        exists: true,
        chains: ["svc/shop/old/tcp/80", "nat-output"].map(Into::into).into(),
        sets: [("set", "clients/5/shop/old/tcp/80/10.244.0.2/80"), ("map", "services")]
            .map(|(what, name)| (what.into(), name.into()))
            .into(),
    };
    let text = table.rebuild(Rules { complete: true, parts: Vec::new() }, &listed, true);
    for line in [
        "flush table ip proa-golden",
        "flush map ip proa-golden services",
        "delete chain ip proa-golden svc/shop/old/tcp/80",
        "delete set ip proa-golden clients/5/shop/old/tcp/80/10.244.0.2/80",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
    assert!(!text.contains("delete chain ip proa-golden nat-output"), "{text}");
}
