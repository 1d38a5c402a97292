//! The operator SDK: everything an operator needs besides its decisions.
//!
//! Owns: the watch cache and its views, the three operator shapes (reconciler, projector, decider) and their loops,
//! the only code that writes to the API (`act`), events, conditions, finalizers, leader election, metrics, and pure
//! rules that several workloads share (`pods`, `owner`, `children`, `rollout`, `placement`, `storage`, `template`, `revision`).
//! Contracts: **K1** observe reads, plan is pure, only the kit writes. **K2** a reconcile takes no event as input.
//! **K3** an operator never acts on a cache older than its own last write. **K4** killed at any point and started
//! again, it converges to the same state. **K5** one undecodable object never stops a watch. **K6** permissions come
//! from declared watches and writes; an undeclared write is refused.
//! Deliberately absent: any core crate but the vocabulary, any workload; it runs against every Kubernetes.
//! Follows: client-go `tools/cache`, `tools/events`, `tools/leaderelection`, `util/workqueue`.

pub mod act;
pub mod action;
pub mod backoff;
pub mod cache;
pub mod children;
pub mod clock;
pub mod conditions;
pub mod decide;
pub mod discovery;
pub mod error;
pub mod events;
pub mod finalizers;
pub mod kind;
pub mod leader;
pub mod metrics;
pub mod operator;
pub mod owner;
pub mod placement;
pub mod pods;
pub mod process;
pub mod project;
pub mod queue;
pub mod rbac;
pub mod reader;
pub mod revision;
pub mod rollout;
pub mod run;
pub mod selector;
pub mod storage;
pub mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod views;
pub mod watch;

pub use act::{Results, Writer};
pub use action::{Action, Announce};
pub use cache::{Cache, CachePool, Change, Filter, Index};
pub use clock::Clock;
pub use error::{Error, Result};
pub use kind::{Key, Kind, ObjectRef};
pub use operator::{Operator, Plan};
pub use rbac::{Read, Write};
pub use reader::Reader;
pub use run::{RunConfig, run};
pub use views::{Meta, Pairs, Typed, View};
pub use watch::Watch;

pub use jiff::Timestamp;
pub use kube::Client;
