//! What was acknowledged survives, and watches go on where they were.

use crate::server::Server;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams},
    core::WatchEvent as Event,
    runtime::{WatchStreamExt as _, watcher},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

fn map(name: &str, value: u32) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some([("n".to_owned(), value.to_string())].into()),
        ..ConfigMap::default()
    }
}

/// Writes until the server is gone; each acknowledged write is noted, as is the one whose answer never came.
async fn write(api: Api<ConfigMap>, name: String, noted: Arc<Mutex<BTreeMap<String, u32>>>) {
    let Ok(mut current) = api.create(&PostParams::default(), &map(&name, 0)).await else { return };
    for value in 1.. {
        noted.lock().unwrap().insert(name.clone(), value - 1);
        current.data = map(&name, value).data;
        match api.replace(&name, &PostParams::default(), &current).await {
            Ok(written) => current = written,
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_kill() {
    let mut server = Server::start(&["--disable", "all"]);
    for round in 0..3 {
        let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
        let noted = Arc::new(Mutex::new(BTreeMap::new()));
        let writers: Vec<_> = (0..8)
            .map(|n| tokio::spawn(write(api.clone(), format!("r{round}-{n}"), noted.clone())))
            .collect();
        // The kill comes in the middle of a stream of writes.
        let stream = api.watch(&WatchParams::default(), "0").await.unwrap();
        let modified = stream.try_filter(|event| {
            let is_modified = matches!(event, WatchEvent::Modified(_));
            async move { is_modified }
        });
        assert_eq!(modified.take(300).count().await, 300);
        server.kill();
        for writer in writers {
            writer.await.unwrap();
        }
        server.start_again();
        let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
        let noted = noted.lock().unwrap().clone();
        assert_eq!(noted.len(), 8);
        for (name, acknowledged) in noted {
            let found = api.get(&name).await.unwrap().data.unwrap()["n"].parse::<u32>().unwrap();
            let may_be = acknowledged..=acknowledged + 1;
            assert!(may_be.contains(&found), "{name}: {acknowledged} was acknowledged, {found} is there");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_across_restarts() {
    let mut server = Server::start(&["--disable", "all"]);
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    let from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut expected = Vec::new();
    for n in 0..20 {
        let written = api.create(&PostParams::default(), &map(&format!("a-{n}"), n)).await.unwrap();
        expected.push(("added", written.name_any(), written.resource_version().unwrap()));
    }
    api.delete("a-3", &Default::default()).await.unwrap();
    server.kill();
    server.start_again();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    for n in 0..5 {
        let written = api.create(&PostParams::default(), &map(&format!("b-{n}"), n)).await.unwrap();
        expected.push(("added", written.name_any(), written.resource_version().unwrap()));
    }
    server.stop();
    server.start_again();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    let last = api.create(&PostParams::default(), &map("last", 0)).await.unwrap();
    expected.push(("added", last.name_any(), last.resource_version().unwrap()));
    let stream = api.watch(&WatchParams::default(), &from).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    let (mut seen, mut deleted, mut newest) = (Vec::new(), Vec::new(), from.parse::<u64>().unwrap());
    while let Some(event) = stream.try_next().await.unwrap() {
        let (kind, object) = match event {
            Event::Added(object) => ("added", object),
            Event::Deleted(object) => ("deleted", object),
            other => panic!("{other:?}"),
        };
        let version: u64 = object.resource_version().unwrap().parse().unwrap();
        assert!(version > newest, "revisions rise: {version} after {newest}");
        newest = version;
        let name = object.name_any();
        match kind {
            "added" => seen.push((kind, name.clone(), object.resource_version().unwrap())),
            _ => deleted.push(name.clone()),
        }
        if name == "last" {
            break;
        }
    }
    assert_eq!(seen, expected, "no gap and no duplicate");
    assert_eq!(deleted, ["a-3"]);
}

/// Writes one value after the other until the last; goes on behind what is there when the server comes back.
async fn count_up(api: Api<ConfigMap>, name: &str, last: u32) {
    let value = |map: &ConfigMap| map.data.as_ref().and_then(|data| data["n"].parse::<u32>().ok()).unwrap();
    loop {
        let Ok(mut current) = api.get(name).await else {
            tokio::task::yield_now().await;
            continue;
        };
        while value(&current) < last {
            current.data = map(name, value(&current) + 1).data;
            match api.replace(name, &PostParams::default(), &current).await {
                Ok(written) => current = written,
                Err(_) => break,
            }
        }
        if value(&current) == last && api.get(name).await.is_ok_and(|found| value(&found) == last) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_every_write_once_across_a_kill() {
    const LAST: u32 = 600;
    let mut server = Server::start(&["--disable", "all"]);
    let api: Api<ConfigMap> = Api::default_namespaced(server.client().await);
    api.create(&PostParams::default(), &map("seen", 0)).await.unwrap();
    let mut kubectl = server.kubectl().follow("get configmap seen --watch -o jsonpath='{.data.n}{\"\\n\"}'");
    assert_eq!(kubectl.until("0"), "0");
    let config = watcher::Config::default().fields("metadata.name=seen");
    let changes = watcher(api.clone(), config).default_backoff().applied_objects();
    let mut values = std::pin::pin!(changes.filter_map(async |change| {
        // The watcher tells that its connection was lost, and comes back by itself.
        change.ok().and_then(|map| map.data?["n"].parse::<u32>().ok())
    }));
    let first = values.next().await.unwrap();
    let writer = tokio::spawn(count_up(api, "seen", LAST));
    let mut seen = vec![first];
    while let Some(value) = values.next().await {
        seen.push(value);
        if value == LAST / 2 {
            server.kill();
            server.start_again();
        }
        if value == LAST {
            break;
        }
    }
    writer.await.unwrap();
    assert_eq!(seen, (first..=LAST).collect::<Vec<_>>(), "no gap and no duplicate for kube-rs");
    let seen: Vec<u32> = kubectl.all().iter().map(|line| line.parse().unwrap()).collect();
    let end = *seen.last().unwrap();
    assert!(end >= LAST / 4, "kubectl saw the first half: {end}");
    assert_eq!(seen, (0..=end).collect::<Vec<_>>(), "no gap and no duplicate for kubectl");
}

#[test]
fn a_rollout_goes_on_after_a_kill() {
    let mut server = Server::with_node();
    let kubectl = server.kubectl();
    kubectl.run("create deployment web --image=registry.example/web:1 --replicas=5").ok();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("set image deployment/web web=registry.example/web:2").ok();
    server.kill();
    server.start_again();
    kubectl.run("rollout status deployment/web").ok();
    kubectl.run("wait --for=jsonpath='{.status.availableReplicas}'=5 deployment/web --timeout=60s").ok();
    kubectl.run("get deployment web").ok().matches("^web +5/5 +5 +5 ");
}
