//! Prints how many pods a second are placed on 5,000 nodes, without any API:
//! `cargo run --release -p proa-operator-scheduler --example place [NODES] [PODS]`.

use proa_kit::{Change, Timestamp, views::NodeView, views::PodView};
use proa_operator_scheduler::{index::Cluster, plan::plan};
use std::{sync::Arc, time::Instant};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (nodes, pods) = (arguments.next().unwrap_or(5000), arguments.next().unwrap_or(10_000));
    for (what, extra) in [
        ("plain", ""),
        (
            "anti-affinity by host",
            concat!(
                r#","affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"#,
                r#""kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"web"}}}]}}"#
            ),
        ),
        (
            "preferred affinity and tolerations",
            concat!(
                r#","tolerations":[{"operator":"Exists"}],"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnored"#,
                r#"DuringExecution":[{"weight":1,"preference":{"matchExpressions":[{"key":"zone","operator":"In","values":["z1"]}]}}]}}"#
            ),
        ),
    ] {
        measure(what, extra, nodes, pods);
    }
}

fn measure(what: &str, extra: &str, nodes: usize, pods: usize) {
    let mut cluster = Cluster::new(1);
    for n in 0..nodes {
        let text = format!(
            r#"{{"metadata":{{"name":"node-{n}","labels":{{"zone":"z{}","kubernetes.io/hostname":"node-{n}"}}}},"status":{{"allocatable":
            {{"cpu":"32","memory":"128Gi","pods":"110"}}}}}}"#,
            n % 3
        );
        let node: NodeView = serde_json::from_str(&text).expect("a node");
        cluster.node(&Change { old: None, new: Some(Arc::new(node)) });
    }
    for n in 0..pods {
        let text = format!(
            r#"{{"metadata":{{"name":"pod-{n}","namespace":"d","uid":"{n}","labels":{{"app":"web"}},
            "ownerReferences":[{{"uid":"set","controller":true}}]}},"spec":{{"schedulerName":"default-scheduler",
            "containers":[{{"name":"c","resources":{{"requests":{{"cpu":"100m","memory":"200Mi"}}}}}}]{extra}}}}}"#
        );
        let pod: PodView = serde_json::from_str(&text).expect("a pod");
        cluster.pod(&Change { old: None, new: Some(Arc::new(pod)) });
    }
    let started = Instant::now();
    let bound =
        (0..pods).filter(|_| !plan(0, &mut cluster, Timestamp::UNIX_EPOCH).actions.is_empty()).count();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{what}: {bound} pods on {nodes} nodes in {seconds:.2} s, {:.0} a second",
        pods as f64 / seconds
    );
}
