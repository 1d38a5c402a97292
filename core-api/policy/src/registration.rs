//! APIServices of what the server answers itself: one for each version of each group.
//!
//! Built-in groups get theirs when the server starts, and their users may change or remove them until the next start
//! (`onstart`); those of definitions follow the definitions (`true`). Objects without the label are somebody else's. The
//! task wakes when the catalogue or an APIService changes. Upstream: kube-aggregator
//! `pkg/controllers/autoregister`, `pkg/controlplane/controller/crdregistration`.

mod priorities;
use crate::{
    bootstrap::Wanted,
    objects::{self, API_SERVICES, Meta},
    task::RETRY,
};
use futures::future::try_join_all;
use proa_meta::{ApiError, ApiResult, Reason};
use proa_registry::{
    Entry, Kind, Registry,
    registry::{Catalogue, Priority},
    request::{Body, DeleteOptions, Target, WriteOptions},
};
use proa_store::Revision;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Says how an APIService follows what is served.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const ON_START: &str = "onstart";
const ALWAYS: &str = "true";
/// The group of APIServices themselves has none, as upstream.
const OWN_GROUP: &str = "apiregistration.k8s.io";
const FIELD_MANAGER: &str = "kube-apiserver";

/// APIServices of built-in groups, for the start.
pub(crate) fn builtin(registry: &Registry) -> Vec<Wanted> {
    let catalogue = registry.catalogue();
    let served = versions(&catalogue, false).filter_map(|(group, version)| {
        let priority = priorities::of(group, version)?;
        let object = object(group, version, priority, ON_START);
        Some(Wanted { gvr: API_SERVICES, object, reconcile: follow })
    });
    served.collect()
}

/// Versions of groups that have a kind of that sort; groups that have both are built in.
fn versions(catalogue: &Catalogue, custom: bool) -> impl Iterator<Item = (&str, &str)> {
    let groups = catalogue.groups().iter().filter(|group| group.name != OWN_GROUP);
    let all = groups.flat_map(|group| group.versions.iter().map(move |version| (group, version)));
    let wanted = all.filter(move |(_, version)| version.kinds.values().all(|k| k.def.custom) == custom);
    wanted.map(|(group, version)| (group.name.as_str(), version.name.as_str()))
}

fn object(group: &str, version: &str, priority: Priority, managed: &str) -> Value {
    let mut spec = json!({
        "version": version, "groupPriorityMinimum": priority.group, "versionPriority": priority.version,
    });
    if !group.is_empty() {
        spec["group"] = json!(group);
    }
    let metadata = json!({"name": format!("{version}.{group}"), "labels": {MANAGED: managed}});
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec})
}

/// The wanted spec, unless the object is somebody else's.
fn follow(existing: &Value, wanted: &Value) -> Option<Value> {
    let is_managed = matches!(existing["metadata"]["labels"][MANAGED].as_str(), Some(ON_START | ALWAYS));
    if !is_managed || existing["spec"] == wanted["spec"] {
        return None;
    }
    let mut changed = existing.clone();
    changed["spec"] = wanted["spec"].clone();
    Some(changed)
}

/// Runs until the registry is gone or the task is dropped.
pub async fn run(registry: Arc<Registry>) {
    let Ok(kind) = objects::kind(&registry, &API_SERVICES) else {
        tracing::error!("APIServices are not served: none are made for definitions");
        return;
    };
    let (mut changed, mut catalogue) = (kind.changed(), registry.catalogue_changed());
    let mut at_start = true;
    // Objects that were looked at in this revision and are as they should be.
    let mut right = HashMap::new();
    loop {
        changed.borrow_and_update();
        catalogue.borrow_and_update();
        match reconcile(&registry, &kind, &mut right, at_start).await {
            Ok(()) => at_start = false,
            Err(error) => {
                tracing::warn!(%error, "registering served groups failed and is tried again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        let gone = tokio::select! {
            changed = changed.changed() => changed.is_err(),
            changed = catalogue.changed() => changed.is_err(),
        };
        if gone {
            return;
        }
    }
}

/// What is to be done about one APIService.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create(String),
    Change(String),
    Remove(String),
}

/// What is read of a managed APIService.
#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    metadata: Meta,
    spec: Value,
}

async fn reconcile(
    registry: &Arc<Registry>,
    kind: &Arc<Kind>,
    right: &mut HashMap<String, Revision>,
    at_start: bool,
) -> ApiResult<()> {
    let catalogue = registry.catalogue();
    let name = |(group, version): (&str, &str)| format!("{version}.{group}");
    let wanted: BTreeMap<String, Value> = versions(&catalogue, true)
        .map(|(group, version)| (name((group, version)), object(group, version, Priority::USUAL, ALWAYS)))
        .collect();
    let builtin: BTreeSet<String> = versions(&catalogue, false).map(name).collect();
    let snapshot = kind.snapshot();
    right.retain(|name, _| wanted.contains_key(name));
    let present = snapshot.iter().map(|entry| (entry.name(), entry.label(MANAGED).unwrap_or_default()));
    let differs = |name: &str| {
        let Some((entry, wanted)) = snapshot.get("", name).zip(wanted.get(name)) else { return false };
        if right.get(name) == Some(&entry.revision) {
            return false;
        }
        let differs = entry.decode::<View>().is_ok_and(|view| view.spec != wanted["spec"]);
        if !differs {
            right.insert(name.to_owned(), entry.revision);
        }
        differs
    };
    let steps = steps(&wanted.keys().map(String::as_str).collect(), &builtin, present, differs, at_start);
    let writes = steps.into_iter().map(|step| act(registry, kind, &snapshot, &wanted, step));
    try_join_all(writes).await.map(drop)
}

/// Upstream's table: what is wanted always, what there is, and what the start alone cleans up.
fn steps<'a>(
    wanted: &BTreeSet<&str>,
    builtin: &BTreeSet<String>,
    present: impl Iterator<Item = (&'a str, &'a str)>,
    mut differs: impl FnMut(&str) -> bool,
    at_start: bool,
) -> Vec<Step> {
    let mut missing = wanted.clone();
    let mut steps = Vec::new();
    for (name, managed) in present {
        let is_wanted = missing.remove(name);
        match managed {
            ALWAYS if is_wanted && differs(name) => steps.push(Step::Change(name.to_owned())),
            ALWAYS if !is_wanted && !builtin.contains(name) => steps.push(Step::Remove(name.to_owned())),
            ON_START if at_start && is_wanted && differs(name) => steps.push(Step::Change(name.to_owned())),
            ON_START if at_start && !is_wanted && !builtin.contains(name) => {
                steps.push(Step::Remove(name.to_owned()));
            }
            _ => {}
        }
    }
    steps.extend(missing.into_iter().map(|name| Step::Create(name.to_owned())));
    steps
}

async fn act(
    registry: &Arc<Registry>,
    kind: &Arc<Kind>,
    snapshot: &proa_registry::state::Snapshot,
    wanted: &BTreeMap<String, Value>,
    step: Step,
) -> ApiResult<()> {
    let target = |name: &str| Target {
        kind: kind.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        subresource: String::new(),
        user: objects::server_user(),
    };
    let options = WriteOptions { field_manager: FIELD_MANAGER.to_owned(), ..WriteOptions::default() };
    let body = |value: Value| Body { value, issues: Vec::new() };
    let present = |name: &str| -> Option<&Arc<Entry>> { snapshot.get("", name) };
    let done = match &step {
        Step::Create(name) => match wanted.get(name) {
            Some(object) => registry.create(&target(""), body(object.clone()), &options).await.map(drop),
            None => Ok(()),
        },
        Step::Change(name) => match (present(name), wanted.get(name)) {
            (Some(entry), Some(object)) => {
                let mut changed = entry.value(&kind.def);
                changed["spec"] = object["spec"].clone();
                registry.update(&target(name), body(changed), &options).await.map(drop)
            }
            _ => Ok(()),
        },
        Step::Remove(name) => {
            let view: View = present(name).and_then(|entry| entry.decode().ok()).unwrap_or_default();
            let options = DeleteOptions { uid: Some(view.metadata.uid), ..DeleteOptions::default() };
            registry.delete(&target(name), &options).await.map(drop)
        }
    };
    // Somebody else was faster, which wakes this task again.
    let raced = |error: &ApiError| {
        matches!(error.reason(), Reason::AlreadyExists | Reason::Conflict | Reason::NotFound)
    };
    match done {
        Err(error) if !raced(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_for(wanted: &[&str], present: &[(&str, &str)], at_start: bool) -> Vec<String> {
        let builtin = ["v1.apps".to_owned()].into();
        let wanted = wanted.iter().copied().collect();
        let differs = |name: &str| name.starts_with("v2");
        let steps = steps(&wanted, &builtin, present.iter().copied(), differs, at_start);
        steps.iter().map(|step| format!("{step:?}")).collect()
    }

    #[test]
    fn definitions_are_followed_and_other_objects_are_left_alone() {
        let create = r#"Create("v1.a.io")"#;
        assert_eq!(steps_for(&["v1.a.io"], &[], false), [create]);
        assert!(steps_for(&["v1.a.io"], &[("v1.a.io", ALWAYS)], false).is_empty());
        assert_eq!(steps_for(&["v2.a.io"], &[("v2.a.io", ALWAYS)], false), [r#"Change("v2.a.io")"#]);
        assert!(steps_for(&["v2.a.io"], &[("v2.a.io", "")], false).is_empty(), "somebody else's");
        assert_eq!(steps_for(&[], &[("v1.a.io", ALWAYS)], false), [r#"Remove("v1.a.io")"#]);
        assert!(steps_for(&[], &[("v1.a.io", ""), ("v1.apps", ALWAYS)], true).is_empty());
    }

    #[test]
    fn what_earlier_servers_had_built_in_goes_at_the_start_only() {
        let old = [("v1beta1.old.io", ON_START), ("v1.apps", ON_START)];
        assert_eq!(steps_for(&[], &old, true), [r#"Remove("v1beta1.old.io")"#]);
        assert!(steps_for(&[], &old, false).is_empty());
    }

    #[test]
    fn managed_objects_follow_at_the_start() {
        let wanted = object("apps", "v1", Priority { group: 17_800, version: 15 }, ON_START);
        assert_eq!(wanted["metadata"]["name"], "v1.apps");
        assert_eq!(follow(&wanted, &wanted), None);
        let mut changed = wanted.clone();
        changed["spec"]["versionPriority"] = json!(1);
        assert_eq!(follow(&changed, &wanted), Some(wanted.clone()));
        changed["metadata"]["labels"] = json!({});
        assert_eq!(follow(&changed, &wanted), None);
    }
}
