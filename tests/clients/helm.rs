//! Helm 4 and Helm 3 with the chart `tests/clients/charts/shop`: the life of a release, hooks that fail, dry runs.

use crate::{
    kubectl::{Kubectl, Step},
    program::{Toolchain, program, source},
    server::Server,
};

/// What the two versions call differently.
#[derive(Clone, Copy)]
struct Version {
    program: &'static str,
    /// An upgrade that fails is taken back.
    rolls_back: &'static str,
    /// All releases, whatever their state.
    list: &'static str,
    /// What others have made is taken over.
    takes: &'static str,
}

const THREE: Version =
    Version { program: "helm3", rolls_back: "--atomic", list: "list --all", takes: "--take-ownership" };
/// It applies on the server, where the fields of others conflict.
const FOUR: Version = Version {
    program: "helm4",
    rolls_back: "--rollback-on-failure",
    list: "list",
    takes: "--take-ownership --force-conflicts",
};

/// Helm and kubectl on a cluster of their own.
struct Helm {
    helm: Kubectl,
    kubectl: Kubectl,
    chart: String,
    _server: Server,
}

impl Helm {
    /// None if there is no Go to build it with.
    #[track_caller]
    fn start(version: Version) -> Option<Self> {
        let path = Toolchain::Go.folder()?.join(version.program);
        let server = Server::with_node();
        let chart = source("charts/shop").to_str().unwrap().to_owned();
        Some(Self {
            helm: program(server.kubectl(), &path),
            kubectl: server.kubectl(),
            chart,
            _server: server,
        })
    }
    fn run(&self, line: &str) -> Step {
        self.helm.run(&line.replace("CHART", &self.chart))
    }
    /// A value of an object.
    fn value(&self, object: &str, path: &str) -> String {
        self.kubectl.run(&format!("get {object} -o jsonpath='{{{path}}}'")).ok().stdout
    }
    /// Its objects are as a release of the chart at these replicas leaves them.
    #[track_caller]
    fn is_deployed(&self, replicas: u32, revision: u32) {
        assert_eq!(self.value("deploy/shop", ".status.readyReplicas"), replicas.to_string());
        let status = format!(r#""revision":"{revision}".*"status":"deployed""#);
        self.run("list -o json").ok().matches(&status);
    }
}

/// The life of a release from the first install to nothing being left.
fn releases_come_and_go(version: Version) {
    let Some(helm) = Helm::start(version) else { return };
    helm.run("install shop CHART --wait --timeout 90s")
        .ok()
        .shows(&["STATUS: deployed", "shop says hello, revision 1."]);
    helm.is_deployed(2, 1);
    assert_eq!(helm.value("daemonset/shop-cache", ".status.numberReady"), "1", "the dependency is installed");
    assert_eq!(helm.value("crate/shop", ".spec.bottles"), "6", "the kind of the chart is served");
    assert_eq!(helm.value("cm/shop-config", ".data.hasDeployments"), "true");
    assert_eq!(helm.value("cm/shop-config", ".data.list\\.txt"), "bread, milk\n");
    assert_eq!(helm.value("cm/shop-installed", ".data.revision"), "1", "the last hook has run");
    helm.kubectl.run("get jobs -o name").ok().prints("");
    helm.run("test shop --timeout 60s").ok().matches("^Phase: +Succeeded$");
    helm.run("status shop").ok().shows(&["shop-reachable"]);
    helm.run("get values shop --all -o json").ok().shows(&[r#""replicas":2"#]);
    helm.run("get manifest shop").ok().shows(&["kind: Crate", "kind: DaemonSet"]);
    helm.run("get hooks shop").ok().shows(&["shop-pre-upgrade"]);

    let password = helm.value("secret/shop-password", ".data.password");
    let upgrade = "upgrade shop CHART --set replicas=3,greeting=bye,cache.enabled=false --wait --timeout 90s";
    helm.run(upgrade).ok().shows(&["shop says bye, revision 2."]);
    helm.is_deployed(3, 2);
    assert_eq!(helm.value("secret/shop-password", ".data.password"), password, "`lookup` found the secret");
    helm.kubectl.run("get daemonset shop-cache").fails(&["not found"]);

    helm.run("rollback shop 1 --wait --timeout 90s").ok();
    helm.is_deployed(2, 3);
    assert_eq!(helm.value("cm/shop-config", ".data.greeting"), "hello");
    helm.kubectl.run("get daemonset shop-cache -o name").ok();
    helm.run("history shop -o json").ok().matches(r#""revision":3.*"description":"Rollback to 1""#);

    // The second time the definition is there already, and the secret was kept.
    helm.run("uninstall shop --wait --timeout 60s").ok().shows(&["uninstalled"]);
    helm.run(&format!("{} -o json", version.list)).ok().prints("[]");
    helm.kubectl
        .run("get deploy,daemonset,service,sa,role,rolebinding -l app.kubernetes.io/instance=shop -o name")
        .ok()
        .prints("");
    helm.kubectl.run("get crd crates.shop.example.com -o name").ok();
    helm.run("upgrade --install shop CHART --wait --timeout 90s").ok();
    assert_eq!(helm.value("secret/shop-password", ".data.password"), password);
    helm.is_deployed(2, 1);
}

/// A hook's job or a test's pod that fails makes the command fail; what was changed is taken back where that is asked.
fn failures_are_told(version: Version) {
    let Some(helm) = Helm::start(version) else { return };
    let fails = "--set migration.exitCode=1 --timeout 90s";
    helm.run(&format!("install broken CHART {fails}")).fails(&["pre-install"]);
    helm.run("list --failed -q").ok().prints("broken");
    helm.kubectl.run("get deploy broken").fails(&["not found"]);

    helm.run("install shop CHART --wait --timeout 90s").ok();
    let upgrade = format!("upgrade shop CHART --set replicas=4 {fails} {}", version.rolls_back);
    helm.run(&upgrade).fails(&["pre-upgrade"]);
    helm.is_deployed(2, 3);
    // Pods that never get ready make `--wait` give up.
    helm.run("upgrade shop CHART --set ready=false --wait --timeout 5s").code(1);
    helm.run("list --failed -q").ok().shows(&["shop"]);
    helm.run("install shop CHART").fails(&["still in use"]);
    helm.run("install other CHART --set replicas=-1").fails(&["replicas"]);
}

/// The server checks what is rendered, and nothing is written.
fn dry_runs_leave_nothing(version: Version) {
    let Some(helm) = Helm::start(version) else { return };
    helm.run("install shop CHART --wait --timeout 90s").ok();
    helm.run("uninstall shop --wait --timeout 60s").ok();
    helm.run("install shop CHART --dry-run=server --set greeting=dry").ok().shows(&[
        "greeting: \"dry\"",
        "STATUS: pending-install",
        "v1.37.",
    ]);
    helm.run(&format!("{} -q", version.list)).ok().prints("");
    helm.kubectl.run("get deploy shop").fails(&["not found"]);
    // Objects that somebody else has made are not taken over silently.
    helm.kubectl.run("create configmap shop-config --from-literal=greeting=mine").ok();
    helm.run("install shop CHART").fails(&["shop-config"]);
    assert_eq!(helm.value("cm/shop-config", ".data.greeting"), "mine");
    helm.run(&format!("install shop CHART {} --wait --timeout 90s", version.takes)).ok();
    assert_eq!(helm.value("cm/shop-config", ".data.greeting"), "hello");
}

/// The chart that `helm create` makes, which most charts began as.
fn a_new_chart_is_installed(version: Version) {
    let Some(mut helm) = Helm::start(version) else { return };
    helm.chart = helm.kubectl.file("fresh", "");
    std::fs::remove_file(&helm.chart).unwrap();
    helm.run("create CHART").ok();
    helm.run("lint CHART").ok().shows(&["0 chart(s) failed"]);
    helm.run("package CHART --destination CHART").ok();
    helm.run("install CHART --generate-name --set replicaCount=2 --wait --timeout 90s").ok();
    let name = helm.run("list -q").ok().stdout.trim().to_owned();
    helm.run(&format!("test {name} --timeout 60s")).ok().matches("^Phase: +Succeeded$");
    let archive = format!("upgrade {name} CHART/fresh-0.1.0.tgz --reuse-values --wait --timeout 90s");
    helm.run(&archive).ok().shows(&["REVISION: 2"]);
    helm.run(&format!("uninstall {name} --keep-history")).ok();
    helm.run(&format!("rollback {name} 1 --wait --timeout 90s")).ok();
    helm.run("list -q").ok().prints(&name);
}

#[test]
fn helm_4_releases_come_and_go() {
    releases_come_and_go(FOUR);
}

#[test]
fn helm_3_releases_come_and_go() {
    releases_come_and_go(THREE);
}

#[test]
fn helm_4_installs_a_new_chart() {
    a_new_chart_is_installed(FOUR);
}

#[test]
fn helm_3_installs_a_new_chart() {
    a_new_chart_is_installed(THREE);
}

#[test]
fn helm_4_tells_of_failures() {
    failures_are_told(FOUR);
}

#[test]
fn helm_3_tells_of_failures() {
    failures_are_told(THREE);
}

#[test]
fn helm_4_dry_runs_leave_nothing() {
    dry_runs_leave_nothing(FOUR);
}

#[test]
fn helm_3_dry_runs_leave_nothing() {
    dry_runs_leave_nothing(THREE);
}

/// Helm 4 applies on the server; a field that another manager owns is a conflict, unless it may take it.
#[test]
fn helm_4_applies_on_the_server() {
    let Some(helm) = Helm::start(FOUR) else { return };
    helm.run("install shop CHART --wait --timeout 90s").ok();
    assert!(
        helm.value("deploy/shop --show-managed-fields", ".metadata.managedFields[*].operation")
            .contains("Apply")
    );
    helm.kubectl.run("scale deploy shop --replicas=5").ok();
    helm.run("upgrade shop CHART --set replicas=1 --timeout 60s").fails(&["conflict", ".spec.replicas"]);
    helm.run("upgrade shop CHART --set replicas=1 --force-conflicts --wait --timeout 90s").ok();
    assert_eq!(helm.value("deploy/shop", ".spec.replicas"), "1");
}
