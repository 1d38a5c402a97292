//! Quotas, limit ranges and disruption budgets at work.

use crate::{kubectl::Kubectl, server::Server};

fn web(namespace: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - {{name: c, image: 'registry.example/c:1', resources: {{requests: {{cpu: 300m}}}}}}
"
    )
}

fn used(kubectl: &Kubectl, resource: &str, amount: &str) {
    let path = format!("{{.status.used.{resource}}}");
    kubectl.run(&format!("wait -n team --for=jsonpath='{path}'={amount} quota/q --timeout=60s")).ok();
}

#[test]
fn a_quota_limits_a_namespace_and_is_given_back() {
    let server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run("create namespace team").ok();
    kubectl.run("create quota q -n team --hard=pods=2,requests.cpu=1,secrets=1").ok();
    used(&kubectl, "pods", "0");
    kubectl
        .run("run a -n team --image=registry.example/a:1")
        .fails(&["pods \"a\" is forbidden: failed quota: q: must specify requests.cpu for: a"]);
    kubectl.pipe(&web("team", 3), "apply -f -").ok();
    kubectl.run("wait -n team --for=jsonpath='{.status.readyReplicas}'=2 deployment/web --timeout=60s").ok();
    kubectl
        .run("get quota -n team")
        .ok()
        .matches(r"^NAME +REQUEST +LIMIT +AGE$")
        .matches(r"^q +pods: 2/2, requests.cpu: 600m/1, secrets: 0/1 +\d+s$");
    kubectl.run("wait -n team --for=condition=ReplicaFailure deployment/web --timeout=60s").ok();
    kubectl
        .run("get rs -n team -o jsonpath='{.items[0].status.conditions[0].message}'")
        .ok()
        .shows(&["exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"]);
    kubectl.run("scale -n team deployment web --replicas=1").ok();
    used(&kubectl, "pods", "1");
    used(&kubectl, "requests\\.cpu", "300m");
    kubectl.run("create secret generic a -n team").ok();
    kubectl.run("create secret generic b -n team").fails(&[
        "secrets \"b\" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1",
    ]);
    kubectl.run("delete secret a -n team").ok();
    used(&kubectl, "secrets", "0");
    kubectl.run("create secret generic b -n team").ok();
    kubectl.run("delete quota q -n team").ok();
    kubectl.run("create secret generic c -n team").ok();
}

#[test]
fn a_quota_counts_kinds_that_come_later() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    kubectl.run("create namespace team").ok();
    kubectl
        .run("create quota q -n team --hard=count/toys.example.com=1,count/leases.coordination.k8s.io=9")
        .ok();
    used(&kubectl, "count/leases\\.coordination\\.k8s\\.io", "0");
    let definition = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: toys.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: toys, kind: Toy}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";
    kubectl.pipe(definition, "apply -f -").ok();
    kubectl.run("wait --for=condition=Established crd/toys.example.com --timeout=60s").ok();
    used(&kubectl, "count/toys\\.example\\.com", "0");
    let toy = |name: &str| {
        format!("apiVersion: example.com/v1\nkind: Toy\nmetadata: {{name: {name}, namespace: team}}\n")
    };
    kubectl.pipe(&toy("a"), "create -f -").ok();
    used(&kubectl, "count/toys\\.example\\.com", "1");
    kubectl.pipe(&toy("b"), "create -f -").fails(&["exceeded quota: q, requested: count/toys.example.com=1"]);
    kubectl.run("delete toy a -n team").ok();
    used(&kubectl, "count/toys\\.example\\.com", "0");
}

#[test]
fn a_limit_range_gives_defaults_and_bounds() {
    let server = Server::start(&[]);
    let kubectl = server.kubectl();
    let range = "apiVersion: v1
kind: LimitRange
metadata: {name: l}
spec:
  limits:
  - {type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 200m}, max: {cpu: '1'}}
";
    kubectl.pipe(range, "apply -f -").ok();
    kubectl.run("get limits l").ok().matches(r"^l +\S+Z$");
    kubectl.run("run a --image=registry.example/a:1").ok();
    kubectl
        .run("get pod a -o jsonpath='{.spec.containers[0].resources}'")
        .ok()
        .prints(r#"{"limits":{"cpu":"500m"},"requests":{"cpu":"200m"}}"#);
    kubectl
        .run("get pod a -o jsonpath='{.metadata.annotations.kubernetes\\.io/limit-ranger}'")
        .ok()
        .prints("LimitRanger plugin set: cpu request for container a; cpu limit for container a");
    let big = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[
        {"name":"b","image":"registry.example/b:1","resources":{"limits":{"cpu":"2"}}}]}}"#;
    kubectl
        .pipe(big, "create -f -")
        .fails(&["pods \"b\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"]);
}

#[test]
fn a_budget_keeps_pods_from_being_evicted() {
    let server = Server::start(&["--simulate", "2"]);
    let kubectl = server.kubectl();
    for node in ["sim-0", "sim-1"] {
        kubectl.run(&format!("wait --for=create node/{node} --timeout=60s")).ok();
        kubectl.run(&format!("wait --for=condition=Ready node/{node} --timeout=60s")).ok();
    }
    kubectl.pipe(&web("default", 4), "apply -f -").ok();
    kubectl.run("create pdb web --selector=app=web --min-available=4").ok();
    kubectl.run("wait --for=jsonpath='{.status.currentHealthy}'=4 pdb/web --timeout=60s").ok();
    kubectl.run("get pdb web").ok().matches(r"^web +4 +N/A +0 +\d+s$");
    let pod = kubectl.run("get pods -l app=web -o jsonpath='{.items[0].metadata.name}'").ok().stdout.clone();
    let eviction = format!(r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}"}}}}"#);
    let evict = format!("create --raw /api/v1/namespaces/default/pods/{pod}/eviction -f -");
    kubectl
        .pipe(&eviction, &evict)
        .fails(&["Cannot evict pod as it would violate the pod's disruption budget."]);
    kubectl
        .run("patch pdb web --type=merge -p '{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":\"25%\"}}'")
        .ok();
    kubectl.run("wait --for=jsonpath='{.status.disruptionsAllowed}'=1 pdb/web --timeout=60s").ok();
    kubectl.run("wait --for=condition=DisruptionAllowed pdb/web --timeout=60s").ok();
    kubectl
        .run("get pdb web -o jsonpath='{.status.expectedPods}/{.status.desiredHealthy}'")
        .ok()
        .prints("4/3");
    // One after the other, each once the one before has been made good.
    kubectl.run("drain sim-0 --timeout=60s").ok();
    kubectl.run("get pods --field-selector spec.nodeName=sim-0 -o name").ok().prints("");
    kubectl.run("wait --for=jsonpath='{.status.disruptionsAllowed}'=1 pdb/web --timeout=60s").ok();
    kubectl.run("delete pdb web").ok();
    kubectl.run("drain sim-1 --timeout=60s").ok();
}
