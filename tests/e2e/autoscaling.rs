//! `kubectl top`, and deployments that follow what their pods use.

use crate::{
    kubectl::Kubectl,
    node::{Node, SHELL},
    server::Server,
};

/// Pods that are busy for as long as a file is there.
fn web() -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: '{SHELL}'
        command: [sh, -c, 'touch /tmp/busy; while true; do [ -e /tmp/busy ] || sleep 1; done']
        resources: {{requests: {{cpu: 100m}}, limits: {{cpu: 300m}}}}
"
    )
}

fn metrics_are_served(kubectl: &Kubectl) {
    kubectl.run("wait --for=create apiservice/v1beta1.metrics.k8s.io --timeout=60s").ok();
    kubectl.run("wait --for=condition=Available apiservice/v1beta1.metrics.k8s.io --timeout=60s").ok();
}

#[test]
fn a_busy_deployment_grows_and_a_calm_one_shrinks() {
    let node = Node::start();
    let kubectl = node.kubectl();
    kubectl.pipe(&web(), "create -f -").ok();
    kubectl.run("rollout status deployment/web --timeout=100s").ok();
    metrics_are_served(&kubectl);
    kubectl
        .run("top nodes")
        .ok()
        .matches(r"^NAME +CPU\(cores\) +CPU\(%\) +MEMORY\(bytes\) +MEMORY\(%\)")
        .matches(r"^\S+ +\d+m +\d+% +\d+Mi +\d+%");
    kubectl.run("top pods").ok().matches(r"^web-\S+ +\d+m +\d+Mi");
    kubectl.run("top pods -l app=web --containers").ok().matches(r"^web-\S+ +c +[1-9]\d*m +\d+Mi");
    kubectl.run("top pods -l app=other").warns(&["No resources found in default namespace."]);
    kubectl
        .run("get pods.metrics.k8s.io")
        .ok()
        .matches(r"^NAME +CPU +MEMORY +WINDOW")
        .matches(r"^web-\S+ +\d+n +\d+Ki +");
    // Whoever may view a namespace sees what its pods use, and not those of others.
    kubectl.run("create rolebinding viewer --clusterrole=view --user=jane").ok();
    kubectl.run("top pods --as=jane").ok().matches(r"^web-\S+ ");
    kubectl.run("top pods -A --as=jane").fails(&["User \"jane\" cannot list resource \"pods\""]);

    kubectl.run("autoscale deployment web --cpu=50% --min=1 --max=2").ok();
    kubectl.run("wait --for=jsonpath='{.spec.replicas}'=2 deployment/web --timeout=100s").ok();
    kubectl.run("rollout status deployment/web --timeout=100s").ok();
    kubectl.run("get hpa web").ok().matches(r"^web +Deployment/web +cpu: \d+%/50% +1 +2 +");
    let why = "New size: 2; reason: cpu resource utilization (percentage of request) above target";
    kubectl.follow("events --for hpa/web --watch").until(why);

    let quick = "{\"spec\":{\"behavior\":{\"scaleDown\":{\"stabilizationWindowSeconds\":0}}}}";
    kubectl.run(&format!("patch hpa web -p '{quick}'")).ok();
    let pods = kubectl.run("get pods -l app=web -o name").ok().stdout;
    for pod in pods.lines() {
        kubectl.run(&format!("exec {pod} -- rm /tmp/busy")).ok();
    }
    kubectl.run("wait --for=jsonpath='{.spec.replicas}'=1 deployment/web --timeout=120s").ok();
    kubectl.follow("events --for hpa/web --watch").until("New size: 1; reason: All metrics below target");
}

#[test]
fn nodes_that_measure_nothing_have_no_figures() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    metrics_are_served(&kubectl);
    kubectl.run("top nodes").fails(&["metrics not available yet"]);
    kubectl
        .run("api-resources --api-group=metrics.k8s.io")
        .ok()
        .matches("^pods +metrics.k8s.io/v1beta1 +true +PodMetrics");
    kubectl.run("create deployment web --image=registry.example/web:1").ok();
    kubectl.run("autoscale deployment web --cpu=50% --max=2").ok();
    kubectl.run("wait --for=condition=ScalingActive=false hpa/web --timeout=60s").ok();
    kubectl
        .follow("events --for hpa/web --watch")
        .until("failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned");
    // Whoever installs another server of metrics has that one.
    let other = "{\"spec\":{\"service\":{\"name\":\"metrics-server\",\"port\":443}}}";
    kubectl.run(&format!("patch apiservice v1beta1.metrics.k8s.io --type=merge -p '{other}'")).ok();
    kubectl.run("wait --for=condition=Available=false apiservice/v1beta1.metrics.k8s.io --timeout=60s").ok();
    kubectl.run("get apiservice v1beta1.metrics.k8s.io").ok().shows(&["kube-system/metrics-server"]);
    kubectl.run("delete apiservice v1beta1.metrics.k8s.io").ok();
    kubectl.run("wait --for=create apiservice/v1beta1.metrics.k8s.io --timeout=60s").ok();
    metrics_are_served(&kubectl);
}
