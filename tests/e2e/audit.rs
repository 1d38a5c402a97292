//! The audit log and priorities of requests, on the real binary.

use crate::server::{PROA, Server};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, userGroups: ["system:nodes"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}], namespaces: [team]}
- {level: Request, verbs: [create], resources: [{group: "", resources: [pods]}], namespaces: [team]}
"#;

const NAMESPACE: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: team
  labels: {pod-security.kubernetes.io/audit: restricted, pod-security.kubernetes.io/warn: baseline}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: team}
"#;

const AUDITING: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: named}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: "object.metadata.name.startsWith('team-')", message: not ours}]
  auditAnnotations: [{key: who, valueExpression: "'pod ' + object.metadata.name"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: named}
spec: {policyName: named, validationActions: [Audit]}
"#;

fn events(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn requests_are_audited_with_what_admission_says_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("logs/audit.log"));
    fs::write(&policy, POLICY).unwrap();
    let (policy, path) = (policy.display().to_string(), log.display().to_string());
    let mut server = Server::start(&[
        "--disable",
        "all",
        "--store",
        "memory",
        "--audit-policy-file",
        &policy,
        "--audit-log-path",
        &path,
    ]);
    let kubectl = server.kubectl();
    kubectl.pipe(NAMESPACE, "apply -f -").ok();
    kubectl.pipe(AUDITING, "apply -f -").ok();
    kubectl.run("create secret generic s -n team --from-literal=a=hidden").ok();
    kubectl.run("delete secret s -n team").ok();
    kubectl.run("run web -n team --image=registry.example/web:1").ok();
    server.stop();
    let events = events(&log);
    let about = |resource: &str, verb: &str| {
        let mut all = events.iter().filter(|e| e["objectRef"]["resource"] == resource && e["verb"] == verb);
        all.next().unwrap_or_else(|| panic!("{verb} {resource} in {events:#?}")).clone()
    };
    let secret = about("secrets", "create");
    assert_eq!(
        secret["objectRef"],
        json!({"resource": "secrets", "namespace": "team", "name": "s", "apiVersion": "v1"})
    );
    assert_eq!((&secret["level"], secret.get("requestObject")), (&json!("Metadata"), None));
    assert!(!fs::read_to_string(&log).unwrap().contains("aGlkZGVu"), "secrets stay secret");
    assert_eq!(about("secrets", "delete")["responseStatus"]["status"], "Success");
    let pod = about("pods", "create");
    assert_eq!(pod["requestObject"]["spec"]["containers"][0]["image"], "registry.example/web:1");
    let annotations = &pod["annotations"];
    assert_eq!(annotations["authorization.k8s.io/decision"], "allow");
    assert_eq!(annotations["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
    let violations = annotations["pod-security.kubernetes.io/audit-violations"].as_str().unwrap();
    assert!(violations.starts_with("would violate PodSecurity \"restricted:latest\": "), "{violations}");
    assert_eq!(annotations["named/who"], "pod web");
    let failures = annotations["validation.policy.admission.k8s.io/validation_failure"].as_str().unwrap();
    let failures: Value = serde_json::from_str(failures).unwrap();
    assert_eq!(
        failures,
        json!([{"message": "not ours", "policy": "named", "binding": "named", "expressionIndex": 0,
            "validationActions": ["Audit"]}])
    );
    assert!(events.iter().all(|event| event["objectRef"]["namespace"] == "team"), "nothing else is recorded");
}

#[test]
fn a_bad_policy_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]").unwrap();
    let data = folder.path().join("data");
    let ended = Command::new(PROA)
        .args([
            "server",
            "--name",
            "audit-refused",
            "--store",
            "memory",
            "--audit-log-path",
            "-",
            "--data-dir",
        ])
        .arg(&data)
        .arg("--audit-policy-file")
        .arg(&policy)
        .output()
        .unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success());
    assert!(told.contains("rules[0].level: Unsupported value: \"Everything\""), "{told}");
}

const PRIORITIES: &str = r#"
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: strangers}
spec:
  matchingPrecedence: 50
  priorityLevelConfiguration: {name: strangers}
  rules:
  - subjects: [{kind: User, user: {name: stranger}}]
    nonResourceRules: [{verbs: ["*"], nonResourceURLs: ["*"]}]
"#;

const LEVEL: &str = r#"
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: strangers}
spec: {type: Limited, limited: {nominalConcurrencyShares: 1, limitResponse: {type: Reject}}}
"#;

#[test]
fn schemas_and_levels_steer_and_their_status_tells() {
    let server = Server::start(&["--disable", "all", "--store", "memory"]);
    let kubectl = server.kubectl();
    kubectl.pipe(PRIORITIES, "apply -f -").ok();
    let waits = |status: &str| {
        let path = "{.status.conditions[?(@.type==\"Dangling\")].status}";
        kubectl
            .run(&format!("wait --for=jsonpath='{path}'={status} flowschema/strangers --timeout=60s"))
            .ok();
    };
    waits("True");
    kubectl.pipe(LEVEL, "apply -f -").ok();
    waits("False");
    kubectl.run("get flowschemas").ok().matches(r"^strangers +strangers +50 +<none> +\d+s +False$");
    let levels = "get --raw /debug/api_priority_and_fairness/dump_priority_levels";
    kubectl.run(levels).ok().matches("^strangers, 0, true, false, 0, 0, 0, 0$");
    kubectl.run("get --raw /version --as=stranger").ok();
    kubectl.run(levels).ok().matches("^strangers, 0, true, false, 0, 0, 1, 0$");
    let uid = |what: &str| kubectl.run(&format!("get {what} -o jsonpath={{.metadata.uid}}")).stdout;
    let (schema, level) = (uid("flowschema strangers"), uid("prioritylevelconfiguration strangers"));
    let shown = kubectl.run("get --raw /version --as=stranger -v=8").stderr;
    for (header, uid) in [("Flowschema", schema), ("Prioritylevel", level)] {
        assert!(shown.contains(&format!("X-Kubernetes-Pf-{header}-Uid: {uid}")), "{header} {uid} in {shown}");
    }
}
