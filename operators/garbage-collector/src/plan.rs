//! The decision about one object: keep, let go, delete, or wait. Pure but for questions about absent owners.
//!
//! Upstream: pkg/controller/garbagecollector/garbagecollector.go (attemptToDeleteItem, orphanDependents).

use crate::index::{FOREGROUND, Graph, Node, ORPHAN, Uid, absent::Known, uid};
use proa_kit::{Action, Meta, ObjectRef, Plan, action::Propagation, finalizers, views::Owner};
use serde_json::{Value, json};
use std::sync::Arc;

/// What an owner reference stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The owner exists.
    Solid,
    /// It does not.
    Dangling,
    /// It waits for its dependents to go.
    Waiting,
    /// The API server has been asked.
    Unknown,
}

/// The plan for one object.
pub fn plan(item: Uid, graph: &mut Graph) -> Plan {
    let mut plan = Plan::default();
    let Some(node) = graph.get(item).cloned() else { return plan };
    let Some(target) = graph.reference(&node) else { return plan };
    let meta = &node.object.metadata;
    if !meta.is_deleting() {
        plan.actions = collect(item, &target, meta, graph);
    } else if meta.has_finalizer(ORPHAN) {
        plan.actions = orphan(item, &target, meta, graph);
    } else if node.is_waiting() && !graph.dependents(item).any(|dependent| dependent.blocks(&meta.uid)) {
        plan.actions.extend(finalizers::remove(target, meta, FOREGROUND));
    }
    plan
}

/// Lets all dependents go, then the owner. Nothing is let go while a dependent could not be.
fn orphan(item: Uid, target: &ObjectRef, meta: &Meta, graph: &Graph) -> Vec<Action> {
    let release = |dependent: &Node| {
        let kept = dependent.object.metadata.owners.iter().filter(|owner| owner.uid != meta.uid);
        Some(owners_patch(graph.reference(dependent)?, &dependent.object.metadata, &kept.collect::<Vec<_>>()))
    };
    let releases: Vec<Action> = graph.dependents(item).filter_map(release).collect();
    let mut actions = Vec::with_capacity(2);
    if !releases.is_empty() {
        actions.push(Action::parallel(releases));
    }
    actions.extend(finalizers::remove(target.clone(), meta, ORPHAN));
    actions
}

fn collect(item: Uid, target: &ObjectRef, meta: &Meta, graph: &mut Graph) -> Vec<Action> {
    if meta.owners.is_empty() {
        return Vec::new();
    }
    let mut actions = foreign(target, meta, graph);
    let standings: Vec<Standing> =
        meta.owners.iter().map(|owner| standing(item, owner, meta, graph)).collect();
    let has = |standing| standings.contains(&standing);
    if has(Standing::Unknown) {
        return actions;
    }
    for owner in &meta.owners {
        let (id, namespace) = (uid(&owner.uid), looked_up_in(owner, meta, graph));
        graph.answers.used(id, &namespace);
    }
    if has(Standing::Solid) {
        if has(Standing::Dangling) || has(Standing::Waiting) {
            let pairs = meta.owners.iter().zip(&standings);
            let kept = pairs.filter(|(_, standing)| **standing == Standing::Solid).map(|(owner, _)| owner);
            actions.push(owners_patch(target.clone(), meta, &kept.collect::<Vec<_>>()));
        }
        return actions;
    }
    if has(Standing::Waiting) && graph.dependents(item).next().is_some() {
        if graph.dependents(item).any(Node::is_waiting) {
            // Two that wait for each other would wait for ever.
            actions.push(unblocking_patch(target, meta));
            return actions;
        }
        actions.push(delete(target, meta, Propagation::Foreground));
        return actions;
    }
    let propagation = if meta.has_finalizer(ORPHAN) {
        Propagation::Orphan
    } else if meta.has_finalizer(FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    actions.push(delete(target, meta, propagation));
    actions
}

fn delete(target: &ObjectRef, meta: &Meta, propagation: Propagation) -> Action {
    // The version too: someone may have added an owner meanwhile.
    Action::delete(target.clone().at(meta.resource_version)).propagating(propagation)
}

/// Where an owner's name is looked up: its own kind may be cluster-scoped.
fn looked_up_in(owner: &Owner, meta: &Meta, graph: &Graph) -> Box<str> {
    if graph.kind_of(owner).is_some_and(|kind| !kind.namespaced) { "".into() } else { meta.namespace.clone() }
}

fn standing(item: Uid, owner: &Owner, meta: &Meta, graph: &mut Graph) -> Standing {
    if let Some(node) = graph.owner(owner, &meta.namespace) {
        return if node.is_waiting() { Standing::Waiting } else { Standing::Solid };
    }
    let Some(kind) = graph.kind_of(owner).cloned() else {
        // The kind may be served again.
        graph.answers.unresolved(item);
        return Standing::Unknown;
    };
    if kind.namespaced && meta.namespace.is_empty() {
        // Not allowed, and never resolved: it is left alone.
        return Standing::Solid;
    }
    let namespace = if kind.namespaced { &*meta.namespace } else { "" };
    match graph.answers.known(uid(&owner.uid), namespace) {
        Some(Known::Absent) => Standing::Dangling,
        Some(Known::Present { waiting: true }) => Standing::Waiting,
        Some(Known::Present { waiting: false }) => Standing::Solid,
        None => {
            graph.answers.ask(owner, ObjectRef::new(kind, namespace, &owner.name), item);
            Standing::Unknown
        }
    }
}

/// Warnings about owners that exist, but in another namespace.
fn foreign(target: &ObjectRef, meta: &Meta, graph: &Graph) -> Vec<Action> {
    let elsewhere = |owner: &&Owner| {
        let kind = graph.kind_of(owner);
        graph.get(uid(&owner.uid)).is_some_and(|node| {
            kind.is_some_and(|kind| kind.namespaced) && node.object.metadata.namespace != meta.namespace
        })
    };
    let warn = |owner: &Owner| {
        let note = format!(
            "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace \"{}\"",
            owner.api_version, owner.kind, meta.namespace, owner.name, owner.uid, meta.namespace
        );
        Action::warning(&Arc::new(target.clone()), "OwnerRefInvalidNamespace", note)
    };
    meta.owners.iter().filter(elsewhere).map(warn).collect()
}

fn owners_patch(target: ObjectRef, meta: &Meta, owners: &[&Owner]) -> Action {
    let list: Vec<Value> = owners.iter().map(|owner| reference(owner, owner.block_owner_deletion)).collect();
    // A whole list at a version, since custom kinds know no strategic merge.
    Action::merge(target.at(meta.resource_version), json!({"metadata": {"ownerReferences": list}}))
}

fn unblocking_patch(target: &ObjectRef, meta: &Meta) -> Action {
    let list: Vec<Value> = meta.owners.iter().map(|owner| reference(owner, false)).collect();
    let blocks = meta.owners.iter().any(|owner| owner.block_owner_deletion);
    if blocks {
        Action::merge(
            target.clone().at(meta.resource_version),
            json!({"metadata": {"ownerReferences": list}}),
        )
    } else {
        delete(target, meta, Propagation::Foreground)
    }
}

fn reference(owner: &Owner, blocks: bool) -> Value {
    let mut value =
        json!({"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid});
    if owner.controller {
        value["controller"] = json!(true);
    }
    if owner.block_owner_deletion {
        value["blockOwnerDeletion"] = json!(blocks);
    }
    value
}
