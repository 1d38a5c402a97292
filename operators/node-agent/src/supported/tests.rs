//! What is refused, and by what name.

#![expect(clippy::needless_pass_by_value, reason = "cases read better without borrows")]

use super::*;
use serde_json::{Value, json};

fn facts() -> NodeFacts {
    NodeFacts::default()
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn of(spec: Value) -> Option<(String, String)> {
    refusal(&pod(spec), &facts()).map(|refused| (refused.reason.to_owned(), refused.message))
}

#[test]
fn an_ordinary_pod_is_taken() {
    let spec = json!({
        "hostNetwork": true, "hostUsers": true, "os": {"name": "linux"}, "resources": {"limits": {"cpu": "1"}},
        "securityContext": {"supplementalGroupsPolicy": "Merge", "seLinuxOptions": {"level": "s0"}},
        "initContainers": [{"name": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi", "example.com/x": "1"}}}],
        "containers": [{"name": "c", "securityContext": {"appArmorProfile": {"type": "Unconfined"}, "privileged": true}}],
        "volumes": [
            {"name": "a", "emptyDir": {"medium": "Memory"}}, {"name": "b", "configMap": {"name": "m"}},
            {"name": "c", "secret": {"secretName": "s"}}, {"name": "d", "hostPath": {"path": "/"}},
            {"name": "e", "downwardAPI": {}}, {"name": "g", "image": {"reference": "r"}},
            {"name": "f", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"configMap": {"name": "m"}},
                {"clusterTrustBundle": {"path": "p", "name": "b"}}]}},
        ],
    });
    assert_eq!(of(spec), None);
}

#[test]
fn what_is_refused_names_its_field() {
    let container = |fields: Value| {
        let mut container = json!({"name": "c"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"initContainers": [{"name": "i"}], "containers": [{"name": "b"}, container]})
    };
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        json!({"containers": [], "volumes": [volume]})
    };
    for (spec, field) in [
        (json!({"containers": [], "hostUsers": false}), "spec.hostUsers"),
        (json!({"containers": [], "runtimeClassName": "gvisor"}), "spec.runtimeClassName"),
        (json!({"containers": [], "resourceClaims": [{"name": "gpu"}]}), "spec.resourceClaims"),
        (
            json!({"containers": [], "securityContext": {"windowsOptions": {}}}),
            "spec.securityContext.windowsOptions",
        ),
        (
            container(json!({"resources": {"claims": [{"name": "gpu"}]}})),
            "spec.containers[1].resources.claims",
        ),
        (
            container(json!({"resources": {"limits": {"hugepages-2Mi": "4Mi"}}})),
            "spec.containers[1].resources.limits[hugepages-2Mi]",
        ),
        (
            container(json!({"volumeDevices": [{"name": "v", "devicePath": "/d"}]})),
            "spec.containers[1].volumeDevices",
        ),
        (
            container(json!({"lifecycle": {"stopSignal": "SIGUSR1"}})),
            "spec.containers[1].lifecycle.stopSignal",
        ),
        (
            container(
                json!({"volumeMounts": [{"name": "v", "mountPath": "/m", "bindMountOptions": ["noexec"]}]}),
            ),
            "spec.containers[1].volumeMounts[0].bindMountOptions",
        ),
        (
            json!({"initContainers": [{"name": "i", "securityContext": {"windowsOptions": {}}}], "containers": []}),
            "spec.initContainers[0].securityContext.windowsOptions",
        ),
        (volume(json!({"csi": {"driver": "d"}})), "spec.volumes[0].csi"),
        (volume(json!({"nfs": {"server": "s", "path": "/"}})), "spec.volumes[0].nfs"),
        (volume(json!({"emptyDir": {"medium": "HugePages-2Mi"}})), "spec.volumes[0].emptyDir.medium"),
        (
            volume(
                json!({"projected": {"sources": [{"podCertificate": {"signerName": "s", "keyType": "RSA4096"}}]}}),
            ),
            "spec.volumes[0].projected.sources[0].podCertificate.keyType",
        ),
    ] {
        let (reason, message) = of(spec.clone()).unwrap_or_else(|| panic!("taken: {spec}"));
        assert_eq!(reason, UNSUPPORTED);
        assert!(message.starts_with(&format!("{field}: ")), "{message}");
    }
}

#[test]
fn reasons_of_upstream() {
    let context = |context: Value| json!({"containers": [{"name": "c"}], "securityContext": context});
    let sysctl = |name: &str| context(json!({"sysctls": [{"name": name, "value": "1"}]}));
    let with = |mut spec: Value, field: &str| {
        spec[field] = json!(true);
        spec
    };
    for (spec, want) in [
        (
            json!({"containers": [], "os": {"name": "windows"}}),
            Some(("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")),
        ),
        (sysctl("kernel.shm_rmid_forced"), None),
        (sysctl("net/ipv4/tcp_syncookies"), None),
        (
            sysctl("kernel.msgmax"),
            Some(("SysctlForbidden", "forbidden sysctl: \"kernel.msgmax\" not allowlisted")),
        ),
        (
            with(sysctl("net.ipv4.tcp_syncookies"), "hostNetwork"),
            Some((
                "SysctlForbidden",
                "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled",
            )),
        ),
        (
            with(sysctl("kernel.shm_rmid_forced"), "hostIPC"),
            Some((
                "SysctlForbidden",
                "forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host ipc enabled",
            )),
        ),
        (
            context(json!({"supplementalGroupsPolicy": "Strict"})),
            Some((
                "SupplementalGroupsPolicyNotSupported",
                "SupplementalGroupsPolicy=Strict is not supported in this node",
            )),
        ),
        (
            context(json!({"appArmorProfile": {"type": "RuntimeDefault"}})),
            Some(("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")),
        ),
    ] {
        let want = want.map(|(reason, message)| (reason.to_owned(), message.to_owned()));
        assert_eq!(of(spec.clone()), want, "{spec}");
    }
}

#[test]
fn what_depends_on_the_kernel() {
    let labelled = pod(json!({"containers": [], "securityContext": {"seLinuxOptions": {"level": "s0"}}}));
    assert!(refusal(&labelled, &NodeFacts { selinux: true, ..facts() }).is_some());
    let confined = pod(
        json!({"containers": [{"name": "c", "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}]}),
    );
    assert_eq!(refusal(&confined, &NodeFacts { apparmor: true, ..facts() }), None);
}

#[test]
fn names_with_slashes() {
    assert_eq!(sysctl_name("net/ipv4/conf/eno2.100/rp_filter"), "net.ipv4.conf.eno2/100.rp_filter");
    assert_eq!(sysctl_name("net.ipv4.conf.eno2/100.rp_filter"), "net.ipv4.conf.eno2/100.rp_filter");
}
