//! Against the real server, with the identity and the permissions of a node.

use super::*;
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use proa_kit::clock::{ManualClock, SystemClock};
use proa_test_cluster::Cluster;
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) const NODE: &str = "n1";
pub(crate) const NAMESPACE: &str = "default";
pub(crate) const TEST_PATIENCE: Duration = Duration::from_secs(30);

/// A server and the sources of one node.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) sources: Sources,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::at(Arc::new(SystemClock)).await
    }
    async fn at(clock: Arc<dyn Clock>) -> Self {
        let cluster = Cluster::start().await.unwrap();
        let client =
            cluster.client(&format!("system:node:{NODE}"), &["system:nodes", "system:authenticated"]);
        let world = Self { sources: Sources::new(client, clock), cluster };
        world
            .create::<k8s_openapi::api::core::v1::ServiceAccount>(json!({"metadata": {"name": "default"}}))
            .await;
        world
    }
    fn api<K: watched::Object>(&self) -> Api<K> {
        Api::namespaced(self.cluster.admin(), NAMESPACE)
    }
    pub(crate) async fn create<K: watched::Object + Serialize>(&self, object: Value) -> K {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }
    pub(crate) async fn patch<K: watched::Object + Serialize>(&self, name: &str, change: Value) -> K {
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap()
    }
    pub(crate) async fn delete<K: watched::Object>(&self, name: &str) {
        self.api::<K>().delete(name, &DeleteParams::default()).await.unwrap();
    }
    /// A pod bound to the node.
    pub(crate) async fn pod(&self, name: &str, mut spec: Value) -> Arc<Pod> {
        spec["nodeName"] = json!(NODE);
        if spec["automountServiceAccountToken"].is_null() {
            spec["automountServiceAccountToken"] = json!(false);
        }
        for container in spec["containers"].as_array_mut().unwrap() {
            container["image"] = json!("registry.example/x:1");
        }
        Arc::new(self.create(json!({"metadata": {"name": name, "labels": {"app": "x"}}, "spec": spec})).await)
    }
}

fn user_of(name: &str) -> Value {
    json!({"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": name}}]}]})
}

fn text(map: Option<Arc<ConfigMap>>) -> Option<String> {
    map.and_then(|map| map.data.as_ref()?.get("k").cloned())
}

async fn marked(sources: &Sources) -> BTreeSet<String> {
    tokio::time::timeout(TEST_PATIENCE, sources.changed()).await.unwrap()
}

/// Waits until the map has this value, told by marks alone.
async fn until(sources: &Sources, pod: &Pod, want: Option<&str>) {
    while text(sources.config_map(NAMESPACE, "m").await.unwrap()).as_deref() != want {
        assert_eq!(marked(sources).await, BTreeSet::from([uid(pod).to_owned()]));
    }
}

#[tokio::test]
async fn an_object_is_watched_while_a_pod_uses_it() {
    let world = World::start().await;
    let pod = world.pod("p", user_of("m")).await;
    let sources = &world.sources;
    sources.register(&pod);
    until(sources, &pod, None).await;
    world.create::<ConfigMap>(json!({"metadata": {"name": "m"}, "data": {"k": "1"}})).await;
    until(sources, &pod, Some("1")).await;
    world.patch::<ConfigMap>("m", json!({"data": {"k": "2"}})).await;
    until(sources, &pod, Some("2")).await;
    world.delete::<ConfigMap>("m").await;
    until(sources, &pod, None).await;
    sources.release(uid(&pod));
    assert!(sources.0.state.lock().config_maps.see((NAMESPACE, "m")).is_none());
    world.cluster.stop().await;
}

#[tokio::test]
async fn pods_share_a_watch_and_the_last_one_ends_it() {
    let world = World::start().await;
    let (a, b) = (world.pod("a", user_of("m")).await, world.pod("b", user_of("m")).await);
    let sources = &world.sources;
    sources.register(&a);
    sources.register(&b);
    sources.register(&b);
    sources.release(uid(&a));
    let is_watched = || sources.0.state.lock().config_maps.see((NAMESPACE, "m")).is_some();
    assert!(is_watched());
    sources.release(uid(&b));
    assert!(!is_watched());
    assert!(sources.0.state.lock().services.see((NAMESPACE, "")).is_none());
    world.cluster.stop().await;
}

#[tokio::test]
async fn what_no_pod_refers_to_may_not_be_read() {
    let world = World::start().await;
    world.create::<Secret>(json!({"metadata": {"name": "s"}})).await;
    let SourceError::Refused(why) = world.sources.secret(NAMESPACE, "s").await.unwrap_err() else {
        panic!("it was not refused");
    };
    assert!(why.contains("no relationship found between node 'n1' and this object"), "{why}");
    let pod =
        world.pod("p", json!({"containers": [{"name": "c"}], "imagePullSecrets": [{"name": "s"}]})).await;
    world.sources.register(&pod);
    assert!(world.sources.secret(NAMESPACE, "s").await.unwrap().is_some());
    world.cluster.stop().await;
}

#[tokio::test]
async fn services_of_the_pods_namespace_and_the_apis_own() {
    let world = World::start().await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    world.create::<Service>(service).await;
    let pod = world.pod("p", json!({"containers": [{"name": "c"}]})).await;
    world.sources.register(&pod);
    let names = |services: Vec<Arc<Service>>| {
        let names = services.iter().filter_map(|service| service.metadata.name.clone());
        names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(world.sources.services(NAMESPACE, true).await.unwrap()), "kubernetes web");
    assert_eq!(names(world.sources.services(NAMESPACE, false).await.unwrap()), "kubernetes");
    world.cluster.stop().await;
}

#[tokio::test]
async fn tokens_are_kept_until_they_are_due_and_die_with_their_pod() {
    let clock = Arc::new(ManualClock::new(Timestamp::now()));
    let world = World::at(clock.clone()).await;
    let token = |audience| json!({"serviceAccountToken": {"path": "t", "audience": audience}});
    let volumes = json!([{"name": "t", "projected": {"sources": [token("")]}},
                         {"name": "v", "projected": {"sources": [token("vault")]}}]);
    let pod = world.pod("p", json!({"containers": [{"name": "c"}], "volumes": volumes})).await;
    let sources = &world.sources;
    let first = sources.token(&pod, "", 3600).await.unwrap();
    assert_eq!(sources.token(&pod, "", 3600).await.unwrap(), first);
    assert_ne!(sources.token(&pod, "vault", 3600).await.unwrap(), first);
    clock.advance(2900);
    let second = sources.token(&pod, "", 3600).await.unwrap();
    assert_ne!(second, first, "four fifths of its life are over");
    world.api::<Pod>().delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    // By the clock the second one is due at once as well, and cannot be had any more.
    assert_eq!(sources.token(&pod, "", 3600).await.unwrap(), second);
    clock.advance(3600);
    let refused = sources.token(&pod, "", 3600).await.unwrap_err();
    assert!(refused.to_string().starts_with("failed to fetch token: "), "{refused}");
    sources.release(uid(&pod));
    world.cluster.stop().await;
}
