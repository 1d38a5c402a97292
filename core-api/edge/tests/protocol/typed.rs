//! What kube's own API and watcher make of both ways.

use crate::support::Cluster;
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::watcher,
};
use serde_json::json;

mod ways {
    crate::both_ways!(verbs, watchers, discovery);
}

fn toys(cluster: &Cluster) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("toy.example", "v1", "Toy");
    Api::namespaced_with(cluster.client("tester"), "d", &ApiResource::from_gvk(&gvk))
}

fn toy(name: &str) -> DynamicObject {
    let toy = json!({"apiVersion": "toy.example/v1", "kind": "Toy", "metadata": {"name": name}, "spec": {"node": "n1"}});
    serde_json::from_value(toy).unwrap()
}

async fn verbs(cluster: &Cluster) {
    let api = toys(cluster);
    let made = api.create(&PostParams::default(), &toy("a")).await.unwrap();
    assert_eq!(api.get("a").await.unwrap().metadata.uid, made.metadata.uid);
    let patched = api
        .patch(
            "a",
            &PatchParams::apply("me").force(),
            &Patch::Apply(json!({
                "apiVersion": "toy.example/v1", "kind": "Toy", "spec": {"node": "n2"},
            })),
        )
        .await
        .unwrap();
    assert_eq!(patched.data["spec"]["node"], "n2");
    assert_eq!(api.get_metadata("a").await.unwrap().metadata.name.as_deref(), Some("a"));
    assert_eq!(api.list_metadata(&ListParams::default()).await.unwrap().items.len(), 1);
    let replicas = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let scale = api.patch_scale("a", &PatchParams::default(), &replicas).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let gone = api.get("a").await.unwrap_err();
    assert!(matches!(gone, kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound"));
}

async fn watchers(cluster: &Cluster) {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let api = toys(cluster);
        api.create(&PostParams::default(), &toy("first")).await.unwrap();
        let mut events = watcher(api.clone(), config).boxed();
        let mut next = async || events.try_next().await.unwrap().unwrap();
        assert!(matches!(next().await, watcher::Event::Init));
        assert!(
            matches!(next().await, watcher::Event::InitApply(toy) if toy.metadata.name.as_deref() == Some("first"))
        );
        assert!(matches!(next().await, watcher::Event::InitDone));
        api.create(&PostParams::default(), &toy("second")).await.unwrap();
        assert!(
            matches!(next().await, watcher::Event::Apply(toy) if toy.metadata.name.as_deref() == Some("second"))
        );
        for name in ["first", "second"] {
            api.delete(name, &DeleteParams::default()).await.unwrap();
            assert!(
                matches!(next().await, watcher::Event::Delete(toy) if toy.metadata.name.as_deref() == Some(name))
            );
        }
    }
}

async fn discovery(cluster: &Cluster) {
    let discovery = kube::Discovery::new(cluster.client("tester")).run().await.unwrap();
    let gvk = GroupVersionKind::gvk("toy.example", "v1", "Toy");
    let (resource, capabilities) = discovery.resolve_gvk(&gvk).unwrap();
    assert_eq!(resource.plural, "toys");
    assert!(capabilities.subresources.iter().any(|(subresource, _)| subresource.plural == "scale"));
    let version = cluster.client("tester").apiserver_version().await.unwrap();
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "37"));
}
