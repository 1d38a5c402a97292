//! Managed fields of `/scale`: the owners of the replicas field, seen as owners of a Scale object's.
//!
//! Differs from upstream in that an owner is recognised whatever version its entry has, so that an update through
//! `/scale` does not split entries. Upstream: apimachinery `managedfields/scalehandler.go`.

use super::{
    managed::{self, Entry},
    path_set::PathSet,
};
use serde_json::Value;

const SCALE_VERSION: &str = "autoscaling/v1";
const IN_SCALE: [&str; 2] = ["f:spec", "f:replicas"];

/// Entries for the Scale of `object`, whose replicas are at `replicas` (field names).
pub fn to_scale(object: &Value, replicas: &[&str]) -> Vec<Value> {
    let path = elements(replicas);
    let owns = |entry: &Entry| entry.fields.contains(&refs(&path));
    let owners = entries_of(managed::list_of(object)).into_iter().filter(owns).map(|mut entry| {
        entry.fields = only(&IN_SCALE);
        SCALE_VERSION.clone_into(&mut entry.api_version);
        entry
    });
    managed::encode(owners.collect())
}

/// Entries for `object` after its Scale's entries became `scale`; `api_version` is the object's.
pub fn to_parent(object: &Value, scale: &[Value], replicas: &[&str], api_version: &str) -> Vec<Value> {
    let path = elements(replicas);
    let path = refs(&path);
    let mut owners = entries_of(Some(&scale.to_vec()));
    owners.retain(|entry| entry.fields.contains(&IN_SCALE));
    let mut entries = entries_of(managed::list_of(object));
    for entry in &mut entries {
        match owners.iter().position(|owner| is_same(owner, entry)) {
            _ if !entry.fields.contains(&path) => {}
            Some(at) => drop(owners.remove(at)),
            None => entry.fields = std::mem::take(&mut entry.fields).without(&only(&path)),
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    for mut owner in owners {
        owner.fields = only(&path);
        api_version.clone_into(&mut owner.api_version);
        match entries.iter_mut().find(|entry| entry.is_same_manager(&owner)) {
            Some(entry) => {
                entry.fields.unite(owner.fields);
                entry.time = owner.time;
            }
            None => entries.push(owner),
        }
    }
    managed::encode(entries)
}

/// Gives owners through `/scale` the times that they had in `old`: as upstream, which knows none of a new one.
pub fn keep_times(old: &Value, new: &mut Value) {
    let read = |object: &Value| managed::trusted(managed::list_of(object).cloned().unwrap_or_default());
    let (Ok(before), Ok(mut entries)) = (read(old), read(new)) else { return };
    for entry in entries.iter_mut().filter(|entry| entry.subresource == "scale") {
        let known = before.iter().find(|other| other.is_same_manager(entry));
        entry.time = known.map(|known| known.time.clone()).unwrap_or_default();
    }
    managed::put_list(new, managed::encode(entries));
}

fn is_same(a: &Entry, b: &Entry) -> bool {
    (&a.manager, a.operation, &a.subresource) == (&b.manager, b.operation, &b.subresource)
}

fn entries_of(list: Option<&Vec<Value>>) -> Vec<Entry> {
    managed::foreign(list.map(Vec::as_slice).unwrap_or_default()).unwrap_or_default()
}

fn elements(path: &[&str]) -> Vec<String> {
    path.iter().map(|name| super::element::field(name)).collect()
}

fn refs(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn only(path: &[&str]) -> PathSet {
    let mut set = PathSet::default();
    set.insert(path);
    set
}
