//! What happens to containers when something dies or runs out.

use crate::{
    kubectl::Kubectl,
    node::{Node, SHELL, until, until_empty},
};
use std::{path::PathBuf, process::Command};

fn deployment(kubectl: &Kubectl, replicas: u32) {
    kubectl.run(&format!("create deployment web --image={SHELL} --replicas={replicas} -- sleep 36000")).ok();
    kubectl.run("rollout status deployment/web --timeout=110s").ok();
}

/// Container ids and restart counts.
fn containers(kubectl: &Kubectl) -> String {
    let ids = "get pods -l app=web -o jsonpath='{range .items[*]}{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount};{end}'";
    kubectl.run(ids).ok().stdout
}

#[test]
fn containers_survive_the_death_of_proa_and_of_containerd() {
    let mut node = Node::start();
    let kubectl = node.kubectl();
    deployment(&kubectl, 3);
    let before = containers(&kubectl);
    assert_eq!(before.matches("containerd://").count(), 3, "{before}");
    node.server().kill();
    node.server().start_again();
    node.is_ready();
    // The agent has taken the pods over once it runs another one, and changes one that it found.
    kubectl.run(&format!("run probe --image={SHELL} --restart=Never --command -- true")).ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Succeeded pod/probe --timeout=110s").ok();
    assert_eq!(containers(&kubectl), before, "the same containers run on after proa was killed");

    node.kill_containerd();
    kubectl.run(&format!("run second --image={SHELL} --restart=Never --command -- true")).ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Succeeded pod/second --timeout=110s").ok();
    assert_eq!(containers(&kubectl), before, "the same containers run on after containerd was killed");
    kubectl.run("exec deploy/web -- echo here").ok().prints("here");

    // The pods are the agent's own: deleted ones end, others take their place.
    kubectl.run("delete pods -l app=web --grace-period=1").ok();
    kubectl.run("rollout status deployment/web --timeout=110s").ok();
    assert_ne!(containers(&kubectl), before);
}

#[test]
fn everything_is_there_again_after_down_and_up() {
    let mut node = Node::start();
    let kubectl = node.kubectl();
    deployment(&kubectl, 2);
    kubectl.run("create configmap kept --from-literal=a=b").ok();
    let names = kubectl.run("get pods -l app=web -o name").ok().stdout;
    node.down();
    node.server().start_again();
    node.is_ready();
    kubectl.run("get configmap kept -o jsonpath='{.data.a}'").ok().prints("b");
    kubectl.run("wait --for=condition=Ready pod -l app=web --timeout=110s").ok();
    assert_eq!(kubectl.run("get pods -l app=web -o name").ok().stdout, names, "the same pods run again");
    kubectl.run("exec deploy/web -- echo here").ok().prints("here");
}

#[test]
fn what_runs_out_is_said_in_upstreams_words() {
    let node = Node::start();
    let kubectl = node.kubectl();
    let hog = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: hog}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: {SHELL}
    command: [sh, -c, 'head -c 200m /dev/zero | tail']
    resources: {{limits: {{memory: 16Mi}}}}
"
    );
    kubectl.pipe(&hog, "apply -f -").ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Failed pod/hog --timeout=110s").ok();
    let ended = "get pod hog -o jsonpath='{.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}'";
    // containerd 1.6 tells of the reason as often after the end as before it.
    until("the reason is told", || {
        let told = kubectl.run(ended).ok().stdout;
        matches!(told.trim(), "OOMKilled 137" | "OOMKilled 1").then_some(())
    });
    let full = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: full}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: {SHELL}
    command: [sh, -c, 'head -c 3000000 /dev/zero > /cache/file; sleep 3600']
    volumeMounts: [{{name: cache, mountPath: /cache}}]
  volumes: [{{name: cache, emptyDir: {{sizeLimit: 1Mi}}}}]
"
    );
    kubectl.pipe(&full, "apply -f -").ok();
    kubectl.run("wait --for=jsonpath='{.status.reason}'=Evicted pod/full --timeout=110s").ok();
    kubectl
        .run("get pod full -o jsonpath='{.status.message}'")
        .ok()
        .prints("Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ");
    kubectl.run("run missing --image=registry.example/there/is:none --restart=Never").ok();
    let reason = "get pod missing -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}'";
    until("the missing image is reported", || {
        let reason = kubectl.run(reason).ok().stdout;
        matches!(reason.trim(), "ErrImagePull" | "ImagePullBackOff").then_some(())
    });
    kubectl.run("run wrong --image=UPPER/case --restart=Never").ok();
    kubectl.run("wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.reason}'=InvalidImageName pod/wrong --timeout=110s").ok();
    let odd = "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"nfs\":{\"server\":\"a\",\"path\":\"/\"}}]}}";
    kubectl.run(&format!("run odd --image={SHELL} --overrides='{odd}'")).ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Failed pod/odd --timeout=110s").ok();
    kubectl.run("get pod odd -o jsonpath='{.status.message}'").ok().shows(&["spec.volumes[0].nfs"]);
}

/// A small file system over a directory.
struct Disk(PathBuf);

impl Disk {
    fn over(dir: PathBuf) -> Self {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m", "none"]).arg(&dir).status();
        assert!(mounted.unwrap().success());
        Self(dir)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Nearly full, as upstream's thresholds want it: on a disk without a free byte containerd cannot write down that a
/// container ended.
#[test]
fn a_full_disk_evicts_who_fills_it() {
    let mut node = Node::start_with(&["--eviction-hard", "nodefs.available<5%"]);
    let kubectl = node.kubectl();
    node.down();
    let _disk = Disk::over(node.data().join("node"));
    node.server().start_again();
    node.mirrors();
    node.is_ready();
    kubectl.run(&format!("run small --image={SHELL} --restart=Never -- sleep 3600")).ok();
    kubectl.run("wait --for=condition=Ready pod/small --timeout=110s").ok();
    let hog = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: hog}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: {SHELL}
    command: [sh, -c, 'free=$(df -k --output=avail /cache | tail -n 1); head -c $((free - 5000))k /dev/zero > /cache/file; sleep 3600']
    volumeMounts: [{{name: cache, mountPath: /cache}}]
  volumes: [{{name: cache, emptyDir: {{}}}}]
"
    );
    kubectl.pipe(&hog, "apply -f -").ok();
    kubectl.run("wait --for=jsonpath='{.status.reason}'=Evicted pod/hog --timeout=110s").ok();
    let message = kubectl.run("get pod hog -o jsonpath='{.status.message}'").ok();
    message
        .shows(&["The node was low on resource: ephemeral-storage. Threshold quantity: ", ", available: "]);
    kubectl.run("wait --for=condition=DiskPressure node --all --timeout=110s").ok();
    // While it lasts, nothing new comes onto the node.
    kubectl.run(&format!("run late --image={SHELL} --restart=Never -- true")).ok();
    kubectl.run("wait --for=condition=PodScheduled=False pod/late --timeout=110s").ok();
    kubectl.run("describe pod late").ok().shows(&["1 node(s) had untolerated taint(s)"]);
    kubectl.run("describe nodes").ok().shows(&["node.kubernetes.io/disk-pressure:NoSchedule"]);
    // Else it would start its containerd again.
    node.server().stop();
    node.proa(&["down"], &[]);
}

#[test]
fn nothing_is_left_of_many_pods_whatever_is_killed() {
    let mut node = Node::start();
    let kubectl = node.kubectl();
    let pod = |number: u32| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{number}, labels: {{batch: b{}}}}}\nspec:\n  \
             terminationGracePeriodSeconds: 0\n  containers: [{{name: c, image: {SHELL}, command: [sleep, '3600'], \
             ports: [{{containerPort: 80, hostPort: {}}}]}}]\n---\n",
            number % 5,
            node_port(number)
        )
    };
    let mut number = 0;
    for round in 0..8_u32 {
        let batch: String = (0..25)
            .map(|_| {
                number += 1;
                pod(number)
            })
            .collect();
        kubectl.pipe(&batch, "apply -f -").ok();
        // Somewhere in between: some pods run, some start, some end.
        kubectl.run(&format!("delete pods -l batch=b{} --wait=false", round % 5)).ok();
        match round {
            2 | 5 => {
                node.server().kill();
                node.server().start_again();
            }
            3 | 6 => node.kill_containerd(),
            _ => {}
        }
        kubectl.run("delete pods --all --wait=false").ok();
    }
    until("all pods are gone", || {
        kubectl.run("get pods -o name").ok().stdout.trim().is_empty().then_some(())
    });
    until_empty("of pods that are gone there is still", || node.of_pods());
}

/// Host ports that no other test uses.
fn node_port(number: u32) -> u32 {
    4_000 + number
}
