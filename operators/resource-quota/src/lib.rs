//! The resource quota operator: keeps `status.used` of every ResourceQuota true.
//!
//! Owns: the status of quotas: the limits that are enforced, and what is used of them, counted from the objects that
//! there are. Admission adds to it when objects are made; what is deleted or ends is given back here, as soon as its
//! event comes. Guarantees: what was charged is never given back before the object that it was charged for has been
//! seen (`index`), so that a limit holds although counting lags behind. Watches only the kinds that a quota names, and
//! only in its namespace: a cluster without quotas pays nothing.
//! Upstream: pkg/controller/resourcequota/{resource_quota_controller,resource_quota_monitor}.go.

pub mod index;
pub mod plan;
pub mod status;

use futures::future::{BoxFuture, FutureExt};
use index::{Ledger, QuotaView, watches};
use proa_kit::{
    Change, Client, Key, Kind, Plan, Read, Reader, Results, RunConfig, Timestamp, Typed, Watch, Write,
    act::Written,
    decide::{self, Decider, Feed},
    queue::Queue,
    rbac::rbac_rules,
    views::ObjectView,
};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Notify;

const DEFINITIONS: Kind =
    Kind::cluster("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");

/// The operator.
#[derive(Debug, Default)]
pub struct ResourceQuotaOperator {
    wanted: Arc<Wanted>,
}

/// Why the set of watches may have to change.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Quotas name other kinds, or there are quotas in other namespaces.
    pub(crate) kinds: Notify,
    /// Definitions came or went.
    pub(crate) definitions: Notify,
}

impl Decider for ResourceQuotaOperator {
    const NAME: &'static str = "resourcequota-controller";
    type Index = Ledger;
    type Item = Key;

    fn index(&self) -> Ledger {
        Ledger::default()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Ledger, Key>>> {
        let (kinds, definitions) = (self.wanted.clone(), self.wanted.clone());
        let quota = move |ledger: &mut Ledger, change: &Change<QuotaView>, wake: &Queue<Key>| {
            if ledger.quota(change, wake) {
                kinds.kinds.notify_one();
            }
        };
        let definition = move |_: &mut Ledger, _: &Change<ObjectView>, _: &Queue<Key>| {
            definitions.definitions.notify_one();
        };
        vec![decide::feed(QuotaView::KIND, quota).into(), decide::feed(DEFINITIONS, definition).into()]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::any()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::sub(&QuotaView::KIND, "status", &["patch"])]
    }
    fn plan(&self, quota: &Key, ledger: &mut Ledger, now: Timestamp) -> Plan {
        plan::plan(quota, ledger, now)
    }
    fn settle(&self, quota: &Key, ledger: &mut Ledger, results: &Results, _: &Queue<Key>) {
        for written in results.written() {
            if let Written::At { resource_version, .. } = written {
                ledger.wrote(quota, resource_version);
            }
        }
    }
    fn attend(&self, reader: Reader, feed: Feed<Ledger, Key>) -> BoxFuture<'static, ()> {
        watches::keep(reader, feed, self.wanted.clone()).boxed()
    }
}

/// RBAC rules that follow from its declared watches and writes. A quota can count every kind.
pub fn rules() -> Value {
    let operator = ResourceQuotaOperator::default();
    let feeds = operator.feeds();
    let mut writes = operator.writes();
    writes.push(Write::any(&["watch"]));
    rbac_rules(feeds.iter().map(Watch::watched), &operator.reads(), &writes)
}

/// Runs it until shutdown.
pub async fn run(client: Client, mut config: RunConfig) {
    // What it watches is of single namespaces, which no one else reads.
    config.caches = None;
    decide::decide(ResourceQuotaOperator::default(), client, config).await;
}
