//! An operator by others, `examples/webserver-operator`: its own tests, and its chart on real containers by Helm.

use crate::{
    node::{Node, until},
    program::{Toolchain, program},
    server::{PROA, Server},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// A file of the example.
fn example(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/webserver-operator").join(path);
    path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_str().unwrap().to_owned()
}

/// Where cargo has built the program under test, and builds the example with what both have in common.
fn target() -> PathBuf {
    Path::new(PROA).parent().and_then(Path::parent).unwrap().to_owned()
}

/// Cargo in the example's workspace.
fn cargo(arguments: &[&str]) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--workspace", "--manifest-path", &example("Cargo.toml"), "--target-dir"]);
    cargo.arg(target()).args(arguments).output().unwrap()
}

/// Builds the example's tests and programs; the operator.
#[track_caller]
fn built() -> PathBuf {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let result = BUILT.get_or_init(|| {
        let output = cargo(&["--no-run"]);
        let text = || String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or_else(text)
    });
    result.as_ref().unwrap_or_else(|error| panic!("the example cannot be built: {error}"));
    target().join("debug/webserver-operator")
}

#[test]
fn the_examples_own_tests_pass() {
    built();
    let output = cargo(&[]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    // With the kit and in plain kube-rs.
    assert_eq!(out.matches("sites_come_change_and_go ... ok").count(), 2, "{out}");
}

/// The operator in a pod, installed by its chart; its sites answer through the node's ingress.
#[test]
fn a_chart_brings_sites() {
    let Some(clients) = Toolchain::Go.folder() else { return };
    // The operator speaks to the API.
    let mut node = Node::start_with(&["--listen", "0.0.0.0"]);
    let kubectl = node.kubectl();
    let archive = node.server().scratch().join("operator.tar");
    let made = Command::new(example("image.sh")).arg(built()).arg(&archive).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    node.proa(&["image", "load"], &[archive.to_str().unwrap()]);
    kubectl.run("wait --for=create ingressclass/proa --timeout=60s").ok();
    let helm = program(node.kubectl(), &clients.join("helm4"));
    let install = "--namespace sites --create-namespace --set domain=sites.example --wait --timeout 110s";
    helm.run(&format!("install webserver {} {install}", example("charts/webserver-operator"))).ok();
    kubectl.run("wait --for=condition=Established crd/webservers.webserver.example.com --timeout=60s").ok();

    kubectl.run(&format!("apply -f {}", example("hello.yaml"))).ok();
    kubectl.run("wait --for=condition=Ready webserver/hello --timeout=110s").ok();
    kubectl.run("get web").ok().matches(r"^hello +http://hello.default.sites.example/ +True +");
    kubectl
        .run("get web hello -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].observedGeneration}'")
        .ok()
        .prints("1");
    let port = ingress_port(&mut node);
    let shows = |text: &str| until(text, || page(port).filter(|page| page.contains(text)));
    shows("<h1>Hello</h1>");
    kubectl.run("patch web hello --type merge -p '{\"spec\":{\"www\":\"<h1>Goodbye</h1>\"}}'").ok();
    shows("<h1>Goodbye</h1>");

    // Another process of the operator goes on where the first was.
    kubectl.run("delete pod -n sites -l app.kubernetes.io/name=webserver-operator").ok();
    kubectl.run("patch web hello --type merge -p '{\"spec\":{\"www\":\"<h1>Again</h1>\"}}'").ok();
    shows("<h1>Again</h1>");
    kubectl.pipe(r#"{"apiVersion":"webserver.example.com/v1","kind":"WebServer","metadata":{"name":"bad"},"spec":{"www":""}}"#, "apply -f -").fails(&["spec.www"]);
    kubectl.run("delete web hello --timeout=110s").ok();
    kubectl.run("wait --for=delete deployment/hello configmap/hello ingress/hello --timeout=110s").ok();
    helm.run("uninstall webserver --namespace sites --wait --timeout 110s").ok();
}

/// The page of the site `hello`, asked for as its status says.
fn page(port: u16) -> Option<String> {
    let to = format!("::127.0.0.1:{port}");
    let output = Command::new("curl")
        .args(["-sf", "-m", "10", "--connect-to", &to, "http://hello.default.sites.example/"])
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where the node serves HTTP for ingresses; it follows from the name of the cluster, and the log says it.
fn ingress_port(node: &mut Node) -> u16 {
    let colours = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    until("the node listens", || {
        let log = node.server().log();
        let log = colours.replace_all(&log, "");
        let line =
            log.lines().rfind(|line| line.contains("ingress: listening") && line.contains("tls=false"))?;
        line.split("address=").nth(1)?.split_whitespace().next()?.rsplit(':').next()?.parse().ok()
    })
}

/// The same operator with controller-runtime.
fn with_controller_runtime(test: &str) {
    let Some(clients) = Toolchain::Go.folder() else { return };
    let server = Server::with_node();
    let crd = example("charts/webserver-operator/crds/webservers.yaml");
    let program = program(server.kubectl().with("WEBSERVER_CRD", &crd), &clients.join("webserver"));
    program.run(&format!("-test.run ^{test}$ -test.v")).ok().shows(&[&format!("--- PASS: {test} ")]);
}

#[test]
fn controller_runtime_sites_come_change_and_go() {
    with_controller_runtime("TestSitesComeChangeAndGo");
}

#[test]
fn controller_runtime_wrong_sites_are_refused() {
    with_controller_runtime("TestWrongSitesAreRefused");
}

#[test]
fn controller_runtime_specs_that_cannot_work_are_told() {
    with_controller_runtime("TestSpecsThatCannotWorkAreTold");
}

#[test]
fn controller_runtime_restarted_operators_make_good() {
    with_controller_runtime("TestARestartedOperatorMakesGoodWhatItMissed");
}
