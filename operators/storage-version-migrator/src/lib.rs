//! The storage version migrator: stores all objects of a resource anew, so that none is left in an older form.
//!
//! Owns: the status of StorageVersionMigrations; the condition `StorageMigrating` of a migrated definition and, after
//! success, its stored versions. Each object that is not newer than the migration gets an empty patch: that changes
//! nothing, and the server writes it only if it is stored in another version or under another key than by now.
//! Guarantees: one migration of a resource at a time, the oldest first; objects that changed or went meanwhile count as
//! migrated; a server that is busy is asked again, any other refusal fails the migration. Nothing is remembered
//! between reconciles: one that was interrupted patches again what it had patched.
//! Upstream: pkg/controller/storageversionmigrator.

pub mod observe;
pub mod plan;
pub mod status;

use observe::Observed;
use proa_kit::{
    Change, Client, Error, Key, Kind, Meta, Operator, Plan, Read, Reader, Results, RunConfig, Timestamp,
    Typed, Watch, Write,
    conditions::{self, Condition},
    operator::operator_rules,
    views::null_as_default,
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

pub(crate) const DEFINITIONS: Kind =
    Kind::cluster("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");

/// A migration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MigrationView {
    /// Metadata.
    pub metadata: Meta,
    /// Spec.
    pub spec: MigrationSpec,
    /// Status.
    pub status: MigrationStatus,
}

proa_kit::view!(
    MigrationView,
    Kind::cluster("storagemigration.k8s.io", "v1", "StorageVersionMigration", "storageversionmigrations")
);

/// Spec of a migration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MigrationSpec {
    /// What is migrated.
    pub resource: Resource,
}

/// A resource of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// Group; empty for the core's.
    pub group: Box<str>,
    /// Plural.
    pub resource: Box<str>,
}

/// Status of a migration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationStatus {
    /// Objects up to this version are migrated.
    pub resource_version: Box<str>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Vec<Condition>,
}

impl MigrationView {
    fn is(&self, condition: &str) -> bool {
        conditions::is_true(&self.status.conditions, condition)
    }
    fn is_over(&self) -> bool {
        self.is("Succeeded") || self.is("Failed")
    }
    /// Over, and done with the definition of its resource.
    fn is_settled(&self) -> bool {
        self.is_over() && !self.is("Running")
    }
}

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct MigratorOperator;

impl Operator for MigratorOperator {
    const NAME: &'static str = "storage-version-migrator-controller";
    type Object = MigrationView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::primary::<MigrationView>().into(), Watch::mapped::<MigrationView>(next).into()]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::any()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::any(&["patch"]),
            Write::sub(&MigrationView::KIND, "status", &["patch"]),
            Write::sub(&DEFINITIONS, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, migration: &Arc<MigrationView>) -> Result<Observed, Error> {
        observe::observe(reader, migration).await
    }
    fn plan(&self, migration: &MigrationView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(migration, observed, now)
    }
    fn settle(
        &self,
        migration: &MigrationView,
        observed: &Observed,
        plan: &Plan,
        results: &Results,
        now: Timestamp,
    ) -> Option<Value> {
        status::settle(migration, observed, plan, results, now)
    }
}

/// A migration that is over or gone wakes those of the same resource that wait for it.
fn next(change: &Change<MigrationView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(old) = &change.old else { return };
    if change.new.as_ref().is_some_and(|new| !new.is_settled()) {
        return;
    }
    for other in reader.cache::<MigrationView>().list() {
        if other.spec.resource == old.spec.resource && !other.is_settled() {
            wake(Key::new("", &other.metadata.name));
        }
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    operator_rules(&MigratorOperator)
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    proa_kit::run(MigratorOperator, client, config).await;
}
