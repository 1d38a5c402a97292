//! What a migration's status says. Pure.
//!
//! Upstream: pkg/controller/storageversionmigrator/{storageversionmigrator,util}.go.

use crate::{MigrationView, observe::Observed};
use proa_kit::{
    Error, Plan, Results, Timestamp,
    conditions::{self, Condition},
};
use serde_json::{Value, json};

const FAILED: &str = "StorageVersionMigrationFailed";

/// The status after the patches: as planned, unless there were any.
pub(crate) fn settle(
    migration: &MigrationView,
    observed: &Observed,
    plan: &Plan,
    results: &Results,
    now: Timestamp,
) -> Option<Value> {
    let Observed::Content { objects, .. } = observed else {
        // What had to come before the status did not come about.
        return if results.error().is_some() { None } else { plan.status.clone() };
    };
    if plan.actions.is_empty() {
        return plan.status.clone();
    }
    let total = objects.len();
    // Who changed or removed an object has migrated it.
    let is_done = |error: &Error| error.is_conflict() || error.is_not_found();
    let errors = results.0.iter().filter_map(|result| result.as_ref().err()).filter(|error| !is_done(error));
    let left = errors.clone().count();
    let failure = errors.clone().find(|error| !is_passing(error));
    match (failure, errors.clone().next()) {
        (Some(error), _) => {
            let why = format!("{left}/{total} not yet migrated. {}", unhandled(&error.message()));
            let running = with(migration, running_condition(Some((left, total, None)), now));
            let failed = Condition::new("Failed", "True", FAILED, &why, now);
            Some(with_version(migration, &added(running, failed)))
        }
        (None, Some(error)) => Some(running(migration, Some((left, total, Some(&error.message()))), now)),
        (None, None) => Some(succeeded(migration, total, now)),
    }
}

/// The server was busy or not there: it is asked again.
fn is_passing(error: &Error) -> bool {
    error.code().is_none_or(|code| code == 429 || code >= 500)
}

fn unhandled(why: &str) -> String {
    format!("migration encountered unhandled error: {why}")
}

/// How many objects are left, of how many, and what went wrong for now.
type Progress<'a> = Option<(usize, usize, Option<&'a str>)>;

fn running_condition(progress: Progress<'_>, now: Timestamp) -> Condition {
    let mut message = "The migration is running".to_owned();
    if let Some((left, total, passing)) = progress {
        match (left, total) {
            (_, 0) => {}
            (0, total) => message += &format!(", {total} objects verified migrated"),
            (left, total) => message += &format!(", {left}/{total} objects not yet migrated"),
        }
        if let Some(error) = passing {
            message += &format!("; transient error: {error}");
        }
    }
    Condition::new("Running", "True", "MigrationRunning", &message, now)
}

pub(crate) fn running(migration: &MigrationView, progress: Progress<'_>, now: Timestamp) -> Value {
    with_version(migration, &with(migration, running_condition(progress, now)))
}

pub(crate) fn at(migration: &MigrationView, version: &str) -> Value {
    json!({"resourceVersion": version, "conditions": migration.status.conditions})
}

pub(crate) fn succeeded(migration: &MigrationView, total: usize, now: Timestamp) -> Value {
    let running = with(migration, running_condition(Some((0, total, None)), now));
    let done =
        Condition::new("Succeeded", "True", "StorageVersionMigrationSucceeded", "Migration completed", now);
    with_version(migration, &added(running, done))
}

pub(crate) fn failed(migration: &MigrationView, why: &str, now: Timestamp) -> Value {
    with_version(migration, &with(migration, Condition::new("Failed", "True", FAILED, why, now)))
}

pub(crate) fn over(migration: &MigrationView, now: Timestamp) -> Value {
    let mut condition = Condition::new("Running", "False", "MigrationCompleted", "Migration completed", now);
    condition.observed_generation = Some(migration.metadata.generation).filter(|generation| *generation > 0);
    with_version(migration, &with(migration, condition))
}

fn with(migration: &MigrationView, condition: Condition) -> Vec<Condition> {
    added(migration.status.conditions.clone(), condition)
}

fn added(mut all: Vec<Condition>, condition: Condition) -> Vec<Condition> {
    conditions::set(&mut all, condition);
    all
}

fn with_version(migration: &MigrationView, conditions: &[Condition]) -> Value {
    let mut status = json!({"conditions": conditions});
    if !migration.status.resource_version.is_empty() {
        status["resourceVersion"] = json!(migration.status.resource_version);
    }
    status
}
