//! Kinds of the core group, `v1`.

pub(crate) mod binding;
pub(crate) mod config_map;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod limit_range;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod persistent_volume;
pub(crate) mod persistent_volume_claim;
pub(crate) mod pod;
pub(crate) mod pod_template;
pub(crate) mod replication_controller;
pub(crate) mod resource_quota;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_account;

use proa_meta::Gvk;
use proa_registry::kind::{KindDef, SubresourceDef};
use proa_schema::SchemaRef;

/// Name and schema of a kind of the group.
fn named(kind: &'static str) -> (Gvk, SchemaRef) {
    (Gvk::new("", "v1", kind), crate::facts::schema(&format!("io.k8s.api.core.v1.{kind}")))
}

fn namespaced(kind: &'static str, resource: &'static str) -> KindDef {
    let (gvk, schema) = named(kind);
    KindDef::namespaced(gvk, resource, schema)
}

/// What passes requests on to what an object of the kind stands for.
fn proxy(options: &'static str) -> SubresourceDef {
    let (gvk, schema) = named(options);
    SubresourceDef {
        name: "proxy",
        gvk,
        query: Some(schema.clone()),
        schema,
        verbs: &["create", "delete", "get", "patch", "update"],
        paths: true,
    }
}

fn cluster(kind: &'static str, resource: &'static str) -> KindDef {
    let (gvk, schema) = named(kind);
    KindDef::cluster(gvk, resource, schema)
}
