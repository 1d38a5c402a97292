//! The examples that need real containers: ways to bring a new version out, and containers that work together.

use crate::{
    ingress::{curl, ports},
    kubectl::{Kubectl, example},
    node::{Node, until},
};
use std::collections::BTreeSet;

/// kubectl in a namespace of the example's own, which is made.
fn of_its_own(node: &Node, namespace: &str) -> impl Fn(&str) -> crate::kubectl::Step {
    let kubectl = node.kubectl();
    kubectl.run(&format!("create namespace {namespace}")).ok();
    let namespace = namespace.to_owned();
    move |line| kubectl.run(&format!("--namespace {namespace} {line}"))
}

/// What a service answers, through the API server.
fn answer(kubectl: &Kubectl, namespace: &str) -> Option<String> {
    let path = format!("/api/v1/namespaces/{namespace}/services/site:http/proxy/");
    let step = kubectl.run(&format!("get --raw {path}"));
    step.is_ok().then(|| step.stdout.trim().to_owned())
}

/// All that it answers in so many requests.
fn answers(kubectl: &Kubectl, namespace: &str, requests: usize) -> BTreeSet<String> {
    (0..requests).filter_map(|_| answer(kubectl, namespace)).collect()
}

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn new_versions_come_out_step_by_step() {
    let mut node = Node::start();
    rolling(&node);
    blue_green(&node);
    canary(&node);
    a_b(&mut node);
}

fn rolling(node: &Node) {
    let (kubectl, run) = (node.kubectl(), of_its_own(node, "rolling"));
    run(&format!("apply -f {}", example("strategies/rolling/v1.yaml"))).ok();
    run("rollout status deployment/site --timeout=110s").ok();
    until("the service answers", || answer(&kubectl, "rolling").filter(|answer| answer == "version 1"));
    run(&format!("apply -f {}", example("strategies/rolling/v2.yaml"))).ok();
    let mut seen = BTreeSet::new();
    until("only version 2 answers", || {
        // Never fewer than three pods are ready, so there is an answer all the time.
        let now = answers(&kubectl, "rolling", 4);
        seen.extend(now.iter().cloned());
        let is_over = run("rollout status deployment/site --watch=false").stdout.contains("successfully");
        (is_over && now == set(&["version 2"])).then_some(())
    });
    assert_eq!(seen, set(&["version 1", "version 2"]));
    run("rollout history deployment/site").ok().matches("^1 +version 1$").matches("^2 +version 2$");
    run("rollout undo deployment/site").ok();
    run("rollout status deployment/site --timeout=110s").ok();
    until("version 1 is back", || (answers(&kubectl, "rolling", 4) == set(&["version 1"])).then_some(()));
}

fn blue_green(node: &Node) {
    let (kubectl, run) = (node.kubectl(), of_its_own(node, "blue-green"));
    run(&format!("apply -f {}", example("strategies/blue-green/both.yaml"))).ok();
    for color in ["blue", "green"] {
        run(&format!("rollout status deployment/site-{color} --timeout=110s")).ok();
    }
    until("blue answers", || answer(&kubectl, "blue-green"));
    assert_eq!(answers(&kubectl, "blue-green", 8), set(&["blue"]));
    run("set selector service site app=site,color=green").ok();
    until("only green answers", || (answers(&kubectl, "blue-green", 8) == set(&["green"])).then_some(()));
    run("delete deployment site-blue").ok();
    assert_eq!(answers(&kubectl, "blue-green", 8), set(&["green"]));
}

fn canary(node: &Node) {
    let (kubectl, run) = (node.kubectl(), of_its_own(node, "canary"));
    run(&format!("apply -f {}", example("strategies/canary/canary.yaml"))).ok();
    for track in ["stable", "canary"] {
        run(&format!("rollout status deployment/site-{track} --timeout=110s")).ok();
    }
    let both = set(&["version 1", "version 2"]);
    until("both versions answer", || (answers(&kubectl, "canary", 16) == both).then_some(()));
    run("scale deployment/site-canary --replicas=0").ok();
    until("the canary is silent", || (answers(&kubectl, "canary", 16) == set(&["version 1"])).then_some(()));
}

fn a_b(node: &mut Node) {
    bring_both_out(node);
    let [http, _] = ports(node);
    let visit = |more: &[&str]| {
        let url = format!("http://127.0.0.1:{http}/");
        let mut arguments = vec!["-H", "Host: site.example"];
        arguments.extend(more);
        arguments.push(&url);
        let (status, body) = curl(&arguments)?;
        (status == 200).then(|| body.trim().to_owned())
    };
    let sees = |more: &[&str], version: &str| (visit(more)? == version).then_some(());
    until("who asks for version B sees it", || sees(&["-H", "X-Version: b"], "version B"));
    until("everybody else sees version A", || sees(&[], "version A"));
    // Each visitor sees the same version every time.
    for _ in 0..8 {
        assert_eq!(visit(&[]).as_deref(), Some("version A"));
        assert_eq!(visit(&["-H", "X-Version: b"]).as_deref(), Some("version B"));
        assert_eq!(visit(&["-H", "X-Version: c"]).as_deref(), Some("version A"));
        assert_eq!(visit(&["-b", "version=always"]).as_deref(), Some("version B"));
        assert_eq!(visit(&["-b", "version=never"]).as_deref(), Some("version A"));
    }
}

fn bring_both_out(node: &Node) {
    let run = of_its_own(node, "a-b");
    run(&format!("apply -f {}", example("strategies/a-b/a-b.yaml"))).ok();
    for version in ["a", "b"] {
        run(&format!("rollout status deployment/site-{version} --timeout=110s")).ok();
    }
    let address = "jsonpath='{.status.loadBalancer.ingress[0].ip}'";
    run(&format!("wait --for={address} ingress/site --timeout=60s")).ok();
}

#[test]
fn containers_help_each_other() {
    // One of them speaks to the API.
    let node = Node::start_with(&["--listen", "0.0.0.0"]);
    sidecar(&node);
    ambassador(&node);
    adapter(&node);
    work_queue(&node);
    scatter_gather(&node);
    leader_election(&node);
}

fn sidecar(node: &Node) {
    let run = of_its_own(node, "sidecar");
    run(&format!("apply -f {}", example("patterns/sidecar/sidecar.yaml"))).ok();
    run("wait --for=condition=Ready pod/program --timeout=110s").ok();
    run("get pod program").ok().matches(r"^program +2/2 +Running");
    until("the sidecar prints what the program wrote", || {
        run("logs program -c tail").stdout.contains("line 2\n").then_some(())
    });
    run("logs program -c program").ok().prints("");
}

fn ambassador(node: &Node) {
    let run = of_its_own(node, "ambassador");
    run(&format!("apply -f {}", example("patterns/ambassador/ambassador.yaml"))).ok();
    run("wait --for=condition=Ready pod --all --timeout=110s").ok();
    until("visits are counted", || {
        run("logs shop -c program").stdout.lines().any(|line| line.trim() == ":2").then_some(())
    });
}

fn adapter(node: &Node) {
    let run = of_its_own(node, "adapter");
    run(&format!("apply -f {}", example("patterns/adapter/adapter.yaml"))).ok();
    run("wait --for=condition=Ready pod/counter --timeout=110s").ok();
    let path = "/api/v1/namespaces/adapter/pods/counter:8080/proxy/metrics";
    run(&format!("get --raw {path}")).ok().matches(r"^shop_orders_total \d+$");
}

fn work_queue(node: &Node) {
    let run = of_its_own(node, "queue");
    run(&format!("apply -f {}", example("patterns/work-queue/queue.yaml"))).ok();
    run("wait --for=condition=Complete job/workers job/filling --timeout=110s").ok();
    let done = run("exec queue -- redis-cli lrange done 0 -1").ok().stdout;
    let done: Vec<&str> = done.split_whitespace().collect();
    assert_eq!(done.len(), 7, "each piece of work once: {done:?}");
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>().len(), 7);
}

fn scatter_gather(node: &Node) {
    let run = of_its_own(node, "gather");
    run(&format!("apply -f {}", example("patterns/scatter-gather/scatter.yaml"))).ok();
    run("wait --for=condition=Complete job/scatter job/gather --timeout=110s").ok();
    run("logs job/gather").ok().prints("45150");
}

fn leader_election(node: &Node) {
    let run = of_its_own(node, "leader");
    run(&format!("apply -f {}", example("patterns/leader-election/leader.yaml"))).ok();
    run("rollout status deployment/leader --timeout=110s").ok();
    let holder = || {
        let holder = run("get lease leader -o jsonpath='{.spec.holderIdentity}'");
        Some(holder.stdout.trim().to_owned()).filter(|name| holder.is_ok() && !name.is_empty())
    };
    let acts = |pod: &str| run(&format!("logs {pod} -c program")).stdout.contains(&format!("{pod} acts"));
    let first = until("one leads", holder);
    until("the leader acts", || acts(&first).then_some(()));
    let pods = run("get pods -l app=leader -o jsonpath='{.items[*].metadata.name}'").ok().stdout;
    let others: Vec<&str> = pods.split_whitespace().filter(|pod| *pod != first).collect();
    assert_eq!(others.len(), 2, "{pods}");
    assert!(!others.iter().any(|pod| acts(pod)), "of three only one acts");
    // Without a word: nobody gives the lease away.
    run(&format!("delete pod {first} --grace-period=0 --force")).ok();
    let second = until("another leads", || holder().filter(|name| *name != first));
    until("the other one acts", || acts(&second).then_some(()));
}
