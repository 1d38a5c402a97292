//! Kinds of the group `apps`, `v1`.

pub(crate) mod controller_revision;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod replica_set;
pub(crate) mod rollout;
pub(crate) mod stateful_set;

use crate::{cursor::Cursor, facts, pod_spec::template, selector};
use proa_meta::{FieldErrors, Gvk};
use proa_registry::kind::{KindDef, Scale};
use proa_schema::SchemaRef;

fn named(kind: &'static str) -> (Gvk, SchemaRef) {
    (Gvk::new("apps", "v1", kind), facts::schema(&format!("io.k8s.api.apps.v1.{kind}")))
}

fn namespaced(kind: &'static str, resource: &'static str) -> KindDef {
    let (gvk, schema) = named(kind);
    KindDef::namespaced(gvk, resource, schema)
}

pub(crate) fn scale() -> Scale {
    Scale {
        spec_replicas: ".spec.replicas".into(),
        status_replicas: ".status.replicas".into(),
        selector: Some(".spec.selector".into()),
    }
}

/// Selector and template of Deployments and ReplicaSets. Upstream names both of them in the text on empty selectors.
fn selector_and_template(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let own = spec.get("selector");
    if !own.is_set() {
        own.required(errors, "");
    } else {
        selector::validate(&own, errors);
        if selector::is_empty(own.value()) {
            own.invalid(errors, "empty selector is invalid for deployment");
        }
    }
    if selector::matches(own.value(), &serde_json::Value::Null).is_none() {
        return own.invalid(errors, "invalid label selector");
    }
    if !own.is_set() || !selector::is_empty(own.value()) {
        template::selected(spec, errors);
    }
    let at = spec.get("template");
    template::template(&at, errors);
    template::runs_for_ever(&at, "ReplicaSet", errors);
}

/// Numbers of a status that are not negative.
pub(crate) fn counts(status: &Cursor<'_, '_>, fields: &[&str], errors: &mut FieldErrors) {
    for field in fields {
        status.get(field).non_negative(errors);
    }
}

/// Some of the replicas are not more than all of them, and the available ones not more than the ready ones.
pub(crate) fn parts_of_replicas(status: &Cursor<'_, '_>, parts: &[&str], errors: &mut FieldErrors) {
    parts_of_all(status, parts, "readyReplicas", errors);
}

/// As above; upstream's texts name the ready ones in two ways.
fn parts_of_all(status: &Cursor<'_, '_>, parts: &[&str], ready: &str, errors: &mut FieldErrors) {
    let number = |field: &str| status.int_of(field);
    for part in parts.iter().filter(|part| number(part) > number("replicas")) {
        let shown = number(part).into();
        status.get(part).with(&shown).invalid(errors, "cannot be greater than status.replicas");
    }
    if number("availableReplicas") > number("readyReplicas") {
        let shown = number("availableReplicas").into();
        let at = status.get("availableReplicas");
        at.with(&shown).invalid(errors, &format!("cannot be greater than {ready}"));
    }
}

/// The counter of name collisions only grows.
fn collisions(new: &Cursor<'_, '_>, old: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (now, before) = (new.get("collisionCount"), old.get("collisionCount"));
    if before.is_set() && now.int() < before.int() {
        now.with(&now.int().into()).invalid(errors, "cannot be decremented");
    }
}
