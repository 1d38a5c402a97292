//! The decision: one step of a migration. Pure.
//!
//! Waiting -> running (the definition is marked) -> the version up to which objects are migrated -> all of them patched ->
//! succeeded or failed -> no longer running (the definition is unmarked, its stored versions are cut).

use crate::{DEFINITIONS, MigrationView, observe::Observed, status};
use proa_kit::{
    Action, Kind, Meta, ObjectRef, Plan, Timestamp,
    conditions::{self, Condition},
    views::WholeView,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How long after the migration was made its resource may still come.
const PATIENCE: Duration = Duration::from_secs(60);
const MIGRATING: &str = "StorageMigrating";

/// The plan for one migration.
pub fn plan(migration: &MigrationView, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match observed {
        Observed::Nothing => {}
        Observed::Ready(definition) => {
            plan.actions.extend(definition.iter().map(|definition| mark(migration, definition, now)));
            plan.status = Some(status::running(migration, None, now));
        }
        Observed::Unknown => {
            let age = migration.metadata.creation_timestamp.map_or(PATIENCE, |at| since(at, now));
            if age < PATIENCE {
                plan.look_again(PATIENCE - age);
            } else {
                plan.status = Some(status::failed(migration, "resource does not exist in discovery", now));
            }
        }
        Observed::Unfit(why) => plan.status = Some(status::failed(migration, why, now)),
        Observed::Version(version) => plan.status = Some(status::at(migration, version)),
        Observed::Content { kind, objects } => {
            let patches: Vec<_> = candidates(migration, objects).map(|meta| touch(kind, meta)).collect();
            if patches.is_empty() {
                plan.status = Some(status::succeeded(migration, objects.len(), now));
            } else {
                plan.push(Action::parallel(patches));
            }
        }
        Observed::Over(definition) => {
            plan.actions.extend(definition.iter().map(|definition| unmark(migration, definition, now)));
            plan.status = Some(status::over(migration, now));
        }
    }
    plan
}

fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// Objects that were written after the migration began are in the new form already.
fn candidates<'m>(migration: &MigrationView, objects: &'m [Meta]) -> impl Iterator<Item = &'m Meta> {
    let last: u64 = migration.status.resource_version.parse().unwrap_or(u64::MAX);
    objects.iter().filter(move |meta| meta.resource_version <= last)
}

/// A patch that changes nothing, of this very object.
fn touch(kind: &Kind, meta: &Meta) -> Action {
    let object = ObjectRef::new(kind.clone(), &meta.namespace, &meta.name);
    Action::merge(object.with_uid(&meta.uid).at(meta.resource_version), json!({}))
}

fn mark(migration: &MigrationView, definition: &WholeView, now: Timestamp) -> Action {
    let message = format!("Migration {} is running", migration.metadata.name);
    let condition = Condition::new(MIGRATING, "True", "MigrationRunning", &message, now);
    tell(definition, condition, None)
}

/// Versions that nothing is stored in any more are forgotten, unless the definition changed meanwhile.
fn unmark(migration: &MigrationView, definition: &WholeView, now: Timestamp) -> Action {
    let generation = definition.metadata.generation;
    let is_same = told(definition)
        .iter()
        .any(|one| &*one.kind == MIGRATING && one.observed_generation == Some(generation));
    let succeeded = migration.is("Succeeded");
    let (reason, message) = match (succeeded, is_same) {
        (true, true) => {
            ("MigrationSucceeded", "The migration has succeeded and the stored versions have been updated")
        }
        (true, false) => (
            "MigrationSucceeded",
            "The migration has succeeded but the stored versions have not been updated due to a generation mismatch",
        ),
        (false, _) => ("MigrationFailed", "The migration has failed"),
    };
    let versions = definition.object["spec"]["versions"].as_array().into_iter().flatten();
    let stored = versions.filter(|version| version["storage"] == true).map(|version| version["name"].clone());
    // Of a failed one some objects may still be in an old version.
    let stored = (is_same && succeeded).then(|| stored.collect());
    tell(definition, Condition::new(MIGRATING, "False", reason, message, now), stored)
}

fn told(definition: &WholeView) -> Vec<Condition> {
    let conditions = definition.object["status"]["conditions"].clone();
    serde_json::from_value(conditions).unwrap_or_default()
}

fn tell(definition: &WholeView, mut condition: Condition, stored: Option<Vec<Value>>) -> Action {
    let meta = &definition.metadata;
    condition.observed_generation = Some(meta.generation);
    let mut all = told(definition);
    conditions::set(&mut all, condition);
    let mut status = json!({"conditions": all});
    if let Some(stored) = stored {
        status["storedVersions"] = Value::Array(stored);
    }
    let target = ObjectRef::new(DEFINITIONS, "", &meta.name).with_uid(&meta.uid).at(meta.resource_version);
    Action::merge_status(target, status)
}
