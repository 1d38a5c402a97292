//! What a decision about a cron job needs: its jobs, jobs of others in its way, and when its schedule changed.

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use proa_kit::{
    Index, Key, Reader, Timestamp, View,
    views::{CronJobView, JobView},
};
use std::{collections::HashMap, sync::Arc};

/// What was read.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Jobs it controls.
    pub jobs: Vec<Arc<JobView>>,
    /// Jobs that it does not control but that are named as its own are, or that its status names.
    pub strangers: Vec<Arc<JobView>>,
    /// When its schedule or time zone changed, if that was seen.
    pub changed: Option<Timestamp>,
    /// Time zone of schedules that name none.
    pub local: TimeZone,
}

impl Default for Observed {
    fn default() -> Self {
        Self { jobs: Vec::new(), strangers: Vec::new(), changed: None, local: TimeZone::UTC }
    }
}

/// Jobs by what stands before the last dash of their names: of a cron job's jobs, its name.
pub(crate) const STEM: Index<JobView> = Index {
    name: "stem",
    values: |job, found| {
        if let Some((name, _)) = job.metadata.name.rsplit_once('-') {
            found(&stem(&job.metadata.namespace, name));
        }
    },
};

fn stem(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Reads it.
pub fn observe(reader: &Reader, cron: &Arc<CronJobView>, changes: &ScheduleChanges) -> Observed {
    let cache = reader.cache::<JobView>();
    let meta = &cron.metadata;
    let named = cache.by(&STEM, &stem(&meta.namespace, &meta.name));
    let active = cron.status.active.iter().filter_map(|own| cache.get(&Key::new(&meta.namespace, &own.name)));
    let mut strangers: Vec<_> =
        named.into_iter().chain(active).filter(|job| !job.metadata.is_controlled_by(&meta.uid)).collect();
    strangers.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    strangers.dedup_by(|a, b| a.metadata.name == b.metadata.name);
    let mut jobs = cache.by(&Index::CONTROLLER, &meta.uid);
    jobs.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    Observed { jobs, strangers, changed: changes.changed(cron, Timestamp::now()), local: TimeZone::system() }
}

/// The schedules that were last seen, and when they changed. Only a brake: what is forgotten may start one job.
#[derive(Debug, Default)]
pub struct ScheduleChanges(Mutex<HashMap<Key, Seen>>);

#[derive(Debug)]
struct Seen {
    uid: Box<str>,
    schedule: Box<str>,
    time_zone: Option<Box<str>>,
    changed: Option<Timestamp>,
}

impl ScheduleChanges {
    fn changed(&self, cron: &CronJobView, now: Timestamp) -> Option<Timestamp> {
        let spec = &cron.spec;
        let fresh = |changed| Seen {
            uid: cron.metadata.uid.clone(),
            schedule: spec.schedule.clone(),
            time_zone: spec.time_zone.clone(),
            changed,
        };
        let mut all = self.0.lock();
        let seen = all.entry(cron.key()).or_insert_with(|| fresh(None));
        if seen.uid != cron.metadata.uid {
            *seen = fresh(None);
        } else if (&seen.schedule, &seen.time_zone) != (&spec.schedule, &spec.time_zone) {
            *seen = fresh(Some(now));
        }
        seen.changed
    }
    /// The cron job is gone.
    pub fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cron(uid: &str, schedule: &str) -> CronJobView {
        let json =
            json!({"metadata": {"name": "a", "namespace": "ns", "uid": uid}, "spec": {"schedule": schedule}});
        serde_json::from_str(&json.to_string()).unwrap()
    }

    #[test]
    fn a_change_is_seen_when_there_was_something_before() {
        let changes = ScheduleChanges::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(changes.changed(&cron("u", "@daily"), at(1)), None);
        assert_eq!(changes.changed(&cron("u", "@hourly"), at(2)), Some(at(2)));
        assert_eq!(changes.changed(&cron("u", "@hourly"), at(3)), Some(at(2)));
        // Another object of the same name is no change.
        assert_eq!(changes.changed(&cron("v", "@daily"), at(4)), None);
        changes.forget(&cron("v", "").key());
        assert_eq!(changes.changed(&cron("v", "@hourly"), at(5)), None);
    }
}
