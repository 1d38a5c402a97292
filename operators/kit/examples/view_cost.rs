//! What a cached pod costs: `cargo run --release -p proa-kit --example view_cost`. Prints bytes per pod and microseconds per
//! decoding, over a hundred thousand pods shaped like real ones.

use proa_kit::{
    Cache, Filter, Index, Typed,
    views::{NodeView, PodView},
};
use std::{sync::Arc, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PODS: usize = 100_000;

fn pod(number: usize) -> String {
    let container = r#"{"name":"web","image":"registry.example.com/team/web:1.2.3","imagePullPolicy":"IfNotPresent",
        "ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}],"env":[{"name":"A","value":"b"},{"name":"C","value":"d"}],
        "resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"256Mi"}},
        "volumeMounts":[{"name":"token","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","readOnly":true}],
        "terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}"#;
    let conditions: Vec<String> = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .iter()
        .map(|kind| {
            format!(r#"{{"type":"{kind}","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-01-01T00:00:00Z"}}"#)
        })
        .collect();
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web-57f9979559-{number}","generateName":"web-57f9979559-",
        "namespace":"team-{}","uid":"7f1c2f0e-0000-4000-8000-{number:012}","resourceVersion":"{number}1","creationTimestamp":"2026-01-01T00:00:00Z",
        "labels":{{"app":"web","pod-template-hash":"57f9979559","team":"a"}},"annotations":{{"example.com/note":"{}"}},
        "ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-57f9979559","uid":"r-{}","controller":true,"blockOwnerDeletion":true}}],
        "managedFields":[{{"manager":"kubelet","operation":"Update","fieldsV1":{{"f:status":{{"f:phase":{{}},"f:podIP":{{}},"f:conditions":{{}}}}}}}}]}},
        "spec":{{"nodeName":"node-{}","schedulerName":"default-scheduler","restartPolicy":"Always","serviceAccountName":"default","priority":0,
        "containers":[{container}],"volumes":[{{"name":"token","projected":{{"sources":[]}}}}],
        "tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}},
        {{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}]}},
        "status":{{"phase":"Running","podIP":"10.1.2.3","podIPs":[{{"ip":"10.1.2.3"}}],"hostIP":"10.0.0.1","startTime":"2026-01-01T00:00:00Z",
        "conditions":[{}],"containerStatuses":[{{"name":"web","ready":true,"restartCount":0,"image":"registry.example.com/team/web:1.2.3",
        "imageID":"sha256:0","containerID":"containerd://0","state":{{"running":{{"startedAt":"2026-01-01T00:00:00Z"}}}}}}]}}}}"#,
        number % 50,
        "x".repeat(200),
        number % 5000,
        number % 500,
        conditions.join(",")
    )
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0) * 1024
}

fn main() -> Result<(), serde_json::Error> {
    let cache = Cache::<PodView>::detached(PodView::KIND, Filter::default());
    cache.index(Index::CONTROLLER);
    cache.index(Index::NODE);
    let (before, mut decoding) = (resident(), std::time::Duration::ZERO);
    for number in 0..PODS {
        let text = pod(number);
        let started = Instant::now();
        let view: PodView = serde_json::from_str(&text)?;
        decoding += started.elapsed();
        cache.apply(Arc::new(view));
    }
    let bytes = (resident() - before) / cache.len();
    let line = format!(
        "pod of {} bytes: view {} bytes inline, {bytes} bytes in a cache with two indexes, {:.1} us to decode; node view {} bytes inline\n",
        pod(0).len(),
        size_of::<PodView>(),
        decoding.as_secs_f64() * 1e6 / 1e5,
        size_of::<NodeView>(),
    );
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).map_err(serde_json::Error::io)
}
