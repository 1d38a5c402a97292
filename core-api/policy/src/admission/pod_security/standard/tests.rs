//! One pod per check.

use super::*;
use serde_json::json;

fn pod(spec: &Value) -> Value {
    json!({"metadata": {"name": "a"}, "spec": spec})
}

fn hardened() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "web", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "bare"}],
    })
}

#[test]
fn a_plain_pod_passes_baseline_and_violates_restricted() {
    let plain = pod(&json!({"containers": [{"name": "web"}]}));
    assert_eq!(violations(&plain, Level::Baseline, None), [""; 0]);
    assert_eq!(
        violations(&plain, Level::Restricted, None).join(", "),
        "allowPrivilegeEscalation != false (container \"web\" must set \
         securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"web\" must set \
         securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"web\" must set \
         securityContext.runAsNonRoot=true), seccompProfile (pod or container \"web\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    assert_eq!(violations(&pod(&hardened()), Level::Restricted, None), [""; 0]);
}

#[test]
fn every_check_finds_its_violation() {
    let container = |context: Value| json!({"containers": [{"name": "web", "securityContext": context}]});
    for (level, spec, want) in [
        (
            Level::Baseline,
            json!({"hostNetwork": true, "hostPID": true}),
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (
            Level::Baseline,
            container(json!({"privileged": true})),
            "privileged (container \"web\" must not set securityContext.privileged=true)",
        ),
        (
            Level::Baseline,
            container(json!({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}})),
            "non-default capabilities (container \"web\" must not include \"NET_ADMIN\" in \
             securityContext.capabilities.add)",
        ),
        (
            Level::Baseline,
            json!({"volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "hostPath": {}}]}),
            "hostPath volumes (volumes \"a\", \"b\")",
        ),
        (
            Level::Baseline,
            json!({"containers": [{"name": "web", "ports": [{"hostPort": 80}, {"hostPort": 0}]}]}),
            "hostPort (container \"web\" uses hostPort 80)",
        ),
        (
            Level::Baseline,
            container(json!({"procMount": "Unmasked"})),
            "procMount (container \"web\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            Level::Baseline,
            container(json!({"seLinuxOptions": {"type": "spc_t", "user": "u"}})),
            "seLinuxOptions (container \"web\" set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user \
             may not be set)",
        ),
        (
            Level::Baseline,
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            Level::Baseline,
            json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            Level::Baseline,
            container(json!({"windowsOptions": {"hostProcess": true}})),
            "hostProcess (container \"web\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            Level::Baseline,
            container(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (container \"web\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            Level::Baseline,
            json!({"containers": [{"name": "web", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}]}),
            "probe or lifecycle host (container \"web\" uses probe or lifecycle host \"10.0.0.1\")",
        ),
    ] {
        assert_eq!(violations(&pod(&spec), level, None), [want], "{spec}");
    }
}

#[test]
fn restricted_replaces_the_looser_checks() {
    for (path, value, want) in [
        (
            "/volumes",
            json!([{"name": "a", "hostPath": {}}]),
            "restricted volume types (volume \"a\" uses restricted volume type \"hostPath\")",
        ),
        (
            "/securityContext/runAsNonRoot",
            json!(false),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "/securityContext/seccompProfile/type",
            json!("Unconfined"),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            "/containers/0/securityContext/capabilities",
            json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}),
            "unrestricted capabilities (container \"web\" must not include \"CHOWN\" in \
             securityContext.capabilities.add)",
        ),
    ] {
        let mut spec = hardened();
        *spec.pointer_mut(path).unwrap() = value;
        assert_eq!(violations(&pod(&spec), Level::Restricted, None), [want], "{path}");
    }
    let mut spec = hardened();
    spec["securityContext"]["runAsUser"] = json!(0);
    assert_eq!(
        violations(&pod(&spec), Level::Restricted, None),
        ["runAsUser=0 (pod must not set runAsUser=0)"]
    );
    assert_eq!(violations(&pod(&spec), Level::Restricted, Some(22)), [""; 0]);
    assert_eq!(violations(&pod(&spec), Level::Privileged, None), [""; 0]);
}
