//! The garbage collector: deletes objects whose owners are gone, in the way that the deletion of the owner asked for.
//!
//! Owns: the finalizers `foregroundDeletion` and `orphan`, and owner references to objects that are gone. Watches the
//! metadata of every kind that can be deleted, definitions' kinds as they come and go, into a graph of uids (`index`).
//! Guarantees: an object is deleted only if none of its owners exists, and only at the version that was seen; an owner
//! that is not in the graph is asked for at the API server under the name the reference gives (`index::absent`), in the
//! object's own namespace, so that a reference into another namespace counts as absent.
//! Upstream: pkg/controller/garbagecollector/{garbagecollector,graph_builder,patch}.go.

pub mod index;
pub mod plan;

use futures::future::{BoxFuture, FutureExt};
use index::{Graph, Uid, kinds};
use proa_kit::{
    Change, Client, Kind, Plan, Read, Reader, RunConfig, Timestamp, Watch, Write,
    decide::{self, Decider, Feed},
    queue::Queue,
    rbac::rbac_rules,
    views::ObjectView,
};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

const DEFINITIONS: Kind =
    Kind::cluster("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");

/// The operator.
#[derive(Debug, Default)]
pub struct GarbageCollector {
    /// Definitions changed.
    definitions: Arc<Notify>,
}

impl Decider for GarbageCollector {
    const NAME: &'static str = "garbage-collector-controller";
    type Index = Graph;
    type Item = Uid;

    fn index(&self) -> Graph {
        Graph::default()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Graph, Uid>>> {
        let changed = self.definitions.clone();
        let take_in = move |_: &mut Graph, _: &Change<ObjectView>, _: &Queue<Uid>| changed.notify_one();
        vec![decide::feed(DEFINITIONS, take_in).into()]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::any()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::any(&["delete", "patch"])]
    }
    fn plan(&self, item: &Uid, graph: &mut Graph, _now: Timestamp) -> Plan {
        plan::plan(*item, graph)
    }
    fn attend(&self, reader: Reader, feed: Feed<Graph, Uid>) -> BoxFuture<'static, ()> {
        let (ask, asked) = mpsc::unbounded_channel();
        feed.take_in(|graph, _| graph.answers.ask = Some(ask));
        let watching = kinds::watch(reader.clone(), feed.clone(), self.definitions.clone());
        let answering = index::absent::answer(reader, feed, asked);
        async move {
            futures::join!(watching, answering);
        }
        .boxed()
    }
    /// What is written shows in the graph by itself, and a stale version conflicts.
    fn catches_up(&self) -> bool {
        false
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let collector = GarbageCollector::default();
    let feeds = collector.feeds();
    let mut writes = collector.writes();
    writes.push(Write::any(&["watch"]));
    rbac_rules(feeds.iter().map(Watch::watched), &collector.reads(), &writes)
}

/// Runs it until shutdown.
pub async fn run(client: Client, mut config: RunConfig) {
    // No one else reads metadata of every kind, so there is nothing to share.
    config.caches = None;
    decide::decide(GarbageCollector::default(), client, config).await;
}
