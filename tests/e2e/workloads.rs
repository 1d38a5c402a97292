//! Deployments, DaemonSets, Jobs, ReplicationControllers and Services at work on a simulated node.

use crate::{
    kubectl::{Kubectl, example},
    server::{Process, Server},
};

#[test]
fn a_deployment_becomes_available_and_its_service_gets_endpoints() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run(&format!("apply -f {}", example("web/web.yaml"))).ok();
    kubectl.run("rollout status deployment/web").ok().shows(&[r#"deployment "web" successfully rolled out"#]);
    kubectl
        .run("wait --for=condition=Available deployment/web")
        .ok()
        .prints("deployment.apps/web condition met");
    kubectl.run("get deployment web").ok().matches(r"^web +3/3 +3 +3 +\d+s$");
    kubectl.run("get rs -l app=web").ok().matches(r"^web-[a-z0-9]+ +3 +3 +3 +\d+s$");
    kubectl
        .run("get pods -l app=web -o wide")
        .ok()
        .matches(r"^web-\S+ +1/1 +Running +0 +\d+s +[0-9.]+ +sim-0 +<none> +<none>$");
    let three = "wait --for=jsonpath='{.endpoints[2].conditions.ready}'=true endpointslice -l kubernetes.io/service-name=web --timeout=60s";
    kubectl.run(three).ok();
    let addresses = kubectl.run("get endpointslice -l kubernetes.io/service-name=web -o jsonpath='{.items[0].endpoints[*].addresses[0]}'").ok().stdout;
    let pods = kubectl.run("get pods -l app=web -o jsonpath='{.items[*].status.podIP}'").ok().stdout;
    assert_eq!(sorted(&addresses), sorted(&pods), "the slice holds the pods' addresses");
    kubectl
        .run("get endpointslice -l kubernetes.io/service-name=web -o jsonpath='{.items[0].ports[0].port}'")
        .ok()
        .prints("8080");
    // A pod that is deleted is replaced.
    let pod = kubectl.run("get pods -l app=web -o jsonpath='{.items[0].metadata.name}'").ok().stdout;
    kubectl
        .run(&format!("delete pod {pod}"))
        .ok()
        .prints(&format!("pod \"{pod}\" deleted from default namespace"));
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("get pods -l app=web -o name").ok().hides(&[&pod]);
    kubectl
        .run("describe deployment web")
        .ok()
        .matches("^Replicas: +3 desired .* 3 available")
        .shows(&["ScalingReplicaSet"]);
    kubectl.run("events --for deployment/web").ok().shows(&["Scaled up replica set"]);
    kubectl.run("delete service web").ok();
    kubectl.run("wait --for=delete endpointslice -l kubernetes.io/service-name=web --timeout=60s").ok();
}

fn sorted(words: &str) -> Vec<&str> {
    let mut words: Vec<_> = words.split_whitespace().collect();
    words.sort_unstable();
    words
}

#[test]
fn deployments_are_changed_by_kubectls_own_words() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run("create deployment web --image=registry.example/web:1 --port=80").ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("scale deployment web --replicas=4").ok().prints("deployment.apps/web scaled");
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=4 deployment/web --timeout=60s").ok();
    kubectl
        .run("scale deployment web --replicas=1 --current-replicas=9")
        .fails(&["Expected replicas to be 9, was 4"]);
    kubectl.run("set env deployment/web COLOUR=blue").ok();
    kubectl.run("set env deployment/web --list").ok().shows(&["COLOUR=blue"]);
    kubectl
        .run("set resources deployment/web --limits=cpu=200m,memory=64Mi --requests=cpu=100m")
        .ok()
        .prints("deployment.apps/web resource requirements updated");
    kubectl
        .run("set image deployment/web web=registry.example/web:2")
        .ok()
        .prints("deployment.apps/web image updated");
    kubectl.run("rollout status deployment/web").ok();
    let container =
        "{.items[*].spec.containers[0].image} {.items[*].spec.containers[0].resources.limits.cpu}";
    kubectl
        .run(
            &format!("get rs -l app=web --sort-by=.metadata.creationTimestamp -o jsonpath='{container}'")
                .replace(".spec.containers", ".spec.template.spec.containers"),
        )
        .ok()
        .shows(&["registry.example/web:2", "200m"]);
    kubectl
        .run("expose deployment web --port=80 --target-port=8080 --name=front")
        .ok()
        .prints("service/front exposed");
    kubectl
        .run("get service front -o jsonpath='{.spec.selector.app} {.spec.ports[0].targetPort}'")
        .ok()
        .prints("web 8080");
    kubectl
        .run("run one --image=registry.example/one:1 --restart=Never --labels=a=b")
        .ok()
        .prints("pod/one created");
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Succeeded pod/one --timeout=60s").ok();
    kubectl.run("wait --for=condition=Ready pod/none --timeout=1s").fails(&["NotFound"]);
    kubectl.run("delete pod one --wait").ok();
    kubectl.run("get pod one").fails(&["NotFound"]);
}

#[test]
fn a_daemon_set_rolls_over_its_nodes() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    let config = server.kubeconfig();
    let agent =
        ["agent", "--simulate", "2", "--name-prefix", "more", "--kubeconfig", config.to_str().unwrap()];
    let _more = Process::start(&agent);
    kubectl.run("wait --for=create node/more-0 node/more-1 --timeout=60s").ok();
    kubectl.run("wait --for=condition=Ready nodes --all --timeout=60s").ok();
    kubectl.run(&format!("apply -f {}", example("daemonset/daemonset.yaml"))).ok();
    kubectl.run("wait --for=jsonpath='{.status.numberReady}'=3 daemonset/agent --timeout=60s").ok();
    nodes_of(&kubectl, "more-0 more-1 sim-0");
    kubectl.run("set image daemonset/agent agent=registry.example/agent:2").ok();
    kubectl
        .run("rollout status daemonset/agent")
        .ok()
        .shows(&[r#"daemon set "agent" successfully rolled out"#]);
    kubectl
        .run("get pods -l app=agent -o jsonpath='{.items[*].spec.containers[0].image}'")
        .ok()
        .prints("registry.example/agent:2 registry.example/agent:2 registry.example/agent:2");
    kubectl.run("rollout history daemonset/agent").ok().matches("^1 ").matches("^2 ");
    kubectl.run("rollout undo daemonset/agent").ok().prints("daemonset.apps/agent rolled back");
    kubectl.run("rollout status daemonset/agent").ok();
    kubectl
        .run("get pods -l app=agent -o jsonpath='{.items[0].spec.containers[0].image}'")
        .ok()
        .prints("registry.example/agent:1");
    nodes_of(&kubectl, "more-0 more-1 sim-0");
}

/// The nodes that run the daemon's pods.
#[track_caller]
fn nodes_of(kubectl: &Kubectl, nodes: &str) {
    let found = kubectl.run("get pods -l app=agent -o jsonpath='{.items[*].spec.nodeName}'").ok().stdout;
    assert_eq!(sorted(&found), sorted(nodes));
}

#[test]
fn a_job_completes_and_a_failing_name_does_not_run() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run(&format!("create -f {}", example("job/job.yaml"))).ok().prints("job.batch/work created");
    kubectl.run("wait --for=condition=Complete job/work --timeout=60s").ok();
    kubectl
        .run("get job work")
        .ok()
        .matches(r"^NAME +STATUS +COMPLETIONS +DURATION +AGE$")
        .matches(r"^work +Complete +4/4 +\d+s +\d+s$");
    kubectl
        .run("get pods -l job-name=work --field-selector status.phase=Succeeded -o name")
        .ok()
        .matches("(pod/work-[a-z0-9]{5}\n){4}");
    kubectl.run("delete job work").ok();
    kubectl.run("wait --for=delete pod -l job-name=work --timeout=60s").ok();
}

const CONTROLLER: &str = "apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: c, image: 'registry.example/c:1'}]}
";

#[test]
fn a_replication_controller_keeps_its_pods() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.pipe(CONTROLLER, "create -f -").ok().prints("replicationcontroller/old created");
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=2 rc/old --timeout=60s").ok();
    kubectl.run("get rc -o wide").ok().matches(r"^old +2 +2 +2 +\d+s +c +registry.example/c:1 +app=old$");
    kubectl.run("get all -l app=old -o name").ok().shows(&["replicationcontroller/old", "pod/old-"]);
    kubectl.run("scale rc old --replicas=3").ok().prints("replicationcontroller/old scaled");
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=3 rc/old --timeout=60s").ok();
    kubectl
        .run("get rc old --subresource=scale -o jsonpath='{.status.selector} {.status.replicas}'")
        .ok()
        .prints("app=old 3");
    kubectl.run("expose rc old --port=80 --name=front").ok().prints("service/front exposed");
    // A pod that no longer fits is let go, and replaced.
    let pod = kubectl.run("get pods -l app=old -o jsonpath='{.items[0].metadata.name}'").ok().stdout;
    kubectl.run(&format!("label pod {pod} app=free --overwrite")).ok();
    kubectl.run(&format!("wait --for=jsonpath='{{.metadata.labels.app}}'=free pod/{pod}")).ok();
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=3 rc/old --timeout=60s").ok();
    kubectl.run("delete rc old --cascade=orphan").ok();
    kubectl.run("get pods -l app=old -o jsonpath='{.items[*].metadata.ownerReferences}'").ok().prints("");
    kubectl.run("get pods -l app=old -o name").ok().matches(r"^(pod/old-[a-z0-9]{5}\n){3}$");
}

#[test]
fn pods_wait_for_a_node_that_fits() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    let pod = |name: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers: [{{name: c, image: 'x:1', resources: {{requests: {{cpu: '1'}}}}}}]\n{more}"
        )
    };
    kubectl.pipe(&pod("picky", "  nodeSelector: {disk: fast}\n"), "create -f -").ok();
    kubectl
        .run("wait --for=jsonpath='{.status.conditions[0].reason}'=Unschedulable pod/picky --timeout=60s")
        .ok();
    kubectl.run("label node sim-0 disk=fast").ok();
    kubectl.run("wait --for=condition=Ready pod/picky --timeout=60s").ok();
    kubectl.run("cordon sim-0").ok().prints("node/sim-0 cordoned");
    kubectl.pipe(&pod("late", ""), "create -f -").ok();
    kubectl
        .run("wait --for=jsonpath='{.status.conditions[0].reason}'=Unschedulable pod/late --timeout=60s")
        .ok();
    kubectl.run("uncordon sim-0").ok();
    kubectl.run("wait --for=condition=Ready pod/late --timeout=60s").ok();
    kubectl.run("taint node sim-0 only=me:NoExecute").ok().prints("node/sim-0 tainted");
    kubectl.run("wait --for=delete pod/late --timeout=60s").ok();
}
