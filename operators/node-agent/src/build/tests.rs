//! Golden cases: a pod and what the runtime is given for it.

#![expect(clippy::needless_pass_by_value, reason = "cases read better without borrows")]

use super::*;
use crate::ServerConfig;
use k8s_openapi::api::core::v1::Pod;
use proa_runtime_shim::{Capabilities, Mount, NamespaceMode, Propagation, SecurityProfile};
use serde_json::{Value, json};

/// A node for tests.
pub(crate) fn config() -> AgentConfig {
    AgentConfig {
        node: "n1".to_owned(),
        address: [192, 0, 2, 7].into(),
        labels: Vec::new(),
        root: "/var/lib/proa/agent".into(),
        pod_logs: "/var/log/pods".into(),
        pod_cidr: "10.244.0.0/24".to_owned(),
        cluster_dns: vec![[10, 96, 0, 10].into()],
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf: "/etc/resolv.conf".into(),
        cgroup_parent: "/proa-n1".to_owned(),
        max_pods: 110,
        eviction_hard: crate::EvictionHard::default(),
        server: ServerConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: Vec::new(),
            key: Vec::new(),
            client_ca: Vec::new(),
        },
    }
}

pub(crate) fn pod(spec: Value) -> Pod {
    let metadata = json!({"name": "web-0", "namespace": "shop", "uid": "u-1", "labels": {"app": "web"},
                          "annotations": {"note": "x"}});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn built(pod: &Pod, name: &str, inputs: &ContainerInputs) -> Result<ContainerConfig, Refused> {
    let facts = NodeFacts { memory: 4_000_000_000, ..NodeFacts::default() };
    container(pod, &containers::find(pod, name).unwrap(), inputs, &config(), &facts)
}

fn one(container: Value) -> Result<ContainerConfig, Refused> {
    built(&pod(json!({"containers": [container]})), "c", &ContainerInputs::default())
}

fn pairs(list: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_sandbox() {
    let pod = pod(json!({
        "hostIPC": true, "shareProcessNamespace": true, "subdomain": "s",
        "securityContext": {"runAsUser": 7, "fsGroup": 70, "supplementalGroups": [71],
                            "sysctls": [{"name": "net/ipv4/ip_local_port_range", "value": "1 2"}]},
        "containers": [{"name": "c", "securityContext": {"privileged": true}}],
    }));
    let got = sandbox(&pod, &config(), 3, &DnsConfig::default()).unwrap();
    assert_eq!(
        (got.name.as_str(), got.namespace.as_str(), got.uid.as_str(), got.attempt),
        ("web-0", "shop", "u-1", 3)
    );
    assert_eq!(got.hostname, "web-0");
    assert_eq!(got.log_directory, PathBuf::from("/var/log/pods/shop_web-0_u-1"));
    assert_eq!(got.cgroup_parent, "/proa-n1/besteffort/podu-1");
    assert_eq!(got.annotations, pairs(&[("note", "x")]));
    assert_eq!(
        got.labels,
        pairs(&[
            ("app", "web"),
            ("io.kubernetes.pod.name", "web-0"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", "u-1"),
        ])
    );
    assert_eq!(got.sysctls, pairs(&[("net.ipv4.ip_local_port_range", "1 2")]));
    let security = got.security;
    assert!(security.privileged);
    assert_eq!(security.seccomp, SecurityProfile::RuntimeDefault);
    assert_eq!((security.run_as_user, security.supplemental_groups), (Some(7), vec![70, 71]));
    let namespaces = security.namespaces;
    assert_eq!(
        (namespaces.network, namespaces.pid, namespaces.ipc),
        (NamespaceMode::Pod, NamespaceMode::Pod, NamespaceMode::Node)
    );
}

#[test]
fn a_pod_on_the_nodes_network_has_no_name_of_its_own() {
    let pod = pod(json!({"hostNetwork": true, "hostPID": true, "containers": [{"name": "c"}]}));
    let got = sandbox(&pod, &config(), 0, &DnsConfig::default()).unwrap();
    assert_eq!(got.hostname, "");
    assert_eq!(got.security.namespaces.network, NamespaceMode::Node);
    assert_eq!(got.security.namespaces.pid, NamespaceMode::Node);
}

#[test]
fn a_container() {
    let pod = pod(json!({
        "terminationGracePeriodSeconds": 30,
        "containers": [{
            "name": "c", "image": "web:1", "command": ["/bin/$(A)"], "args": ["$(A)", "$$(A)", "$(NONE)"], "workingDir": "/w",
            "stdin": true, "stdinOnce": true, "tty": true,
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [
                {"name": "d", "mountPath": "data", "mountPropagation": "HostToContainer"},
                {"name": "m", "mountPath": "/m", "subPath": "a"},
            ],
        }],
        "volumes": [{"name": "d", "emptyDir": {}}, {"name": "m", "configMap": {"name": "m"}}],
    }));
    let inputs = ContainerInputs {
        image: "sha256:1".to_owned(),
        env: vec![("A".to_owned(), "a".to_owned())],
        files: ContainerFiles {
            mounts: vec!["/v/d".into(), "/v/m/a".into()],
            hosts: Some("/v/etc-hosts".into()),
            termination_log: Some("/v/log".into()),
        },
        attempt: 2,
        ..ContainerInputs::default()
    };
    let got = built(&pod, "c", &inputs).unwrap();
    assert_eq!(got.command, ["/bin/a"]);
    assert_eq!(got.args, ["a", "$(A)", "$(NONE)"]);
    assert_eq!(
        (got.image.as_str(), got.working_dir.as_str(), got.log_path.as_str()),
        ("sha256:1", "/w", "c/2.log")
    );
    assert_eq!((got.stdin, got.stdin_once, got.tty, got.attempt), (true, true, true, 2));
    let mount = |container_path: &str, host_path: &str, read_only, propagation| Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.into(),
        read_only,
        propagation,
    };
    assert_eq!(
        got.mounts,
        [
            mount("/data", "/v/d", false, Propagation::HostToContainer),
            mount("/m", "/v/m/a", true, Propagation::Private),
            mount("/etc/hosts", "/v/etc-hosts", false, Propagation::Private),
            mount("/dev/termination-log", "/v/log", false, Propagation::Private),
        ]
    );
    assert_eq!(got.labels["io.kubernetes.container.name"], "c");
    let mut want = pairs(&[
        ("io.kubernetes.container.restartCount", "2"),
        ("io.kubernetes.container.terminationMessagePath", "/dev/termination-log"),
        ("io.kubernetes.container.terminationMessagePolicy", "File"),
        ("io.kubernetes.pod.terminationGracePeriod", "30"),
    ]);
    want.insert(
        "io.kubernetes.container.hash".to_owned(),
        containers::hash(&pod.spec.as_ref().unwrap().containers[0]),
    );
    assert_eq!(got.annotations, want);
}

#[test]
fn a_volume_at_the_hosts_file_replaces_it() {
    let pod = pod(json!({
        "containers": [{"name": "c", "volumeMounts": [{"name": "d", "mountPath": "/etc/hosts"}]}],
        "volumes": [{"name": "d", "emptyDir": {}}],
    }));
    let files =
        ContainerFiles { mounts: vec!["/v/d".into()], hosts: Some("/v/hosts".into()), termination_log: None };
    let got = built(&pod, "c", &ContainerInputs { files, ..ContainerInputs::default() }).unwrap();
    assert_eq!(got.mounts.len(), 1);
}

#[test]
fn mounts_that_cannot_be_made_are_refused() {
    let refused = |mount: Value| {
        let pod = pod(
            json!({"containers": [{"name": "c", "volumeMounts": [mount]}], "volumes": [{"name": "d", "emptyDir": {}}]}),
        );
        let files = ContainerFiles { mounts: vec!["/v/d".into()], ..ContainerFiles::default() };
        built(&pod, "c", &ContainerInputs { files, ..ContainerInputs::default() }).unwrap_err().message
    };
    assert_eq!(
        refused(json!({"name": "d", "mountPath": "/d", "readOnly": true, "recursiveReadOnly": "Enabled"})),
        "failed to resolve recursive read-only mode: volume \"d\" requested recursive read-only mode, but it is not \
         supported by the runtime"
    );
    assert_eq!(
        refused(json!({"name": "d", "mountPath": "/d", "mountPropagation": "Both"})),
        "invalid MountPropagation mode: \"Both\""
    );
}

#[test]
fn security_of_a_plain_container() {
    let security = one(json!({"name": "c"})).unwrap().security;
    assert_eq!(security.seccomp, SecurityProfile::Unconfined);
    assert_eq!(security.apparmor, SecurityProfile::RuntimeDefault);
    assert_eq!(security.run_as_user, Some(0));
    assert_eq!(security.namespaces, proa_runtime_shim::Namespaces::default());
    assert!(!security.no_new_privs && !security.read_only_rootfs && !security.privileged);
    assert!(security.masked_paths.iter().any(|path| path == "/proc/kcore"));
    assert!(security.readonly_paths.iter().any(|path| path == "/proc/sys"));
}

#[test]
fn security_as_asked_for() {
    let pod = pod(json!({
        "securityContext": {"runAsUser": 5, "runAsGroup": 6, "fsGroup": 7, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {"name": "a"},
            {"name": "b", "securityContext": {
                "runAsUser": 50, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "procMount": "Unmasked",
                "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                "seccompProfile": {"type": "Localhost", "localhostProfile": "p/x.json"},
                "appArmorProfile": {"type": "Unconfined"},
            }},
        ],
    }));
    let a = built(&pod, "a", &ContainerInputs::default()).unwrap().security;
    assert_eq!((a.run_as_user, a.run_as_group, a.supplemental_groups), (Some(5), Some(6), vec![7]));
    assert_eq!(a.seccomp, SecurityProfile::RuntimeDefault);
    let b = built(&pod, "b", &ContainerInputs::default()).unwrap().security;
    assert_eq!((b.run_as_user, b.no_new_privs, b.read_only_rootfs), (Some(50), true, true));
    assert_eq!(b.seccomp, SecurityProfile::Localhost("/var/lib/proa/agent/seccomp/p/x.json".to_owned()));
    assert_eq!(b.apparmor, SecurityProfile::Unconfined);
    assert!(b.masked_paths.is_empty() && b.readonly_paths.is_empty());
    assert_eq!(
        b.capabilities,
        Capabilities { add: vec!["NET_ADMIN".to_owned()], drop: vec!["ALL".to_owned()] }
    );
}

#[test]
fn an_ephemeral_container_sees_its_targets_processes() {
    let pod = pod(
        json!({"containers": [{"name": "c"}], "ephemeralContainers": [{"name": "e", "targetContainerName": "c"}]}),
    );
    let inputs = ContainerInputs { target: Some("id-of-c".to_owned()), ..ContainerInputs::default() };
    let got = built(&pod, "e", &inputs).unwrap();
    assert_eq!(got.security.namespaces.pid, NamespaceMode::Target("id-of-c".to_owned()));
}

#[test]
fn who_must_not_run_as_root() {
    let pod = |user: Value| {
        pod(
            json!({"securityContext": {"runAsNonRoot": true, "runAsUser": user}, "containers": [{"name": "c"}]}),
        )
    };
    let image = |uid: Option<i64>, name: &str| ContainerInputs {
        image_uid: uid,
        image_username: name.to_owned(),
        ..ContainerInputs::default()
    };
    for (user, inputs, want) in [
        (json!(0), image(None, ""), Some("container's runAsUser breaks non-root policy")),
        (json!(9), image(Some(0), ""), None),
        (Value::Null, image(None, ""), Some("container has runAsNonRoot and image will run as root")),
        (Value::Null, image(Some(0), ""), Some("container has runAsNonRoot and image will run as root")),
        (Value::Null, image(Some(9), ""), None),
        (
            Value::Null,
            image(None, "www"),
            Some(
                "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root",
            ),
        ),
    ] {
        let got = built(&pod(user), "c", &inputs).map(|_| ()).map_err(|refused| refused.message);
        let want = want.map(|text| format!("{text} (pod: \"web-0_shop(u-1)\", container: c)"));
        assert_eq!(got.err(), want);
    }
}

#[test]
fn the_images_user_is_kept() {
    let inputs = ContainerInputs { image_username: "www".to_owned(), ..ContainerInputs::default() };
    let got = built(&pod(json!({"containers": [{"name": "c"}]})), "c", &inputs).unwrap();
    assert_eq!((got.security.run_as_user, got.security.run_as_username.as_str()), (None, "www"));
}
