//! One operator in the server's process, in a process of its own, and nowhere.

use crate::server::{Process, Server};

const SET: &str = "apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: set}
spec:
  replicas: 2
  selector: {matchLabels: {app: set}}
  template:
    metadata: {labels: {app: set}}
    spec: {containers: [{name: c, image: 'registry.example/c:1'}]}
";
const READY: &str = "wait --for=jsonpath='{.status.readyReplicas}'=2 rs/set --timeout=60s";

#[test]
fn an_operator_works_inside_the_server() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.pipe(SET, "apply -f -").ok();
    kubectl.run(READY).ok();
}

#[test]
fn an_operator_works_alone_or_not_at_all() {
    let server = Server::start(&["--disable", "replicaset", "--simulate", "1"]);
    let kubectl = server.kubectl();
    kubectl.pipe(SET, "apply -f -").ok();
    // The other operators work: a Job's pods show that time has passed for a ReplicaSet too.
    kubectl.run("create job other --image=registry.example/j:1").ok();
    kubectl.run("wait --for=condition=Complete job/other --timeout=60s").ok();
    kubectl.run("get pods -l app=set -o name").ok().prints("");
    kubectl.run("get rs set -o jsonpath='{.status.observedGeneration}'").ok().prints("");
    let kubeconfig = server.kubeconfig();
    let alone = Process::start(&["operator", "replicaset", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    kubectl.run(READY).ok();
    // Without it a lost pod stays lost; once it is back, it makes good what it missed.
    drop(alone);
    kubectl.run("delete pods -l app=set").ok();
    kubectl.run("get pods -l app=set -o name").ok().prints("");
    let elects = ["operator", "replicaset", "--leader-elect", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let _again = Process::start(&elects);
    kubectl.run("wait --for=create lease/replicaset -n kube-system --timeout=60s").ok();
    kubectl.run("wait --for=create pod -l app=set --timeout=60s").ok();
    kubectl.run("wait --for=condition=Ready pod -l app=set --timeout=60s").ok();
}

#[test]
fn of_two_replicas_the_other_takes_over_from_one_that_is_killed() {
    let server = Server::start(&["--disable", "replicaset", "--simulate", "1", "--leader-elect"]);
    let kubectl = server.kubectl();
    let kubeconfig = server.kubeconfig();
    let elects = ["operator", "replicaset", "--leader-elect", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let holder = "get lease replicaset -n kube-system -o jsonpath={.spec.holderIdentity}";
    let killed = Process::start(&elects);
    kubectl.run("wait --for=create lease/replicaset -n kube-system --timeout=60s").ok();
    let first = kubectl.run(holder).ok().stdout;
    let _other = Process::start(&elects);
    // The server's own operators elect as well.
    kubectl.run("wait --for=create lease/deployment -n kube-system --timeout=60s").ok();
    drop(killed);
    kubectl
        .run("wait --for=jsonpath='{.spec.leaseTransitions}'=1 lease/replicaset -n kube-system --timeout=60s")
        .ok();
    assert_ne!(kubectl.run(holder).ok().stdout, first);
    kubectl.pipe(SET, "apply -f -").ok();
    kubectl.run(READY).ok();
}

#[test]
fn a_server_without_operators_only_keeps_objects() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    kubectl.pipe(SET, "apply -f -").ok().prints("replicaset.apps/set created");
    kubectl.run("get rs set").ok().matches(r"^set +2 +0 +0 +\d+s$");
    kubectl.run("get serviceaccounts -o name").ok().prints("");
}
