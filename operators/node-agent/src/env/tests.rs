//! Environments, with everything they refer to on the real server.

use super::*;
use crate::{build::containers, sources::tests::World};
use serde_json::{Value, json};

async fn environment(world: &World, name: &str, container: Value) -> Result<Vec<(String, String)>, String> {
    let mut spec = json!({"enableServiceLinks": false, "containers": [container]});
    spec["containers"][0]["name"] = json!("c");
    resolved(world, name, spec, &Mounted::default()).await
}

async fn resolved(
    world: &World,
    name: &str,
    spec: Value,
    volumes: &Mounted,
) -> Result<Vec<(String, String)>, String> {
    let pod = world.pod(name, spec).await;
    world.sources.register(&pod);
    let facts = NodeFacts { cpu_milli: 2000, addresses: vec![[192, 0, 2, 1].into()], ..NodeFacts::default() };
    let pod_ips = [[10, 0, 0, 1].into()];
    let around = Surroundings { pod_ips: &pod_ips, facts: &facts, volumes };
    let container = containers::find(&pod, "c").unwrap();
    let got = resolve(&pod, &container.spec, &world.sources, around).await;
    got.map_err(|refused| {
        assert_eq!(refused.reason, "CreateContainerConfigError");
        refused.message
    })
}

fn own(list: &[(String, String)]) -> Vec<String> {
    let own = list.iter().filter(|(name, _)| !name.starts_with("KUBERNETES_"));
    own.map(|(name, value)| format!("{name}={value}")).collect()
}

#[tokio::test]
async fn variables_from_everywhere() {
    let world = World::start().await;
    world
        .create::<ConfigMap>(
            json!({"metadata": {"name": "m"}, "data": {"b": "2", "a": "1", "not-a.name": "3"}}),
        )
        .await;
    world.create::<Secret>(json!({"metadata": {"name": "s"}, "stringData": {"k": "secret"}})).await;
    let container = json!({
        "resources": {"limits": {"memory": "64Mi"}},
        "envFrom": [
            {"configMapRef": {"name": "m"}}, {"prefix": "P_", "secretRef": {"name": "s"}},
            {"configMapRef": {"name": "none", "optional": true}}, {"secretRef": {"name": "none", "optional": true}},
        ],
        "env": [
            {"name": "FIRST", "value": "$(a)-$(LATER)-$(KUBERNETES_SERVICE_HOST)-$$(a)"},
            {"name": "LATER", "value": "x"},
            {"name": "a", "value": "own"},
            {"name": "SECOND", "value": "$(a)$(LATER)"},
            {"name": "EMPTY"},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "b"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": true}}},
            {"name": "GONE2", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": true}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    });
    let got = environment(&world, "p", container).await.unwrap();
    assert_eq!(
        own(&got),
        [
            "a=own",
            "b=2",
            "not-a.name=3",
            "P_k=secret",
            "FIRST=1-$(LATER)-10.96.0.1-$(a)",
            "LATER=x",
            "SECOND=ownx",
            "EMPTY=",
            "KEY=2",
            "SECRET=secret",
            "POD=p",
            "IP=10.0.0.1",
            "HOST=192.0.2.1",
            "MEMORY=64",
            "CPU=2",
        ]
    );
    let of = |name: &str| got.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!(of("KUBERNETES_SERVICE_HOST"), Some("10.96.0.1"));
    assert_eq!(of("KUBERNETES_SERVICE_PORT_HTTPS"), Some("443"));
    assert_eq!(of("KUBERNETES_PORT_443_TCP"), Some("tcp://10.96.0.1:443"));
    world.cluster.stop().await;
}

#[tokio::test]
async fn services_are_told_unless_switched_off() {
    let world = World::start().await;
    world.create::<Service>(json!({"metadata": {"name": "web-1"}, "spec": {"ports": [{"port": 80}]}})).await;
    let spec = |links| json!({"enableServiceLinks": links, "containers": [{"name": "c"}]});
    let has = |got: Vec<(String, String)>| got.iter().any(|(name, _)| name == "WEB_1_SERVICE_HOST");
    let volumes = Mounted::default();
    assert!(has(resolved(&world, "on", spec(true), &volumes).await.unwrap()));
    assert!(!has(resolved(&world, "off", spec(false), &volumes).await.unwrap()));
    world.cluster.stop().await;
}

#[tokio::test]
async fn what_is_missing_is_said_as_upstream_says_it() {
    let world = World::start().await;
    world.create::<ConfigMap>(json!({"metadata": {"name": "m"}})).await;
    world.create::<Secret>(json!({"metadata": {"name": "s"}, "data": {"bytes": "/w=="}})).await;
    let key = |field: &str, name: &str, key: &str| json!({"env": [{"name": "E", "valueFrom": {field: {"name": name, "key": key}}}]});
    for (index, (container, want)) in [
        (json!({"envFrom": [{"configMapRef": {"name": "x"}}]}), "configmap \"x\" not found"),
        (json!({"envFrom": [{"secretRef": {"name": "x"}}]}), "secret \"x\" not found"),
        (key("configMapKeyRef", "x", "k"), "configmap \"x\" not found"),
        (key("secretKeyRef", "x", "k"), "secret \"x\" not found"),
        (key("configMapKeyRef", "m", "k"), "couldn't find key k in ConfigMap default/m"),
        (key("secretKeyRef", "s", "k"), "couldn't find key k in Secret default/s"),
        (key("secretKeyRef", "s", "bytes"), "key bytes in Secret default/s is not valid UTF-8"),
    ]
    .into_iter()
    .enumerate()
    {
        let got = environment(&world, &format!("p{index}"), container).await;
        assert_eq!(got, Err(want.to_owned()));
    }
    world.cluster.stop().await;
}

#[tokio::test]
async fn variables_from_files() {
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.env"), "DB='address'\n").unwrap();
    let volumes =
        Mounted { paths: BTreeMap::from([("v".to_owned(), dir.path().to_owned())]), ..Mounted::default() };
    let spec = |key: &str, optional: bool| {
        let from = json!({"fileKeyRef": {"volumeName": "v", "path": "config.env", "key": key, "optional": optional}});
        json!({"enableServiceLinks": false, "volumes": [{"name": "v", "emptyDir": {}}],
               "containers": [{"name": "c", "env": [{"name": "E", "valueFrom": from}]}]})
    };
    let got = resolved(&world, "a", spec("DB", false), &volumes).await.unwrap();
    assert_eq!(own(&got), ["E=address"]);
    assert!(own(&resolved(&world, "b", spec("X", true), &volumes).await.unwrap()).is_empty());
    let missing = resolved(&world, "c", spec("X", false), &volumes).await.unwrap_err();
    assert_eq!(missing, "environment variable key \"X\" not found in file \"config.env\"");
    let unmounted = resolved(&world, "d", spec("DB", false), &Mounted::default()).await.unwrap_err();
    assert_eq!(unmounted, "cannot find the volume \"v\" referenced by FileKeyRef");
    world.cluster.stop().await;
}
