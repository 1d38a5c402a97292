//! Rollouts: history, undo, pause, resume, restart, proportional scaling, recreation.

use crate::{kubectl::example, server::Server};

const IMAGE: &str = "get deployment web -o jsonpath='{.spec.template.spec.containers[0].image}'";

#[test]
fn a_rollout_rolls_back() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("web/web.yaml"))).ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("annotate deployment web kubernetes.io/change-cause=first").ok();
    kubectl.run("set image deployment/web web=registry.example/web:2").ok();
    kubectl.run("annotate deployment web kubernetes.io/change-cause=second --overwrite").ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("rollout history deployment/web").ok().matches("^1 +first$").matches("^2 +second$");
    kubectl
        .run("rollout history deployment/web --revision=1")
        .ok()
        .matches("Image:\tregistry.example/web:1$");
    kubectl.run("rollout undo deployment/web").ok().prints("deployment.apps/web rolled back");
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run(IMAGE).ok().prints("registry.example/web:1");
    kubectl.run("rollout history deployment/web").ok().hides(&["\n1 "]).matches("^3 +first$");
    kubectl.run("rollout undo deployment/web --to-revision=2").ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run(IMAGE).ok().prints("registry.example/web:2");
    kubectl
        .run("rollout undo deployment/web --to-revision=9")
        .fails(&["unable to find specified revision 9 in history"]);
    kubectl.run("wait --for=jsonpath='{.status.availableReplicas}'=3 deployment/web --timeout=60s").ok();
    kubectl
        .run("get pods -l app=web -o jsonpath='{.items[*].spec.containers[0].image}'")
        .ok()
        .shows(&["registry.example/web:2"]);
}

#[test]
fn a_paused_rollout_waits() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("web/web.yaml"))).ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("rollout pause deployment/web").ok().prints("deployment.apps/web paused");
    kubectl.run("set image deployment/web web=registry.example/web:2").ok();
    // Scaling goes on, and shows that the operator has seen the new image.
    kubectl.run("scale deployment web --replicas=4").ok();
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=4 deployment/web --timeout=60s").ok();
    kubectl.run("get rs -l app=web -o name").ok().matches(r"^\S+\n$");
    kubectl
        .run("rollout undo deployment/web --to-revision=1")
        .fails(&["you cannot rollback a paused deployment"]);
    kubectl.run("rollout resume deployment/web").ok().prints("deployment.apps/web resumed");
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("get rs -l app=web -o name").ok().matches(r"^\S+\n\S+\n$");
    kubectl.run("rollout restart deployment/web").ok().prints("deployment.apps/web restarted");
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("get rs -l app=web -o name").ok().matches(r"^\S+\n\S+\n\S+\n$");
}

#[test]
fn a_stuck_rollout_scales_in_proportion() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run("create deployment web --image=registry.example/web:1 --replicas=10").ok();
    let strategy = r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":3,"maxUnavailable":2}}}}"#;
    kubectl.run(&format!("patch deployment web -p '{strategy}'")).ok();
    kubectl.run("rollout status deployment/web").ok();
    // Pods that want more than any node has keep the rollout between its two sets.
    kubectl.run("set resources deployment/web --requests=cpu=100").ok();
    let old = kubectl
        .run(
            "get rs -l app=web --sort-by=.metadata.creationTimestamp -o jsonpath='{.items[0].metadata.name}'",
        )
        .ok()
        .stdout;
    kubectl.run(&format!("wait --for=jsonpath='{{.status.replicas}}'=8 rs/{old} --timeout=60s")).ok();
    kubectl.run("wait --for=jsonpath='{.status.updatedReplicas}'=5 deployment/web --timeout=60s").ok();
    kubectl.run("scale deployment web --replicas=15").ok();
    kubectl.run("wait --for=jsonpath='{.status.replicas}'=18 deployment/web --timeout=60s").ok();
    kubectl.run(&format!("get rs {old} -o jsonpath='{{.spec.replicas}}'")).ok().prints("11");
    kubectl.run("get deployment web -o jsonpath='{.status.updatedReplicas}'").ok().prints("7");
}

#[test]
fn recreation_ends_the_old_pods_first() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run("create deployment web --image=registry.example/web:1 --replicas=2").ok();
    kubectl
        .run(r#"patch deployment web -p '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}'"#)
        .ok();
    kubectl.run("rollout status deployment/web").ok();
    let mut pods = kubectl.follow("get pods -l app=web -w --output-watch-events --no-headers -o custom-columns=TYPE:.type,IMAGE:.object.spec.containers[0].image");
    pods.until("web:1");
    pods.until("web:1");
    kubectl.run("set image deployment/web web=registry.example/web:2").ok();
    let both = |pods: &mut crate::kubectl::Following| loop {
        let line = pods.until("registry.example");
        if line.contains("DELETED") {
            break;
        }
        assert!(line.contains("web:1"), "a new pod before the old ones were gone: {line}");
    };
    both(&mut pods);
    both(&mut pods);
    pods.until("web:2");
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("get deployment web").ok().matches("^web +2/2 +2 +2 ");
}
