//! Important pods get the room of others.

use crate::server::Server;

fn pod(name: &str, class: &str, cpu: u32) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  priorityClassName: '{class}'
  containers: [{{name: c, image: 'registry.example/c:1', resources: {{requests: {{cpu: {cpu}}}}}}}]
"
    )
}

#[test]
fn important_pods_get_the_room_of_others() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run("create priorityclass high --value=1000").ok();
    kubectl.run("create priorityclass polite --value=2000 --preemption-policy=Never").ok();
    for name in ["guarded", "free"] {
        kubectl.pipe(&pod(name, "", 14), "apply -f -").ok();
        kubectl.run(&format!("wait --for=condition=Ready pod/{name} --timeout=60s")).ok();
    }
    kubectl.run("create pdb guarded --selector=app=guarded --min-available=1").ok();
    kubectl.run("wait --for=jsonpath='{.status.currentHealthy}'=1 pdb/guarded --timeout=60s").ok();
    kubectl.pipe(&pod("waiting", "polite", 14), "apply -f -").ok();
    kubectl.run("wait --for=condition=PodScheduled=false pod/waiting --timeout=60s").ok();
    kubectl
        .run("get pod waiting -o jsonpath='{.status.conditions[?(@.type==\"PodScheduled\")].message}'")
        .ok()
        .prints(
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        );
    kubectl.run("delete pod waiting").ok();
    kubectl.pipe(&pod("urgent", "high", 14), "apply -f -").ok();
    kubectl.run("wait --for=condition=Ready pod/urgent --timeout=60s").ok();
    kubectl.run("wait --for=delete pod/free --timeout=60s").ok();
    kubectl.run("get pod guarded").ok().matches(r"^guarded +1/1 +Running");
    let uid = kubectl.run("get pod urgent -o jsonpath='{.metadata.uid}'").ok().stdout;
    kubectl
        .run("events --for pod/free")
        .ok()
        .shows(&["Preempted", &format!("Preempted by pod {uid} on node sim-0")]);
    kubectl
        .run("events --for pod/urgent")
        .ok()
        .shows(&["preemption: found a potential placement for pod on node sim-0, preempting 1 victims"]);
}
