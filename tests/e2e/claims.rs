//! Volume claims: what pods wrote stays when they go, and goes when it shall.

use crate::{
    kubectl::{Kubectl, example},
    node::{Node, SHELL},
    server::Server,
};
use std::fs;

/// A pod whose container waits, with one volume.
fn pod(name: &str, volume: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: c, image: '{SHELL}', command: [sleep, infinity], volumeMounts: [{{name: data, mountPath: /data}}]}}
  volumes:
  - {{name: data, {volume}}}
"
    )
}

/// The directories of volumes on the node.
fn directories(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(node.data().join("node/volumes")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn redis_is_ready(kubectl: &Kubectl) {
    kubectl.run("wait --for=create pod/redis-0 --timeout=60s").ok();
    kubectl.run("wait --for=condition=Ready pod/redis-0 --timeout=100s").ok();
}

#[test]
fn redis_keeps_its_data_when_its_pod_goes_and_across_down_and_up() {
    let mut node = Node::start();
    let kubectl = node.kubectl();
    kubectl.run("wait --for=create storageclass/local-path --timeout=60s").ok();
    kubectl
        .run("get storageclass")
        .ok()
        .matches(r"^local-path \(default\) +proa.dev/local-path +Delete +WaitForFirstConsumer +false ");
    kubectl.run(&format!("apply -f {}", example("statefulset/redis.yaml"))).ok();
    redis_is_ready(&kubectl);
    kubectl.run("get pvc").ok().matches(r"^data-redis-0 +Bound +pvc-[0-9a-f-]+ +1Gi +RWO +local-path ");
    kubectl
        .run("get pv")
        .ok()
        .matches(r"^pvc-[0-9a-f-]+ +1Gi +RWO +Delete +Bound +default/data-redis-0 +local-path ");
    assert_eq!(directories(&node).len(), 1);
    let value = "exec redis-0 -- redis-cli get canoe";
    kubectl.run("exec redis-0 -- redis-cli set canoe outrigger").ok().prints("OK\n");
    let uid = "get pod redis-0 -o jsonpath='{.metadata.uid}'";
    let before = kubectl.run(uid).ok().stdout;
    kubectl.run("delete pod redis-0").ok();
    redis_is_ready(&kubectl);
    assert_ne!(kubectl.run(uid).ok().stdout, before);
    kubectl.run(value).ok().prints("outrigger\n");
    node.down();
    node.server().start_again();
    node.is_ready();
    // The pod's status is from before until the node has looked at it.
    kubectl.run("delete pod redis-0").ok();
    redis_is_ready(&kubectl);
    kubectl.run(value).ok().prints("outrigger\n");
    // The claim outlives the set; nobody uses it then, so it may go, and the directory with it.
    kubectl.run("delete sts redis").ok();
    kubectl.run("wait --for=delete pod/redis-0 --timeout=60s").ok();
    kubectl.run("get pvc data-redis-0 -o name").ok().prints("persistentvolumeclaim/data-redis-0\n");
    kubectl.run("delete pvc data-redis-0").ok();
    kubectl.run("wait --for=delete pv --all --timeout=60s").ok();
    assert_eq!(directories(&node), [""; 0]);
}

#[test]
fn a_claim_waits_for_its_pod_and_stays_while_that_uses_it() {
    let node = Node::start();
    let kubectl = node.kubectl();
    kubectl.run("wait --for=create storageclass/local-path --timeout=60s").ok();
    let claim = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
";
    kubectl.pipe(claim, "create -f -").ok();
    kubectl
        .follow("events --for pvc/data --watch")
        .until("waiting for first consumer to be created before binding");
    kubectl.pipe(&pod("one", "persistentVolumeClaim: {claimName: data}"), "create -f -").ok();
    kubectl.run("wait --for=condition=Ready pod/one --timeout=100s").ok();
    kubectl.follow("events --for pvc/data --watch").until("Successfully provisioned volume pvc-");
    kubectl.run("exec one -- sh -c 'echo kept >/data/file'").ok();
    // It goes only when the pod has gone.
    kubectl.run("delete pvc data --wait=false").ok();
    kubectl.run("get pvc data").ok().matches("^data +Terminating ");
    kubectl.run("exec one -- cat /data/file").ok().prints("kept\n");
    kubectl.run("delete pod one").ok();
    kubectl.run("wait --for=delete pvc/data --timeout=60s").ok();
    kubectl.run("wait --for=delete pv --all --timeout=60s").ok();
    assert_eq!(directories(&node), [""; 0]);
    // A claim of the pod's own goes with it.
    let own = "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}}";
    kubectl.pipe(&pod("two", own), "create -f -").ok();
    kubectl.run("wait --for=condition=Ready pod/two --timeout=100s").ok();
    kubectl.run("get pvc").ok().matches("^two-data +Bound ");
    kubectl.run("delete pod two").ok();
    kubectl.run("wait --for=delete pvc/two-data --timeout=60s").ok();
    // What is not there is said.
    kubectl.pipe(&pod("three", "persistentVolumeClaim: {claimName: none}"), "create -f -").ok();
    let why = "0/1 nodes are available: persistentvolumeclaim \"none\" not found.";
    kubectl.follow("events --for pod/three --watch").until(why);
}

/// Volumes that were made by hand, for claims without a class.
fn volumes(count: usize) -> String {
    let volume = |n| {
        format!(
            "apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk-{n}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  hostPath: {{path: /tmp/disk-{n}}}
---
"
        )
    };
    (0..count).map(volume).collect()
}

#[test]
fn claims_of_a_set_go_as_its_policy_says() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.pipe(&volumes(3), "create -f -").ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Available pv --all --timeout=60s").ok();
    let set = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}
  selector: {matchLabels: {app: db}}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 1Gi}}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: 'x:1', volumeMounts: [{name: data, mountPath: /data}]}]}
";
    kubectl.pipe(set, "create -f -").ok();
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=3 sts/db --timeout=60s").ok();
    kubectl.run("get pvc -l app=db -o jsonpath='{.items[*].status.phase}'").ok().prints("Bound Bound Bound");
    kubectl
        .follow("events --for sts/db --watch")
        .until("Create Claim data-db-2 Pod db-2 in StatefulSet db success");
    kubectl.run("wait --for=jsonpath='{.metadata.ownerReferences[0].kind}'=StatefulSet pvc -l app=db --timeout=60s").ok();
    kubectl.run("scale sts db --replicas=1").ok();
    kubectl.run("wait --for=delete pvc/data-db-1 pvc/data-db-2 --timeout=60s").ok();
    kubectl.run("get pvc -o name").ok().prints("persistentvolumeclaim/data-db-0\n");
    kubectl.run("delete sts db").ok();
    kubectl.run("wait --for=delete pvc/data-db-0 --timeout=60s").ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Released pv --all --timeout=60s").ok();
    // Nothing is left to bind to.
    kubectl.pipe(set, "create -f -").ok();
    let why = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    kubectl.run("wait --for=create pod/db-0 --timeout=60s").ok();
    kubectl.follow("events --for pod/db-0 --watch").until(why);
    kubectl.pipe(&volumes(4).replace("disk-", "more-"), "create -f -").ok();
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=3 sts/db --timeout=60s").ok();
}
