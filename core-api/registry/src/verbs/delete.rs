//! `delete`: removal, at once or after grace and finalizers.
//!
//! An object with grace, finalizers or content is only marked: `deletionTimestamp` is set, and the write that takes the
//! last obstacle away removes it. Upstream: apiserver `pkg/registry/rest/delete.go`,
//! `pkg/registry/generic/registry/store.go`.

use super::{get::not_found, write::Stages};
use crate::{
    admission::{Operation, Options},
    commit::{Decide, Done, Verdict},
    entry::Entry,
    kind::{KindDef, Propagation},
    metadata,
    registry::Registry,
    request::{DeleteOptions, Object, Target, WriteOptions, Written},
};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use proa_meta::{ApiError, ApiResult, GroupResource, time::Time};
use serde_json::{Value, json};
use std::sync::Arc;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

impl Registry {
    /// Deletes one object.
    ///
    /// # Errors
    /// 403, 404 and 409 as upstream.
    pub async fn delete(self: &Arc<Self>, target: &Target, options: &DeleteOptions) -> ApiResult<Written> {
        if !target.subresource.is_empty() {
            let resource = target.kind.def.group_resource();
            return Err(ApiError::method_not_allowed(&resource, "delete"));
        }
        let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::default() };
        let stages = Stages::new(self, target, &write, Operation::Delete);
        let stages = Stages { asked: Options::Delete(options), ..stages };
        let key = stages.key(&target.name);
        let mut delete = Delete { stages: &stages, options, now: self.now(), last: Value::Null };
        let def = &target.kind.def;
        if let (Some(text), None) = (def.strategy.delete_warning, options.propagation) {
            stages.notes.warn(text.to_owned());
        }
        let done = self.commit(&target.kind, &key, options.dry_run, &mut delete).await;
        let warnings = stages.notes.warnings();
        match done.map_err(|error| error.with_warnings(warnings.clone()))? {
            Done::Removed(entry, revision) => {
                Ok(Written { warnings, ..removed(def, &entry, revision.0, &delete.last) })
            }
            Done::Put(entry) | Done::Unchanged(Some(entry)) => {
                let mut written = stages.written(entry, false, warnings);
                written.accepted = options.tells_of_waiting;
                Ok(written)
            }
            Done::Unchanged(None) => Err(not_found(target)),
        }
    }
}

/// What is told of a removed object; `last` is its metadata after the end of its grace.
fn removed(def: &KindDef, entry: &Entry, revision: u64, last: &Value) -> Written {
    let object = if def.strategy.returns_deleted {
        let mut object = entry.value_at(def, proa_store::Revision(revision));
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            if let Some(value) = last.get(field) {
                metadata::of(&mut object).insert(field.to_owned(), value.clone());
            }
        }
        object
    } else {
        let object = entry.stored_value(entry.revision);
        let mut details = json!({
            "name": entry.name(), "kind": def.resource, "uid": metadata::text(&object, "uid"),
        });
        if !def.gvk.group.is_empty() {
            details["group"] = json!(def.gvk.group);
        }
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    };
    Written { object: Object::Made(Arc::new(object)), created: false, accepted: false, warnings: Vec::new() }
}

struct Delete<'a> {
    stages: &'a Stages<'a>,
    options: &'a DeleteOptions,
    now: Timestamp,
    /// The metadata of the object that was decided on, as the deletion leaves it.
    last: Value,
}

impl Decide for Delete<'_> {
    fn asked_others(&self) -> bool {
        self.stages.notes.asked_others()
    }
    fn decide<'a>(&'a mut self, current: Option<&'a Arc<Entry>>) -> BoxFuture<'a, ApiResult<Verdict>> {
        Box::pin(async move {
            let stages = self.stages;
            let def = stages.def();
            let Some(current) = current else { return Err(not_found(stages.target)) };
            let old = current.value(def);
            check_preconditions(stages.target, self.options, &old)?;
            stages.mutate(&mut Value::Null, Some(&old)).await?;
            stages.admit(&stages.target.name, &Value::Null, Some(&old)).await?;
            let mut new = old.clone();
            let verdict = plan(def, &old, &mut new, self.options, self.now);
            self.last = new["metadata"].take();
            Ok(verdict)
        })
    }
}

fn check_preconditions(target: &Target, options: &DeleteOptions, old: &Value) -> ApiResult<()> {
    // Upstream names the kind where others name the resource.
    let gvk = &target.kind.def.gvk;
    let kind = GroupResource { group: gvk.group.clone(), resource: gvk.kind.clone() };
    let check = |what: &str, wanted: &Option<String>, found: &str, then: &str| match wanted {
        Some(wanted) if wanted != found => {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object \
                 might have been {then}"
            );
            Err(ApiError::conflict(&kind, &target.name, &why))
        }
        _ => Ok(()),
    };
    check("UID", &options.uid, metadata::text(old, "uid"), "deleted and then recreated")?;
    let revision = metadata::text(old, "resourceVersion");
    check("ResourceVersion", &options.resource_version, revision, "modified")
}

/// How long a deletion waits for the object's own end.
enum Grace {
    /// The kind has none, or it is over.
    None,
    /// Marked already; nothing shorter was asked.
    Pending,
    /// Marked to end at this time, after so many seconds.
    Until(Timestamp, i64),
}

/// What a delete does to an object, of which `new` is a copy that is marked. Pure.
fn plan(def: &KindDef, old: &Value, new: &mut Value, options: &DeleteOptions, now: Timestamp) -> Verdict {
    match grace(def, old, options.grace_period_seconds, now) {
        Grace::Pending => return Verdict::Unchanged,
        Grace::Until(at, seconds) => mark(new, at, seconds),
        Grace::None => {}
    }
    let finalizers = finalizers(def, old, options.propagation);
    let waits = new["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    let blocked = (def.strategy.blocks_deletion)(old);
    if !waits && finalizers.is_empty() && !blocked {
        return Verdict::Remove;
    }
    if finalizers.is_empty() {
        metadata::of(new).remove("finalizers");
    } else {
        metadata::of(new).insert("finalizers".to_owned(), json!(finalizers));
    }
    if !metadata::is_deleting(new) {
        mark(new, now, 0);
    }
    (def.strategy.mark_deleted)(new);
    Verdict::Put { object: std::mem::take(new), guards: Vec::new() }
}

fn grace(def: &KindDef, old: &Value, asked: Option<i64>, now: Timestamp) -> Grace {
    let Some(grace) = def.strategy.grace else { return Grace::None };
    if !metadata::is_deleting(old) {
        let seconds = grace(old, asked).max(0);
        return Grace::Until(now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now), seconds);
    }
    let present = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    match asked {
        _ if present == 0 => Grace::None,
        Some(shorter) if shorter < present => {
            let end = Time::parse(metadata::text(old, "deletionTimestamp")).map_or(now, Time::timestamp);
            let earlier = SignedDuration::from_secs(present - shorter.max(0));
            Grace::Until(end.saturating_sub(earlier).unwrap_or(end), shorter.max(0))
        }
        _ => Grace::Pending,
    }
}

/// Sets the deletion's time. The first time is a change that the object's controllers have to see.
fn mark(object: &mut Value, at: Timestamp, seconds: i64) {
    let first = !metadata::is_deleting(object);
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    let metadata = metadata::of(object);
    metadata.insert("deletionTimestamp".to_owned(), metadata::timestamp(at));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(seconds));
    if first && generation > 0 {
        metadata.insert("generation".to_owned(), json!(generation + 1));
    }
}

/// The finalizers after the garbage collector's two are set as the policy asks.
fn finalizers(def: &KindDef, old: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let present: Vec<&str> =
        old["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has = |name: &str| present.contains(&name);
    let policy = propagation.unwrap_or_else(|| match () {
        () if has(ORPHAN) => Propagation::Orphan,
        () if has(FOREGROUND) => Propagation::Foreground,
        () => def.strategy.default_propagation,
    });
    let kept = present.iter().filter(|f| **f != ORPHAN && **f != FOREGROUND).map(|f| (*f).to_owned());
    let mut finalizers: Vec<String> = kept.collect();
    match policy {
        Propagation::Background => {}
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
    }
    finalizers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proa_meta::Gvk;

    fn pods() -> KindDef {
        let mut def =
            KindDef::namespaced(Gvk::new("", "v1", "Pod"), "pods", proa_schema::SchemaRef::default());
        def.strategy.grace = Some(|_, asked| asked.unwrap_or(30));
        def
    }

    fn run(def: &KindDef, metadata: &Value, options: &DeleteOptions) -> Option<Value> {
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        let old = json!({"metadata": metadata});
        match plan(def, &old, &mut old.clone(), options, now) {
            Verdict::Remove => Some(Value::Null),
            Verdict::Unchanged => None,
            Verdict::Put { object, .. } => Some(object["metadata"].clone()),
        }
    }

    #[test]
    fn grace_marks_then_shortens_then_removes() {
        let def = pods();
        let asked = |seconds| DeleteOptions { grace_period_seconds: seconds, ..DeleteOptions::default() };
        let marked = run(&def, &json!({"name": "a", "generation": 1}), &asked(None)).expect("marked");
        assert_eq!(marked["deletionTimestamp"], "2026-01-01T00:00:30Z");
        assert_eq!((&marked["deletionGracePeriodSeconds"], &marked["generation"]), (&json!(30), &json!(2)));
        assert_eq!(run(&def, &marked, &asked(None)), None, "pending");
        let shorter = run(&def, &marked, &asked(Some(5))).expect("shortened");
        assert_eq!(shorter["deletionTimestamp"], "2026-01-01T00:00:05Z");
        assert_eq!(run(&def, &marked, &asked(Some(0))), Some(Value::Null));
    }

    #[test]
    fn finalizers_keep_the_object() {
        let mut def = pods();
        def.strategy.grace = None;
        let policy = |p| DeleteOptions { propagation: p, ..DeleteOptions::default() };
        assert_eq!(run(&def, &json!({"name": "a"}), &policy(None)), Some(Value::Null));
        let foreground =
            run(&def, &json!({"name": "a"}), &policy(Some(Propagation::Foreground))).expect("marked");
        assert_eq!(foreground["finalizers"], json!([FOREGROUND]));
        assert_eq!(foreground["deletionGracePeriodSeconds"], 0);
        let orphan = json!({"name": "a", "finalizers": ["x/y", FOREGROUND]});
        let orphan = run(&def, &orphan, &policy(Some(Propagation::Orphan))).expect("marked");
        assert_eq!(orphan["finalizers"], json!(["x/y", ORPHAN]));
    }
}
