//! The workshop's application, typed step by step: `examples/dockercoins` in real containers, with plain kubectl.

use crate::{
    kubectl::Kubectl,
    node::{Node, http_get, until, until_empty},
};
use std::collections::BTreeSet;

#[test]
fn dockercoins_is_built_scaled_changed_and_broken() {
    let node = Node::start();
    let kubectl = node.kubectl();
    the_worker_fails_until_services_exist(&kubectl);
    the_web_page_shows_coins(&kubectl, &node);
    workers_are_scaled_and_services_balance(&kubectl);
    rng_becomes_a_daemon_set(&kubectl);
    a_pod_is_taken_out_of_its_service(&kubectl);
    a_new_version_rolls_out(&kubectl);
    a_broken_version_hangs_and_is_undone(&kubectl, &node);
    namespaces_have_their_own_names(&kubectl);
    everything_can_be_looked_at(&kubectl);
    one_shots_run(&kubectl);
    nothing_is_left_of_a_namespace(&kubectl, &node);
}

fn the_worker_fails_until_services_exist(kubectl: &Kubectl) {
    kubectl.run("create deployment redis --image=redis:7").ok();
    for name in ["hasher", "rng", "webui", "worker"] {
        kubectl.run(&format!("create deployment {name} --image=dockercoins/{name}:v0.1")).ok();
    }
    for name in ["redis", "hasher", "rng", "webui", "worker"] {
        kubectl.run(&format!("rollout status deployment/{name} --timeout=110s")).ok();
    }
    let mut log = kubectl.follow("logs -f deploy/worker");
    log.until("trying again");
    kubectl.run("expose deployment redis --port 6379").ok();
    kubectl.run("expose deployment rng --port 80").ok();
    kubectl.run("expose deployment hasher --port 80").ok();
    log.until("units of work done");
}

fn the_web_page_shows_coins(kubectl: &Kubectl, node: &Node) {
    let port = node.port();
    kubectl.run(&format!("create service nodeport webui --tcp=80 --node-port={port}")).ok();
    for address in addresses(kubectl) {
        let target = format!("{address}:{port}");
        let hashes = until("the web page counts hashes", || {
            let body = http_get(&target, "/json")?;
            let answer: serde_json::Value = serde_json::from_str(&body).ok()?;
            answer["hashes"].as_f64().filter(|hashes| *hashes > 0.0)
        });
        assert!(hashes > 0.0);
        assert!(http_get(&target, "/").is_some_and(|page| page.contains("<html")), "{target} has a page");
    }
}

/// Where node ports answer: every address of the node, and the loopback address.
fn addresses(kubectl: &Kubectl) -> BTreeSet<String> {
    let own = "get node -o jsonpath='{.items[*].status.addresses[?(@.type==\"InternalIP\")].address}'";
    let mut all: BTreeSet<String> =
        kubectl.run(own).ok().stdout.split_whitespace().map(str::to_owned).collect();
    all.insert("127.0.0.1".to_owned());
    all
}

fn workers_are_scaled_and_services_balance(kubectl: &Kubectl) {
    kubectl.run("scale deploy/worker --replicas=10").ok();
    kubectl.run("rollout status deployment/worker --timeout=110s").ok();
    kubectl.run("get deploy worker").ok().matches(r"^worker +10/10 +10 +10 +");
    kubectl.run("scale deploy/rng --replicas=3").ok();
    kubectl.run("rollout status deployment/rng --timeout=110s").ok();
    // Each pod of the service answers somebody: its log shows requests.
    let pods = kubectl.run("get pods -l app=rng -o name").ok().stdout;
    for pod in pods.lines() {
        kubectl.follow(&format!("logs -f {pod}")).until("GET /32");
    }
    kubectl.run("scale deploy/rng --replicas=1").ok();
    kubectl.run("wait --for=jsonpath='{.status.replicas}'=1 deploy/rng --timeout=110s").ok();
}

fn rng_becomes_a_daemon_set(kubectl: &Kubectl) {
    let yaml = kubectl.run("get deploy/rng -o yaml").ok().stdout;
    let edited = yaml.replace("kind: Deployment", "kind: DaemonSet");
    // As in the workshop: the first try names the fields that a DaemonSet does not have.
    kubectl.pipe(&edited, "apply -f -").fails(&["unknown field \"spec.replicas\""]);
    kubectl.pipe(&edited, "apply -f - --validate=false").ok();
    kubectl.run("rollout status daemonset/rng --timeout=110s").ok();
    kubectl.run("get deploy,ds -l app=rng").ok().shows(&["deployment.apps/rng", "daemonset.apps/rng"]);
    let both = kubectl.run("get pods -l app=rng -o name").ok().stdout;
    assert_eq!(both.lines().count(), 2, "the pods of both exist side by side: {both}");
    let last = kubectl.run("logs -l app=rng --tail 1").ok().stdout;
    assert_eq!(last.lines().count(), 2, "one line of each pod: {last}");
}

fn a_pod_is_taken_out_of_its_service(kubectl: &Kubectl) {
    let pod = kubectl
        .run("get pods -l app=rng -o jsonpath='{.items[?(@.metadata.ownerReferences[0].kind==\"DaemonSet\")].metadata.name}'")
        .ok()
        .stdout;
    kubectl.run(&format!("label pod {pod} app-")).ok();
    // The set makes another; the first goes on by itself, outside of the service.
    until("the set has a new pod", || {
        let pods = kubectl.run("get pods -l app=rng -o name").ok().stdout;
        (pods.lines().count() == 2 && !pods.contains(&pod)).then_some(())
    });
    kubectl.run("rollout status daemonset/rng --timeout=110s").ok();
    kubectl.run(&format!("get pod {pod}")).ok().matches("1/1 +Running");
    let address = kubectl.run(&format!("get pod {pod} -o jsonpath='{{.status.podIP}}'")).ok().stdout;
    until("the service forgets the pod", || {
        let listed = "get endpointslice -l kubernetes.io/service-name=rng -o jsonpath='{.items[*].endpoints[*].addresses[0]}'";
        let served = kubectl.run(listed).ok().stdout;
        (!served.split_whitespace().any(|one| one == address)).then_some(())
    });
    kubectl.run(&format!("delete pod {pod} --wait=true")).ok();
    kubectl
        .run("patch ds rng -p '{\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"other\"}}}}'")
        .fails(&["field is immutable"]);
    kubectl.run("delete ds rng").ok();
}

fn a_new_version_rolls_out(kubectl: &Kubectl) {
    kubectl.run("set image deploy/worker worker=dockercoins/worker:v0.2").ok();
    kubectl.run("rollout status deployment/worker --timeout=110s").ok().shows(&["successfully rolled out"]);
    let images =
        kubectl.run("get pods -l app=worker -o jsonpath='{.items[*].spec.containers[0].image}'").ok();
    images.shows(&["worker:v0.2"]);
    kubectl.run("rollout undo deploy/worker").ok();
    kubectl.run("rollout status deployment/worker --timeout=110s").ok();
}

fn a_broken_version_hangs_and_is_undone(kubectl: &Kubectl, node: &Node) {
    kubectl.run("set image deploy/worker worker=dockercoins/worker:v0.99").ok();
    kubectl.run("rollout status deployment/worker --timeout=3s").fails(&["timed out"]);
    until("a pod says that its image cannot be had", || {
        let waiting = "get pods -l app=worker -o jsonpath='{.items[*].status.containerStatuses[0].state.waiting.reason}'";
        let reasons = kubectl.run(waiting).ok().stdout;
        (reasons.contains("ErrImagePull") || reasons.contains("ImagePullBackOff")).then_some(())
    });
    kubectl.run("get deploy worker -o jsonpath='{.status.availableReplicas}'").ok().matches("^([89]|10)$");
    assert!(http_get(&format!("127.0.0.1:{}", node.port()), "/json").is_some(), "the application stays up");
    kubectl.run("rollout undo deploy/worker").ok();
    kubectl.run("rollout status deployment/worker --timeout=110s").ok();
    let gentle =
        r#"{"spec":{"minReadySeconds":10,"strategy":{"rollingUpdate":{"maxUnavailable":0,"maxSurge":3}}}}"#;
    kubectl.run(&format!("patch deploy worker -p '{gentle}'")).ok();
    kubectl.run("get deploy worker -o jsonpath='{.spec.strategy.rollingUpdate.maxSurge}'").ok().prints("3");
    let pod = kubectl.run("get pods -l app=worker -o jsonpath='{.items[0].metadata.name}'").ok().stdout;
    kubectl.run(&format!("delete pod {pod} --grace-period=1")).ok();
    kubectl.run("wait --for=jsonpath='{.status.readyReplicas}'=10 deploy/worker --timeout=110s").ok();
    kubectl.run("get pods -l app=worker -o name").ok().hides(&[&pod]);
}

fn namespaces_have_their_own_names(kubectl: &Kubectl) {
    for space in ["blue", "green"] {
        kubectl.run(&format!("create namespace {space}")).ok();
        kubectl.run(&format!("-n {space} create deployment redis --image=redis:7")).ok();
        kubectl.run(&format!("-n {space} expose deployment redis --port 6379")).ok();
    }
    kubectl.run("-n blue create service externalname far --external-name redis.green.svc.cluster.local").ok();
    for space in ["blue", "green"] {
        kubectl.run(&format!("-n {space} rollout status deployment/redis --timeout=110s")).ok();
        kubectl
            .run(&format!("-n {space} exec deploy/redis -- redis-cli set where {space}"))
            .ok()
            .shows(&["OK"]);
    }
    let ask = |space: &str, name: &str| {
        let line = format!("-n {space} exec deploy/redis -- redis-cli -h {name} get where");
        kubectl.run(&line).ok().stdout.trim().to_owned()
    };
    assert_eq!(ask("blue", "redis"), "blue");
    assert_eq!(ask("green", "redis"), "green");
    assert_eq!(ask("blue", "redis.green"), "green");
    assert_eq!(ask("blue", "far"), "green", "an ExternalName leads across");
}

fn everything_can_be_looked_at(kubectl: &Kubectl) {
    kubectl.run("get all").ok().shows(&["deployment.apps/worker", "service/webui", "pod/redis-"]);
    for kind in
        ["deploy/worker", "rs -l app=worker", "svc/webui", "pod -l app=redis", "endpointslice", "ns/blue"]
    {
        kubectl.run(&format!("describe {kind}")).ok().shows(&["Name:"]);
    }
    kubectl.run("describe pod -l app=redis").ok().shows(&["Started", "Successfully assigned"]);
    kubectl
        .run("set resources deploy/hasher --requests=cpu=100m,memory=32Mi --limits=cpu=1,memory=64Mi")
        .ok();
    kubectl.run("rollout status deployment/hasher --timeout=110s").ok();
    kubectl
        .run("describe node")
        .ok()
        .shows(&["Allocated resources:", "hasher-"])
        .matches(r"^ +cpu +100m \(\d+%\) +1 \(\d+%\)")
        .matches(r"^ +memory +32Mi \(\d+%\) +64Mi \(\d+%\)");
}

fn one_shots_run(kubectl: &Kubectl) {
    kubectl.run("create job once --image=redis:7 -- redis-cli -h redis ping").ok();
    kubectl.run("wait --for=condition=Complete job/once --timeout=110s").ok();
    kubectl.run("logs job/once").ok().prints("PONG");
    let typed = "run typed --rm -i --restart=Never --image=proa/shell:1 --command -- cat";
    kubectl.pipe("hello\n", typed).ok().shows(&["hello"]);
    kubectl.run("get pod typed").fails(&["NotFound"]);
}

fn nothing_is_left_of_a_namespace(kubectl: &Kubectl, node: &Node) {
    kubectl.run("delete namespace blue green --timeout=110s").ok();
    kubectl.run("delete all --all --timeout=110s").ok();
    until("the node has no pods", || {
        kubectl.run("get pods -A -o name").ok().stdout.trim().is_empty().then_some(())
    });
    until_empty("of pods that are gone there is still", || node.of_pods());
}
