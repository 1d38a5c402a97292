//! What the next step of a migration needs.

use crate::{DEFINITIONS, MigrationView, Resource};
use proa_kit::{
    Error, Kind, Meta, ObjectRef, Reader, discovery,
    views::{ObjectView, WholeView},
};
use serde_json::Value;
use std::sync::Arc;

/// Verbs that a migrated resource must have.
const VERBS: [&str; 3] = ["update", "patch", "list"];

/// What was read.
#[derive(Clone, Debug, Default)]
pub enum Observed {
    /// Nothing is to be done, or another migration of the resource comes first.
    #[default]
    Nothing,
    /// It may start; the definition of its resource, if it has one.
    Ready(Option<WholeView>),
    /// The resource is not served.
    Unknown,
    /// The resource cannot be migrated, and why.
    Unfit(String),
    /// The present version of the resource's list.
    Version(Box<str>),
    /// What is there.
    Content {
        /// The kind.
        kind: Kind,
        /// The objects' metadata.
        objects: Vec<Meta>,
    },
    /// It is over, and still said to be running.
    Over(Option<WholeView>),
}

/// Reads it.
pub async fn observe(reader: &Reader, migration: &MigrationView) -> Result<Observed, Error> {
    let resource = &migration.spec.resource;
    match (migration.is("Running"), migration.is_over()) {
        (true, true) => return definition(reader, resource).await.map(Observed::Over),
        (false, true) => return Ok(Observed::Nothing),
        (false, false) if !is_first(migration, &reader.cache::<MigrationView>().list()) => {
            return Ok(Observed::Nothing);
        }
        (false, false) => return definition(reader, resource).await.map(Observed::Ready),
        (true, false) => {}
    }
    let served = discovery::discover(reader).await?.kinds;
    let is_it = |kind: &Kind| kind.group == *resource.group && kind.plural == *resource.resource;
    let Some(served) = served.into_iter().find(|served| is_it(&served.kind)) else {
        return Ok(Observed::Unknown);
    };
    let kind = served.kind.clone();
    if !served.can(&VERBS) {
        let name = format!("{}/{}, Resource={}", kind.group, kind.version, kind.plural);
        let verbs = VERBS.join(" ");
        return Ok(Observed::Unfit(format!(
            "resource {name:?} does not support discovery operations: [{verbs}]"
        )));
    }
    if migration.status.resource_version.is_empty() {
        return version(reader, &kind).await.map(Observed::Version);
    }
    let listed = reader.list::<ObjectView>(&kind, "").await?;
    let objects = listed.items.into_iter().map(|object| object.metadata).collect();
    Ok(Observed::Content { kind, objects })
}

/// The version of the list of all objects, with as few of them as can be.
async fn version(reader: &Reader, kind: &Kind) -> Result<Box<str>, Error> {
    let path = format!("{}?limit=1", kind.path("", "", ""));
    let page: Value = reader.fetch(&path, "application/json").await?;
    Ok(page["metadata"]["resourceVersion"].as_str().unwrap_or_default().into())
}

/// Whether no other migration of the resource runs, and none that waits is older.
fn is_first(migration: &MigrationView, all: &[Arc<MigrationView>]) -> bool {
    let age = |one: &MigrationView| (one.metadata.creation_timestamp, one.metadata.name.clone());
    let mut others = all.iter().filter(|other| {
        other.spec.resource == migration.spec.resource
            && other.metadata.name != migration.metadata.name
            && !other.is_settled()
    });
    others.all(|other| !other.is("Running") && age(other) > age(migration))
}

async fn definition(reader: &Reader, resource: &Resource) -> Result<Option<WholeView>, Error> {
    if resource.group.is_empty() {
        return Ok(None);
    }
    let name = format!("{}.{}", resource.resource, resource.group);
    reader.get(&ObjectRef::new(DEFINITIONS, "", &name)).await
}
