use super::*;
use crate::views::{PodView, Typed};
use serde_json::json;

fn pod(name: &str, revision: u64, node: &str) -> Arc<PodView> {
    let value = json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": revision.to_string()},
        "spec": {"nodeName": node}});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn cache() -> Cache<PodView> {
    let cache = Cache::detached(PodView::KIND, Filter::default());
    cache.index(Index::NODE);
    cache
}

fn names(pods: &[Arc<PodView>]) -> Vec<&str> {
    let mut names: Vec<&str> = pods.iter().map(|pod| &*pod.metadata.name).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_index_follows_changes_and_deletes() {
    let cache = cache();
    cache.apply(pod("a", 1, "n1"));
    cache.apply(pod("b", 2, "n1"));
    assert_eq!(names(&cache.by(&Index::NODE, "n1")), ["a", "b"]);
    cache.apply(pod("a", 3, "n2"));
    assert_eq!(names(&cache.by(&Index::NODE, "n1")), ["b"]);
    cache.delete(&pod("a", 4, "n2"));
    assert!(cache.by(&Index::NODE, "n2").is_empty());
    cache.index(Index::UID);
    assert_eq!(names(&cache.by(&Index::UID, "b")), ["b"]);
}

#[test]
fn subscribers_see_old_and_new_and_deletes_of_a_relist() {
    let cache = cache();
    cache.apply(pod("a", 1, "n1"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let subscription = cache.subscribe(move |change| {
        let node = |pod: &Option<Arc<PodView>>| pod.as_ref().map(|pod| pod.spec.node_name.to_string());
        log.lock().push((node(&change.old), node(&change.new)));
    });
    cache.apply(pod("a", 2, "n2"));
    cache.relist();
    cache.apply(pod("b", 3, "n3"));
    cache.synced();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        *seen.lock(),
        [(None, text("n1")), (text("n1"), text("n2")), (None, text("n3")), (text("n2"), None)]
    );
    drop(subscription);
    cache.apply(pod("c", 4, "n1"));
    assert_eq!(seen.lock().len(), 4);
}

#[test]
fn a_relist_never_goes_back_in_time() {
    let cache = cache();
    cache.apply(pod("a", 5, "new"));
    cache.relist();
    cache.apply(pod("a", 4, "old"));
    cache.synced();
    assert_eq!(names(&cache.by(&Index::NODE, "new")), ["a"]);
}

#[tokio::test]
async fn k3_wait_returns_when_the_write_was_seen() {
    let cache = cache();
    cache.apply(pod("a", 1, "n1"));
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move {
            cache.wait(7).await;
            cache.wait_gone(&Key::new("ns", "a"), "a").await;
            cache.revision()
        }
    });
    tokio::task::yield_now().await;
    cache.apply(pod("b", 7, "n1"));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    cache.delete(&pod("a", 8, "n1"));
    assert_eq!(waiting.await.unwrap(), 8);
}
