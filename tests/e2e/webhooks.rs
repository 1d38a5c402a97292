//! Admission webhooks as people who run kubectl meet them. What they are asked and may answer is tested with the relay.

use crate::server::Server;

/// A webhook that nobody serves is asked about config maps.
const GUARD: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
- name: guard.example.com
  clientConfig: {url: 'https://127.0.0.1:1/guard'}
  rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [configmaps]}]
  matchConditions: [{name: not-mine, expression: \"object.metadata.name != 'mine'\"}]
  sideEffects: None
  admissionReviewVersions: [v1]
  timeoutSeconds: 1
";

/// Replaces a field of the webhook.
fn replaced(field: &str, value: &str) -> String {
    let patch = format!(r#"[{{"op":"replace","path":"/webhooks/0/{field}","value":"{value}"}}]"#);
    format!("patch validatingwebhookconfiguration guard --type=json -p '{patch}'")
}

#[test]
fn what_a_webhook_guards_waits_for_it() {
    let server = Server::start(&["--disable", "all"]);
    let kubectl = server.kubectl();
    let created = "validatingwebhookconfiguration.admissionregistration.k8s.io/guard created";
    kubectl.pipe(GUARD, "apply -f -").ok().prints(created);
    let listed = kubectl.run("get validatingwebhookconfigurations").ok();
    listed.matches("^NAME +WEBHOOKS +AGE$").matches(r"^guard +1 +\d+s$");
    kubectl.run("create configmap a --from-literal=a=1").fails(&[
        "Internal error occurred: failed calling webhook \"guard.example.com\": failed to call webhook: ",
        "Post \"https://127.0.0.1:1/guard?timeout=1s\": dial tcp 127.0.0.1:1: connect: connection refused",
    ]);
    kubectl.run("create configmap mine --from-literal=a=1").ok().prints("configmap/mine created");
    kubectl.run(&replaced("failurePolicy", "Ignore")).ok();
    kubectl.run("create configmap a --from-literal=a=1").ok().prints("configmap/a created");
    kubectl.run(&replaced("matchConditions/0/expression", "nobody.knows")).fails(&[
        "webhooks[0].matchConditions[0].expression: Invalid value: \"nobody.knows\": compilation failed: ",
        "undeclared reference to 'nobody' (in container '')",
    ]);
    kubectl.run("delete validatingwebhookconfiguration guard").ok();
}
