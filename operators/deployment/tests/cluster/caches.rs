//! The kit's cache against a real watch.

use crate::{Cluster, PATIENCE};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, PostParams};
use proa_kit::{
    CachePool, Filter, Key, Kind, Typed,
    views::{ConfigMapView, Meta, View},
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

/// Wants a number where config maps have text.
#[derive(Debug, Deserialize)]
struct Picky {
    metadata: Meta,
    #[serde(default)]
    data: Numbers,
}

#[derive(Debug, Default, Deserialize)]
struct Numbers {
    #[serde(default)]
    number: Option<i32>,
}

impl View for Picky {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

const KIND: Kind = ConfigMapView::KIND;

impl Cluster {
    async fn write(&self, name: &str, data: serde_json::Value) -> u64 {
        let map: ConfigMap =
            self.create(json!({"metadata": {"name": name, "labels": {"in": name}}, "data": data})).await;
        map.metadata.resource_version.unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn k3_a_cache_shows_a_write_once_it_has_waited_for_it() {
    let cluster = Cluster::start().await;
    let pool = CachePool::own(cluster.client.clone());
    let cache = pool.cache::<ConfigMapView>(&KIND, &Filter::default());
    timeout(PATIENCE, cache.ready()).await.unwrap();
    for round in 0..50 {
        let name = format!("m{round}");
        let written = cluster.write(&name, json!({"a": "b"})).await;
        timeout(PATIENCE, cache.wait(written)).await.unwrap();
        let key = Key::new("default", &name);
        let uid = cache.get(&key).expect("it was waited for").metadata.uid.clone();
        cluster.api::<ConfigMap>().delete(&name, &DeleteParams::default()).await.unwrap();
        timeout(PATIENCE, cache.wait_gone(&key, &uid)).await.unwrap();
        assert!(cache.get(&key).is_none());
    }
    cluster.stop().await;
}

#[tokio::test]
async fn k5_an_object_that_cannot_be_decoded_does_not_stop_the_watch() {
    let cluster = Cluster::start().await;
    cluster.write("before", json!({"number": "not one"})).await;
    let pool = CachePool::own(cluster.client.clone());
    let cache = pool.cache::<Picky>(&KIND, &Filter::default());
    timeout(PATIENCE, cache.ready()).await.unwrap();
    cluster.write("between", json!({"number": "nor this"})).await;
    let last = cluster.write("fine", json!({})).await;
    timeout(PATIENCE, cache.wait(last)).await.unwrap();
    assert!(cache.get(&Key::new("default", "between")).is_none());
    assert_eq!(cache.get(&Key::new("default", "fine")).unwrap().data.number, None);
    cluster.stop().await;
}

#[tokio::test]
async fn a_filtered_cache_forgets_what_no_longer_matches() {
    let cluster = Cluster::start().await;
    cluster.write("inside", json!({})).await;
    cluster.write("outside", json!({})).await;
    let pool = CachePool::own(cluster.client.clone());
    let cache = pool.cache::<ConfigMapView>(&KIND, &Filter::labels("in=inside"));
    timeout(PATIENCE, cache.ready()).await.unwrap();
    assert_eq!(cache.list().iter().map(|map| &*map.metadata.name).collect::<Vec<_>>(), ["inside"]);
    let maps = cluster.api::<ConfigMap>();
    let mut map = maps.get("inside").await.unwrap();
    map.metadata.labels = None;
    maps.replace("inside", &PostParams::default(), &map).await.unwrap();
    let uid = map.metadata.uid.unwrap();
    timeout(PATIENCE, cache.wait_gone(&Key::new("default", "inside"), &uid)).await.unwrap();
    cluster.stop().await;
}
