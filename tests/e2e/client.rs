//! kube-rs over TLS: typed objects, its watcher, server-side apply, refusals as values.

use crate::server::Server;
use futures::TryStreamExt;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        wait::{await_condition, conditions},
        watcher,
    },
};
use serde_json::json;

#[tokio::test]
async fn typed_objects_come_and_go() {
    let server = Server::start(&["--disable", "all"]);
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {"k": "v"}})).unwrap();
    let mut made = api.create(&PostParams::default(), &map).await.unwrap();
    assert!(made.uid().is_some() && made.creation_timestamp().is_some());
    made.data.get_or_insert_default().insert("l".into(), "w".into());
    let replaced = api.replace("m", &PostParams::default(), &made).await.unwrap();
    assert_ne!(replaced.resource_version(), made.resource_version());
    let conflict = api.replace("m", &PostParams::default(), &made).await.unwrap_err();
    let kube::Error::Api(status) = conflict else { panic!("{conflict}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let patched =
        api.patch("m", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": null}}))).await.unwrap();
    assert_eq!(patched.data.unwrap().into_keys().collect::<Vec<_>>(), ["l"]);
    let listed = api.list(&ListParams::default().fields("metadata.name=m")).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert!(api.get_metadata("m").await.unwrap().metadata.uid.is_some());
    api.delete("m", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("m").await.unwrap().is_none());
}

#[tokio::test]
async fn server_side_apply_reports_conflicts() {
    let server = Server::start(&["--disable", "all"]);
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    let map = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": value}});
    let one = PatchParams::apply("one");
    api.patch("m", &one, &Patch::Apply(map("1"))).await.unwrap();
    let refused = api.patch("m", &PatchParams::apply("two"), &Patch::Apply(map("2"))).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    let details = status.details.clone().unwrap();
    assert_eq!((status.code, details.causes[0].field.as_str()), (409, ".data.k"));
    assert_eq!(details.causes[0].reason, "FieldManagerConflict");
    let forced = api.patch("m", &PatchParams::apply("two").force(), &Patch::Apply(map("2"))).await.unwrap();
    let managers: Vec<_> = forced.managed_fields().iter().filter_map(|m| m.manager.clone()).collect();
    assert!(managers.contains(&"two".to_owned()), "{managers:?}");
}

#[tokio::test]
async fn the_watcher_lists_streams_and_relists() {
    let mut server = Server::start(&["--disable", "all"]);
    let client = server.client().await;
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let map = |name: &str| serde_json::from_value::<ConfigMap>(json!({"metadata": {"name": name}})).unwrap();
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut stream = std::pin::pin!(watcher(api.clone(), config).default_backoff().touched_objects());
        assert_eq!(stream.try_next().await.unwrap().unwrap().name_any(), "a");
        api.create(&PostParams::default(), &map("b")).await.unwrap();
        assert_eq!(stream.try_next().await.unwrap().unwrap().name_any(), "b");
        api.delete("b", &DeleteParams::default()).await.unwrap();
        let gone = stream.try_next().await.unwrap().unwrap();
        assert_eq!(gone.name_any(), "b");
        // The same stream goes on after the server was away.
        server.kill();
        server.start_again();
        api.create(&PostParams::default(), &map("c")).await.unwrap();
        loop {
            match stream.try_next().await {
                Ok(Some(object)) if object.name_any() == "c" => break,
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => panic!("the watcher ended"),
            }
        }
        api.delete("c", &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn deployments_and_evictions_work_typed() {
    let server = Server::with_node();
    let client = server.client().await;
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    let web: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}},
    }))
    .unwrap();
    api.create(&PostParams::default(), &web).await.unwrap();
    await_condition(api.clone(), "web", conditions::is_deployment_completed()).await.unwrap();
    assert_eq!(api.get_scale("web").await.unwrap().spec.unwrap().replicas, Some(1));
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = pods.list(&ListParams::default().labels("a=b")).await.unwrap().items.remove(0);
    await_condition(pods.clone(), &pod.name_any(), conditions::is_pod_running()).await.unwrap();
    pods.evict(&pod.name_any(), &Default::default()).await.unwrap();
    let uid = pod.uid().unwrap();
    await_condition(pods, &pod.name_any(), conditions::is_deleted(&uid)).await.unwrap();
}
