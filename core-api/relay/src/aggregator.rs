//! API servers that answer for groups of their own (aggregation).
//!
//! Reads top-down: `follow` follows APIServices and keeps a task for each that names a Service; `availability` (can it
//! be reached) and `learn` (what does it serve) are what such a task does, `ask` is how, `record` writes the condition;
//! `table` is what is known, from which requests are passed on (`pass`) and discovery is shown. All this is part of the
//! server and no operator: other servers know this one by the front proxy's certificate, whose key no other program
//! needs, and requests are routed by the same table.
//! Upstream: kube-aggregator `pkg/apiserver`, `pkg/controllers/{status,openapiv3}`.

mod ask;
mod availability;
mod follow;
mod identity;
mod learn;
mod pass;
mod record;
mod service;
mod table;

use crate::Relay;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use proa_meta::{ApiResult, Gvr, User};
use proa_registry::Kind;
use proa_server::{
    Request, Response,
    aggregation::{Aggregate, Outline, Priority},
};
use std::sync::Arc;
use table::{Backend, Table};

const API_SERVICES: Gvr = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");

/// Keeps track of other API servers and passes requests on to them.
pub struct Aggregator {
    relay: Arc<Relay>,
    table: RwLock<Arc<Table>>,
    /// Whoever changes the table holds this; its readers do not wait for what a change reads and parses.
    changing: Mutex<()>,
}

impl Aggregator {
    pub(crate) fn new(relay: Arc<Relay>) -> Self {
        Self { relay, table: RwLock::new(Arc::new(Table::new(Priority::USUAL))), changing: Mutex::new(()) }
    }

    /// Reads all APIServices, once before the first request. What they serve is not known yet.
    pub fn load(&self) {
        let Some(kind) = self.kind() else { return };
        let snapshot = kind.snapshot();
        self.change(|table| {
            let gone: Vec<String> = table.names().filter(|name| snapshot.get("", name).is_none()).collect();
            let mut changed = false;
            for name in gone {
                changed |= table.set(&self.relay.trust, &name, None);
            }
            for entry in snapshot.iter() {
                changed |= table.set(&self.relay.trust, entry.name(), Some(entry));
            }
            changed
        });
    }

    fn kind(&self) -> Option<Arc<Kind>> {
        self.relay.registry.kind(&API_SERVICES)
    }

    fn backend(&self, name: &str) -> Option<Arc<Backend>> {
        self.table.read().backend(name)
    }

    /// Swaps the table, if `change` says that it did change it.
    fn change(&self, change: impl FnOnce(&mut Table) -> bool) {
        let _alone = self.changing.lock();
        let mut next = Table::clone(&self.table.read());
        if change(&mut next) {
            next.publish();
            *self.table.write() = Arc::new(next);
        }
    }
}

impl Aggregate for Aggregator {
    fn outline(&self) -> Arc<Outline> {
        self.table.read().outline()
    }
    fn pass<'a>(
        &'a self,
        service: &'a str,
        request: Request,
        user: &'a User,
    ) -> BoxFuture<'a, ApiResult<Response>> {
        Box::pin(self.pass_on(service, request, user))
    }
}
