//! Logs, exec, attach, copies and forwarded ports of real containers, over WebSockets and over SPDY.

use crate::{
    kubectl::Kubectl,
    node::{Node, SHELL, http_get, until},
};
use std::{fs, io::Write as _, process::Command};

/// Runs until it is stopped, writing a line every second; the third line goes to standard error.
const TALKER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: talker}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: first
    image: IMAGE
    command: [sh, -c, 'echo one; echo two; sleep 0.2; echo three >&2; sleep 0.2; echo last; exec sleep 3600']
  - name: second
    image: IMAGE
    command: [sh, -c, 'echo other; exec sleep 3600']
";

#[test]
fn streams_of_containers_reach_kubectl_both_ways() {
    let node = Node::start();
    let websockets = node.kubectl();
    websockets.pipe(&TALKER.replace("IMAGE", SHELL), "apply -f -").ok();
    websockets.run("wait --for=condition=Ready pod/talker --timeout=110s").ok();
    logs(&websockets);
    let spdy = node.kubectl().with("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
    for kubectl in [&websockets, &spdy] {
        exec(kubectl);
        terminals(kubectl);
        copies(kubectl);
        attach(kubectl);
    }
    let spdy = node.kubectl().with("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
    for kubectl in [&websockets, &spdy] {
        forwarded_ports(kubectl);
    }
    wrong_requests(&websockets);
}

fn logs(kubectl: &Kubectl) {
    kubectl.follow("logs -f talker -c first").until("last");
    kubectl.run("logs talker").ok().shows(&["one", "two", "three", "last"]).warns(&["Defaulted container"]);
    kubectl.run("logs talker -c second").ok().prints("other");
    kubectl.run("logs talker -c first --tail 1").ok().prints("last");
    kubectl.run("logs talker -c first --limit-bytes 4").ok().prints("one");
    kubectl.run("logs talker -c first --timestamps --tail 1").ok().matches(r"^\d{4}-\d\d-\d\dT\S+Z last$");
    kubectl.run("logs talker -c first --since 1h").ok().shows(&["one"]);
    kubectl.run("logs talker -c first --since-time 2999-01-01T00:00:00Z").ok().prints("");
    kubectl.run("logs -l app=talker --all-containers --prefix").ok().shows(&["talker/second] other"]);
    kubectl
        .run("logs talker -c first --previous")
        .fails(&["previous terminated container \"first\" in pod \"talker\" not found"]);
    kubectl.run("logs talker -c third").fails(&["container third is not valid for pod talker"]);
    let mut following = kubectl.follow("logs -f talker -c second");
    following.until("other");
    kubectl.run("exec talker -c second -- sh -c 'echo more > /proc/1/fd/1'").ok();
    following.until("more");
}

fn exec(kubectl: &Kubectl) {
    kubectl.run("exec talker -c second -- echo hello").ok().prints("hello");
    kubectl
        .run("exec talker -c second -- sh -c 'echo wrong >&2; exit 7'")
        .code(7)
        .warns(&["wrong", "exit code 7"]);
    // What is typed ends, and the process learns of it.
    kubectl.pipe("some text", "exec -i talker -c second -- cat").ok().prints("some text");
    kubectl.pipe("b\na\n", "exec -i talker -c second -- sort").ok().prints("a\nb");
    kubectl.run("exec talker -c second -- no-such-program").code(1).warns(&["no-such-program"]);
    kubectl.run("exec deploy/nothing -- true").fails(&["not found"]);
}

/// `script` gives kubectl a terminal of a known size.
fn terminals(kubectl: &Kubectl) {
    // As upstream, the size is told right after the start: a process may still see none.
    let line = "exec -it talker -c second -- sh -c 'until stty size | grep -v \"^0 0\"; do :; done'";
    let line = kubectl.shell_line(line);
    let typed = format!("stty rows 37 cols 101; {line}");
    let output = Command::new("script").args(["-qec", &typed, "/dev/null"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("37 101"), "the terminal's size reaches the process: {text}");
}

fn copies(kubectl: &Kubectl) {
    // Not compressible, and every block differs.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(100 << 20);
    while bytes.len() < 100 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let there = kubectl.file("there.bin", "");
    fs::File::create(&there).unwrap().write_all(&bytes).unwrap();
    let back = kubectl.file("back.bin", "");
    kubectl.run(&format!("cp {there} talker:/tmp/copy.bin -c second")).ok();
    kubectl.run("exec talker -c second -- stat -c %s /tmp/copy.bin").ok().prints(&bytes.len().to_string());
    kubectl.run(&format!("cp talker:/tmp/copy.bin {back} -c second")).ok();
    assert!(fs::read(&back).unwrap() == bytes, "100 MiB come back as they went");
    fs::remove_file(there).unwrap();
    fs::remove_file(back).unwrap();
}

fn attach(kubectl: &Kubectl) {
    let reader =
        "run reader --image=IMAGE --restart=Never -i --rm --command -- sh -c 'read line; echo got $line'";
    kubectl.pipe("words\n", &reader.replace("IMAGE", SHELL)).ok().shows(&["got words"]);
    let failing = "run failing --image=IMAGE --restart=Never -i --rm --command -- sh -c 'exit 5'";
    kubectl.run(&failing.replace("IMAGE", SHELL)).code(5);
}

fn forwarded_ports(kubectl: &Kubectl) {
    kubectl.run("run web --image=dockercoins/webui:v0.1").ok();
    kubectl.run("wait --for=condition=Ready pod/web --timeout=110s").ok();
    let mut forwarding = kubectl.follow("port-forward pod/web :80 --address 127.0.0.1");
    let line = forwarding.until("Forwarding from");
    let address = line.split_whitespace().nth(2).unwrap().to_owned();
    for _ in 0..3 {
        until("the pod answers through the forwarded port", || {
            http_get(&address, "/").filter(|body| !body.is_empty())
        });
    }
    drop(forwarding);
    kubectl.run("delete pod web --grace-period=1").ok();
}

fn wrong_requests(kubectl: &Kubectl) {
    kubectl.run("exec talker -c third -- true").fails(&["container third is not valid for pod talker"]);
    kubectl.run("logs nothing").fails(&["pods \"nothing\" not found"]);
    kubectl
        .run("exec talker -c second --as nobody -- true")
        .fails(&["Forbidden", "\"nobody\" cannot get resource"]);
}
