//! StatefulSets at work on a simulated node: names and order of pods, updates.

use crate::{kubectl::example, server::Server};

const IMAGES: &str = "get pods -l app=db -o jsonpath='{.items[*].spec.containers[0].image}'";
const ALL_READY: &str = "wait --for=jsonpath='{.status.readyReplicas}'=3 sts/db --timeout=60s";

#[test]
fn pods_keep_their_names_and_their_order() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("statefulset/statefulset.yaml"))).ok();
    kubectl
        .run("rollout status statefulset/db")
        .ok()
        .shows(&["partitioned roll out complete: 3 new pods have been updated..."]);
    kubectl.run("get sts db -o wide").ok().matches(r"^db +3/3 +\d+s +db +registry.example/db:1$");
    let by_age = "get pods -l app=db --sort-by=.metadata.creationTimestamp";
    kubectl.run(&format!("{by_age} -o name")).ok().prints("pod/db-0\npod/db-1\npod/db-2\n");
    kubectl
        .run("get pod db-1 -o jsonpath='{.spec.hostname} {.spec.subdomain} {.metadata.labels.apps\\.kubernetes\\.io/pod-index}'")
        .ok()
        .prints("db-1 db 1");
    let names = "wait --for=jsonpath='{.endpoints[2].hostname}' endpointslice -l kubernetes.io/service-name=db --timeout=60s";
    kubectl.run(names).ok();
    // A pod that is deleted comes back under its name.
    let uid = |pod: &str| kubectl.run(&format!("get pod {pod} -o jsonpath='{{.metadata.uid}}'")).ok().stdout;
    let before = uid("db-1");
    kubectl.run("delete pod db-1").ok();
    kubectl.run("wait --for=create pod/db-1 --timeout=60s").ok();
    kubectl.run("wait --for=condition=Ready pod/db-1 --timeout=60s").ok();
    assert_ne!(uid("db-1"), before);
    kubectl.run("scale sts db --replicas=1").ok().prints("statefulset.apps/db scaled");
    kubectl.run("wait --for=delete pod/db-1 pod/db-2 --timeout=60s").ok();
    kubectl.run("get pods -l app=db -o name").ok().prints("pod/db-0\n");
    kubectl.follow("events --for sts/db --watch").until("Delete Pod db-2 in StatefulSet db successful");
    kubectl.run("events --for sts/db").ok().shows(&["Create Pod db-0 in StatefulSet db successful"]);
    kubectl
        .run("patch sts db -p '{\"spec\":{\"serviceName\":\"other\"}}'")
        .fails(&["spec.serviceName: Invalid value: \"other\": field is immutable"]);
    kubectl.run("delete sts db").ok();
    kubectl.run("wait --for=delete pod/db-0 --timeout=60s").ok();
}

#[test]
fn an_update_rolls_down_to_the_partition_and_back() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("statefulset/statefulset.yaml"))).ok();
    kubectl.run(ALL_READY).ok();
    let partition = |number: u8| {
        format!(
            "patch sts db -p '{{\"spec\":{{\"updateStrategy\":{{\"rollingUpdate\":{{\"partition\":{number}}}}}}}}}'"
        )
    };
    kubectl.run(&partition(2)).ok();
    kubectl.run("set image sts/db db=registry.example/db:2").ok();
    kubectl
        .run("rollout status sts/db")
        .ok()
        .shows(&["partitioned roll out complete: 1 new pods have been updated"]);
    let (old, new) = ("registry.example/db:1", "registry.example/db:2");
    kubectl.run(ALL_READY).ok();
    kubectl.run(IMAGES).ok().prints(&format!("{old} {old} {new}"));
    kubectl.run(&partition(0)).ok();
    kubectl.run("rollout status sts/db").ok();
    kubectl.run("wait --for=jsonpath='{.status.currentReplicas}'=3 sts/db --timeout=60s").ok();
    kubectl.run(IMAGES).ok().prints(&format!("{new} {new} {new}"));
    kubectl.run("rollout history sts/db").ok().matches("^1 ").matches("^2 ");
    kubectl.run("rollout undo sts/db").ok().prints("statefulset.apps/db rolled back");
    kubectl.run("rollout status sts/db").ok();
    kubectl.run(IMAGES).ok().prints(&format!("{old} {old} {old}"));
}
