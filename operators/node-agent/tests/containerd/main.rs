//! The agent on a real containerd, beside the real API server in this process. Needs root, containerd, an OCI runtime
//! and the CNI plugins.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

mod world;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, api::PostParams};
use proa_runtime_shim::{ContainerState, Runtime as _};
use serde_json::json;
use std::fs;
use world::{IMAGE, World, containers, phase, state};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_what_its_spec_says() {
    let world = World::start().await;
    let settings: Api<ConfigMap> = Api::namespaced(world.admin(), "default");
    let settings_map = json!({"metadata": {"name": "settings"}, "data": {"greeting": "hello"}});
    settings.create(&PostParams::default(), &serde_json::from_value(settings_map).unwrap()).await.unwrap();
    let outside = world.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    let data = json!({"name": "data", "mountPath": "/data"});
    let spec = json!({
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 600,
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "outside", "hostPath": {"path": outside}},
        ],
        "initContainers": [{"name": "first", "image": IMAGE, "args": ["write", "/data/made", "by the first"],
            "volumeMounts": [data]}],
        "containers": [
            {"name": "reads", "image": IMAGE, "args": ["read", "/data/made"], "volumeMounts": [data]},
            {"name": "configured", "image": IMAGE, "args": ["say", "$(GREETING) $(POD_IP)"],
                "env": [
                    {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "greeting"}}},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ]},
            {"name": "mounted", "image": IMAGE, "args": ["read", "/settings/greeting"],
                "volumeMounts": [{"name": "settings", "mountPath": "/settings"}]},
            {"name": "last-words", "image": IMAGE, "args": ["write", "/dev/termination-log", "so long"]},
            {"name": "fails", "image": IMAGE, "args": ["read", "/nothing"],
                "terminationMessagePolicy": "FallbackToLogsOnError"},
            {"name": "hooked", "image": IMAGE, "args": ["run"],
                "volumeMounts": [{"name": "outside", "mountPath": "/outside"}],
                "lifecycle": {
                    "postStart": {"exec": {"command": ["/program", "write", "/outside/started", "x"]}},
                    "preStop": {"exec": {"command": ["/program", "write", "/outside/stopped", "x"]}},
                }},
        ],
    });
    world.create("a", spec).await;
    let ended = |pod: &Pod| {
        let ended =
            containers(pod).iter().filter(|c| c.state.as_ref().is_some_and(|s| s.terminated.is_some()));
        ended.count() == 5 && state(pod, "hooked").running.is_some()
    };
    let pod = world.until("a", "done but for one container", ended).await;
    let message = |name: &str| state(&pod, name).terminated.unwrap().message.unwrap_or_default();
    assert_eq!(message("last-words"), "so long");
    assert!(message("fails").contains("panicked"), "{}", message("fails"));
    assert_eq!(state(&pod, "fails").terminated.unwrap().reason.as_deref(), Some("Error"));
    let address = pod.status.clone().unwrap().pod_ip.unwrap();
    for (container, said) in
        [("reads", "by the first"), ("configured", &format!("hello {address}")), ("mounted", "hello")]
    {
        assert!(world.log(&pod, container).contains(said), "{container}: {}", world.log(&pod, container));
    }
    assert!(outside.join("started").exists());
    assert!(!outside.join("stopped").exists());
    world.delete("a", None).await;
    world.until_gone("a").await;
    assert!(outside.join("stopped").exists());
    world.until_nothing_is_left().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n3_agent_and_containerd_may_restart() {
    let mut world = World::start().await;
    let args = |args: &[&str]| {
        json!({"restartPolicy": "Never",
        "containers": [{"name": "main", "image": IMAGE, "args": args}]})
    };
    world.create("goes-on", args(&["run"])).await;
    world.create("ends", args(&["after", "300", "7"])).await;
    let pod = world.until_phase("goes-on", "Running").await;
    let id = containers(&pod)[0].container_id.clone();
    world.until("ends", "started", |pod| phase(pod) != "Pending").await;
    world.stop_agent().await;
    world.kill_containerd().await;
    world.start_agent();
    let ended = world.until_phase("ends", "Failed").await;
    assert_eq!(state(&ended, "main").terminated.unwrap().exit_code, 7);
    let pod = world.until_phase("goes-on", "Running").await;
    assert_eq!(containers(&pod)[0].container_id, id);
    let running = world.runtime().await.containers().await.unwrap();
    assert_eq!(running.iter().filter(|c| c.state == ContainerState::Running).count(), 1);
    for name in ["goes-on", "ends"] {
        world.delete(name, Some(1)).await;
        world.until_gone(name).await;
    }
    world.until_nothing_is_left().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_probe_restarts_and_limits_hold() {
    let world = World::start().await;
    let spec = json!({"terminationGracePeriodSeconds": 1,
    "containers": [
        {"name": "unwell", "image": IMAGE, "args": ["run"], "livenessProbe": {
            "exec": {"command": ["/program", "exit", "1"]}, "periodSeconds": 1, "failureThreshold": 1}},
        {"name": "greedy", "image": IMAGE, "args": ["out-of-memory"],
            "resources": {"limits": {"memory": "16Mi"}}},
    ]});
    world.create("a", spec).await;
    let count = |pod: &Pod, name: &str| {
        containers(pod).iter().find(|c| c.name == name).map_or(0, |status| status.restart_count)
    };
    world.until("a", "restarted", |pod| count(pod, "unwell") > 0 && count(pod, "greedy") > 0).await;
    // containerd 1.6 tells of the reason as often after the end as before it.
    let is_told = |pod: &Pod| {
        let greedy = containers(pod).iter().find(|c| c.name == "greedy");
        let ended = [greedy.and_then(|c| c.last_state.clone()), greedy.and_then(|c| c.state.clone())];
        ended.into_iter().flatten().filter_map(|state| state.terminated).any(|ended| {
            assert_eq!(ended.exit_code, 137);
            ended.reason.as_deref() == Some("OOMKilled")
        })
    };
    world.until("a", "out of memory", is_told).await;
    world.delete("a", Some(1)).await;
    world.until_gone("a").await;
    world.until_nothing_is_left().await;
    world.stop().await;
}
