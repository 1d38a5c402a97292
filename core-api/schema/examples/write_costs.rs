//! Prints what the bookkeeping of writes costs per operation, on a pod of about 4 KB.
//! `cargo run --release -p proa-schema --example write_costs`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example that prints figures")]

#[path = "write_costs/pod.rs"]
mod pod;

use proa_schema::{
    apply::{FieldManager, Reset},
    patch,
};
use serde_json::{Value, json};
use std::{hint::black_box, time::Instant};

const ROUNDS: u32 = 20_000;

fn main() {
    let schema = pod::schema();
    let by = |manager, subresource, reset| FieldManager {
        schema: &schema,
        api_version: "v1",
        kind: "Pod",
        subresource,
        manager,
        now: "2026-01-01T00:00:00Z",
        reset,
    };
    let main = by("kube-controller-manager", "", Reset::Exclude(&[&["status"]]));
    let status = by("kubelet", "status", Reset::Exclude(&[&["spec"]]));
    let config = pod::new_pod();
    let mut created = config.clone();
    main.create(&mut created);
    created["metadata"]["uid"] = "u".into();
    let mut running = created.clone();
    running["status"] = pod::status("False");
    status.update(&created, &mut running);
    let mut ready = running.clone();
    ready["status"] = pod::status("True");
    println!("pod of {} bytes with managed fields", running.to_string().len());

    measure("clone alone", || ready.clone());
    measure("create", || {
        let mut new = config.clone();
        main.create(&mut new);
        new
    });
    measure("update without change", || {
        let mut new = running.clone();
        main.update(&running, &mut new);
        new
    });
    measure("status update", || {
        let mut new = ready.clone();
        status.update(&running, &mut new);
        new
    });
    let applier = by("ci", "", Reset::Exclude(&[&["status"]]));
    let applied = applier.apply(Some(&running), config.clone(), true).unwrap();
    measure("apply without change", || applier.apply(Some(&applied), config.clone(), false).unwrap());
    let labels =
        json!({"metadata": {"labels": {"x": "1"}}, "spec": {"containers": [{"name": "main", "image": "b"}]}});
    measure("strategic patch", || {
        let mut doc = running.clone();
        patch::strategic(&schema, &mut doc, labels.clone()).unwrap();
        doc
    });
    measure("merge patch", || {
        let mut doc = running.clone();
        patch::merge(&mut doc, labels.clone());
        doc
    });
}

fn measure(what: &str, mut operation: impl FnMut() -> Value) {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(operation());
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    println!("{what:24} {each:8.2} us");
}
