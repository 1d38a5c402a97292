//! The cron job operator: starts jobs by a schedule.
//!
//! Owns: the cron job's jobs, deletion of finished ones beyond the history limits, its status. Guarantees: one job for
//! one scheduled minute, whenever the operator stops, since the job's name is made from that time. Of several times
//! that were missed only the last is made good, within `startingDeadlineSeconds`; of a schedule whose times are unevenly
//! far apart that one may be passed over, as upstream.
//! When a schedule changes, times before the change count no more. That is remembered in memory only: after a restart
//! the new schedule's last time may be made good.
//! Upstream: pkg/controller/cronjob/{cronjob_controllerv2,utils}.go.

pub mod build;
pub mod observe;
pub mod plan;
pub mod status;

use observe::{Observed, STEM, ScheduleChanges};
use proa_kit::{
    Error, Key, Operator, Plan, Reader, Results, Timestamp, Typed, Watch, Write,
    views::{CronJobView, JobView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Debug, Default)]
pub struct CronJobOperator {
    changes: ScheduleChanges,
}

impl Operator for CronJobOperator {
    const NAME: &'static str = "cronjob-controller";
    type Object = CronJobView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<CronJobView>().into(),
            Watch::owned::<JobView, CronJobView>().index(STEM).into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&JobView::KIND, &["create", "delete"]),
            Write::sub(&CronJobView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, cron: &Arc<CronJobView>) -> Result<Observed, Error> {
        Ok(observe::observe(reader, cron, &self.changes))
    }
    fn plan(&self, cron: &CronJobView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(cron, observed, now)
    }
    fn settle(
        &self,
        cron: &CronJobView,
        _: &Observed,
        plan: &Plan,
        results: &Results,
        _: Timestamp,
    ) -> Option<Value> {
        status::settle(cron, plan, results)
    }
    fn gone(&self, _: &Reader, key: &Key) -> Plan {
        self.changes.forget(key);
        Plan::default()
    }
}

/// RBAC rules that follow from what it watches and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&CronJobOperator::default())
}

/// Runs it until shutdown.
pub async fn run(client: proa_kit::Client, config: proa_kit::RunConfig) {
    proa_kit::run(CronJobOperator::default(), client, config).await;
}
