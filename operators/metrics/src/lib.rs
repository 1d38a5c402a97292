//! The resource metrics API: what nodes and pods use now, for `kubectl top` and autoscaling.
//!
//! Owns: an API server of its own (`api`) for the group `metrics.k8s.io`, and what tells the cluster of it: an
//! APIService, the Service that it names, a role for viewers. Invariants: nothing is measured unless somebody asks; the
//! server believes only the cluster's front proxy; an APIService that names somebody else's Service is left alone.
//! It listens on the loopback address, so it runs on the machine of the API server.
//! Deliberately absent: history, and figures of nodes that measure nothing, as simulated ones.
//! Follows: kubernetes-sigs/metrics-server `pkg/{api,scraper,storage}`.

mod api;
pub mod index;
pub mod plan;

use futures::future::{BoxFuture, FutureExt};
use index::{API_SERVICE, AUTHENTICATION, ApiServiceView, Publication, ROLE, RoleView, SERVICE, named};
use proa_kit::{
    Client, Index, Kind, Plan, Read, Reader, RunConfig, Timestamp, Typed, View, Watch, Write, Writer,
    cache::Filter,
    decide::{self, Decider, Feed},
    rbac::rbac_rules,
    views::{ConfigMapView, NodeView, PodView, ServiceView},
    watch::WatchOf,
};
use serde_json::Value;

const NAME: &str = "metrics";
const REVIEWS: Kind =
    Kind::cluster("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews");

/// The operator.
struct MetricsOperator {
    /// Asks whether a user may.
    reviewer: Option<Writer>,
}

fn part<V: Typed>(
    filter: Filter,
    slot: fn(&mut Publication) -> &mut Option<std::sync::Arc<V>>,
) -> Watch<Feed<Publication, ()>> {
    let take =
        move |index: &mut Publication, change: &proa_kit::Change<V>, wake: &proa_kit::queue::Queue<()>| {
            slot(index).clone_from(&change.new);
            wake.mark(());
        };
    decide::feed(V::KIND, take).only(filter).into()
}

fn read<V: View>(kind: Kind, index: Option<Index<V>>) -> Watch<Feed<Publication, ()>> {
    let watch = WatchOf::<V, Feed<Publication, ()>>::of(kind);
    match index {
        Some(index) => watch.index(index).into(),
        None => watch.into(),
    }
}

impl Decider for MetricsOperator {
    const NAME: &'static str = NAME;
    type Index = Publication;
    type Item = ();

    fn index(&self) -> Publication {
        Publication::default()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Publication, ()>>> {
        vec![
            part::<ApiServiceView>(named("", API_SERVICE), |index| &mut index.api_service),
            part::<ServiceView>(named(SERVICE.0, SERVICE.1), |index| &mut index.service),
            part::<RoleView>(named("", ROLE), |index| &mut index.role),
            part::<ConfigMapView>(named(AUTHENTICATION.0, AUTHENTICATION.1), |index| {
                &mut index.authentication
            }),
            read::<PodView>(PodView::KIND, Some(Index::NAMESPACE)),
            read::<NodeView>(NodeView::KIND, None),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        let read = |group: &str, resource: &str| Read { group: group.into(), resource: resource.into() };
        vec![
            // Nodes are asked through the API server, which knows how to reach them.
            read("", "nodes/proxy"),
            // Whoever gives a right must have it.
            read("metrics.k8s.io", "nodes"),
            read("metrics.k8s.io", "pods"),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&ApiServiceView::KIND, &["create", "patch"]).named(&[API_SERVICE]),
            Write::to(&ServiceView::KIND, &["create", "patch"]).named(&[SERVICE.1]),
            Write::to(&RoleView::KIND, &["create"]),
            Write::to(&REVIEWS, &["create"]),
        ]
    }
    fn plan(&self, (): &(), index: &mut Publication, _: Timestamp) -> Plan {
        plan::plan(index)
    }
    fn attend(&self, reader: Reader, feed: Feed<Publication, ()>) -> BoxFuture<'static, ()> {
        match self.reviewer.clone() {
            Some(reviewer) => api::serve(reader, feed, reviewer).boxed(),
            None => std::future::pending().boxed(),
        }
    }
}

/// RBAC rules that follow from what it watches, reads and writes.
pub fn rules() -> Value {
    let operator = MetricsOperator { reviewer: None };
    let feeds = operator.feeds();
    rbac_rules(feeds.iter().map(Watch::watched), &operator.reads(), &operator.writes())
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    let writes = MetricsOperator { reviewer: None }.writes();
    let reviewer = Writer::start(client.clone(), NAME, writes, &config.identity, config.clock.clone());
    decide::decide(MetricsOperator { reviewer: Some(reviewer) }, client, config).await;
}
