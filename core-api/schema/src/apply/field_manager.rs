//! The bookkeeping of one write: create, update or apply by one manager.
//!
//! Guarantees: the result carries `metadata.managedFields`; an update that changes nothing keeps the entries as they
//! are, with their times; bookkeeping never fails an update. Objects without entries are not tracked until the first
//! apply, which first hands everything to `before-first-apply`.
//! Upstream: apimachinery `managedfields/internal/{fieldmanager,structuredmerge,managedfieldsupdater,
//! buildmanagerinfo,skipnonapplied,stripmeta,versioncheck}.go`, structured-merge-diff `merge/update.go`.

use super::{
    compare::{Difference, OWNERLESS},
    conflict::{self, Conflict},
    field_set::{field_set, reconcile},
    last_applied,
    managed::{self, Entry, Operation},
    merge::merge,
    path_set::PathSet,
    remove::prune,
    reset::Reset,
    typed,
};
use crate::schema::Schema;
use proa_meta::{ApiError, ApiResult, Reason};
use serde_json::{Map, Value};

const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Longest name of a manager that is made from a user agent.
const MAX_NAME: usize = 128;

/// One write: who writes what kind of object, through which path and when.
#[derive(Clone, Copy)]
pub struct FieldManager<'a> {
    /// Schema of the kind.
    pub schema: &'a Schema,
    /// Version that the request uses, such as `apps/v1`.
    pub api_version: &'a str,
    /// Kind of the object.
    pub kind: &'a str,
    /// Subresource that the request uses; empty for the object itself.
    pub subresource: &'a str,
    /// Name of the manager; empty becomes `unknown`.
    pub manager: &'a str,
    /// Present time, RFC 3339 to the second in UTC.
    pub now: &'a str,
    /// What this path does not own.
    pub reset: Reset<'a>,
}

/// The manager's name, or what comes before the first `/` of the user agent, without unprintable characters.
pub fn manager_or_user_agent(manager: &str, user_agent: &str) -> String {
    if !manager.is_empty() {
        return manager.to_owned();
    }
    let mut name = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if name.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        name.push(c);
    }
    name
}

/// Where the entries of an update come from.
enum Source {
    /// The stored object's, as they are.
    Stored(Vec<Value>),
    /// The request's own.
    Given(Vec<Entry>),
}

impl FieldManager<'_> {
    /// Writes the entries of a new object.
    pub fn create(&self, new: &mut Value) {
        let given = managed::take_list(new).unwrap_or_default();
        let mut entries = managed::foreign(&given).unwrap_or_default();
        self.track(&mut entries, Difference::of_new(self.schema, new, self.reset), self.manager);
        managed::put_list(new, managed::encode(entries));
    }

    /// Writes the entries of an object that was changed by anything but apply. `old` is the stored object.
    pub fn update(&self, old: &Value, new: &mut Value) {
        let source = self.source(old, managed::take_list(new));
        let is_untracked = match &source {
            Source::Stored(list) => list.is_empty(),
            Source::Given(entries) => entries.is_empty(),
        };
        if is_untracked && old.pointer("/metadata/uid").is_some() {
            return;
        }
        let difference = Difference::between(self.schema, old, new, self.reset);
        let mut entries = match source {
            Source::Stored(list) if difference.is_empty() => return managed::put_list(new, list),
            Source::Stored(list) => managed::trusted(list).unwrap_or_default(),
            Source::Given(entries) => entries,
        };
        self.track(&mut entries, difference, self.manager);
        managed::put_list(new, managed::encode(entries));
    }

    /// Subresources cannot set entries; other requests may, but not lose them by leaving them out.
    fn source(&self, old: &Value, given: Option<Vec<Value>>) -> Source {
        let stored = managed::list_of(old);
        match given {
            Some(given) if Some(&given) == stored => Source::Stored(given),
            Some(given) if self.subresource.is_empty() && managed::is_reset(&given) => {
                Source::Given(Vec::new())
            }
            Some(given) if self.subresource.is_empty() => match managed::foreign(&given) {
                Ok(entries) => Source::Given(entries),
                Err(_) => Source::Stored(stored.cloned().unwrap_or_default()),
            },
            _ => Source::Stored(stored.cloned().unwrap_or_default()),
        }
    }

    /// Moves what changed from its owners to the manager.
    fn track(&self, entries: &mut Vec<Entry>, difference: Difference, manager: &str) {
        for entry in entries.iter_mut() {
            reconcile(self.schema, &mut entry.fields);
            difference.take_from(&mut entry.fields);
        }
        entries.retain(|entry| !entry.fields.is_empty());
        let set = difference.into_set();
        if set.is_empty() {
            return;
        }
        let mut own = self.entry(Operation::Update, manager, set);
        self.now.clone_into(&mut own.time);
        match entries.iter_mut().find(|entry| entry.is_same_manager(&own)) {
            Some(entry) => {
                entry.fields.unite(own.fields);
                entry.time = own.time;
            }
            None => entries.push(own),
        }
        managed::cap_updates(entries);
    }

    fn entry(&self, operation: Operation, manager: &str, fields: PathSet) -> Entry {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        Entry {
            manager: manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: String::new(),
            fields,
        }
    }

    /// The object after `applied` was applied to `live` (`None`: it does not exist).
    ///
    /// Errors: those of [`check`](Self::check), and 409 with one cause per field in conflict unless `force`.
    pub fn apply(&self, live: Option<&Value>, applied: Value, force: bool) -> ApiResult<Value> {
        self.check(&applied)?;
        let mut entries = self.entries_of(live)?;
        let nothing = Value::Object(Map::new());
        let live = live.unwrap_or(&nothing);
        let mut object = match self.merge(live, &applied, &mut entries, force) {
            Ok(object) => object,
            Err(conflicts) => {
                self.take_over(live, conflicts)?;
                self.merge(live, &applied, &mut entries, true).map_err(conflict::error)?
            }
        };
        managed::put_list(&mut object, managed::encode(entries));
        if self.manager == last_applied::KUBECTL {
            last_applied::refresh(&mut object, applied);
        }
        Ok(object)
    }

    /// Whether a configuration may be applied at all; [`apply`](Self::apply) checks it too. Unknown fields are
    /// errors here, so this comes before they are dropped.
    ///
    /// Errors: 400 for another kind or version and for `managedFields` in the configuration, 500 with upstream's text
    /// for what the schema does not describe.
    pub fn check(&self, applied: &Value) -> ApiResult<()> {
        let text = |key: &str| applied.get(key).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if api_version != self.api_version || kind != self.kind {
            return Err(ApiError::bad_request(format!(
                "invalid object type: {}",
                gvk_text(api_version, kind)
            )));
        }
        if let Some(Value::Array(_)) = applied.pointer("/metadata/managedFields") {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        let Some(problem) = typed::problems(self.schema, applied) else { return Ok(()) };
        Err(plain(format!("failed to create typed patch object ({}): {problem}", self.describe(applied))))
    }

    /// The entries of the live object; one that nobody tracked so far gets an entry for all.
    fn entries_of(&self, live: Option<&Value>) -> ApiResult<Vec<Entry>> {
        let Some(live) = live else { return Ok(Vec::new()) };
        let list = managed::list_of(live).cloned().unwrap_or_default();
        let mut entries =
            managed::trusted(list).map_err(|e| plain(format!("failed to decode managed fields: {e}")))?;
        if entries.is_empty() {
            let all = Difference::of_new(self.schema, live, self.reset);
            self.track(&mut entries, all, BEFORE_FIRST_APPLY);
        }
        for entry in &mut entries {
            reconcile(self.schema, &mut entry.fields);
        }
        Ok(entries)
    }

    fn describe(&self, object: &Value) -> String {
        let text = |key: &str| object.pointer(key).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        format!("{namespace}/{name}; {}", gvk_text(self.api_version, self.kind))
    }

    /// Merges, prunes and moves ownership. On conflict, `entries` stay as they were.
    fn merge(
        &self,
        live: &Value,
        applied: &Value,
        entries: &mut Vec<Entry>,
        force: bool,
    ) -> Result<Value, Vec<Conflict>> {
        let mut set = field_set(self.schema, applied);
        self.reset.filter(&mut set);
        let mut own = self.entry(Operation::Apply, self.manager, PathSet::default());
        let mut merged = managed::clone_without_list(live);
        merge(self.schema, &mut merged, applied);
        if let Some(last) = entries.iter().find(|entry| entry.is_same_manager(&own)) {
            own.time.clone_from(&last.time);
            if !last.fields.is_subset(&set) {
                let others = entries.iter().filter(|entry| !entry.is_same_manager(&own));
                merged = prune(self.schema, merged, &last.fields, &owned_by(&set, others));
            }
        }
        let difference = Difference::between(self.schema, live, &merged, self.reset);
        self.settle(entries, difference, &own, force)?;
        if !managed::is_equal_but_entries(live, &merged) {
            self.now.clone_into(&mut own.time);
        }
        strip(&mut set);
        if !set.is_empty() {
            entries.push(Entry { fields: set, ..own });
        }
        Ok(merged)
    }

    /// Takes what changes from the others, or reports that it is theirs; drops the manager's former entry.
    fn settle(
        &self,
        entries: &mut Vec<Entry>,
        difference: Difference,
        own: &Entry,
        force: bool,
    ) -> Result<(), Vec<Conflict>> {
        let removed = difference.removed.clone();
        let changed = difference.into_set();
        let others = || entries.iter().filter(|entry| !entry.is_same_manager(own));
        let conflicts: Vec<_> = others().filter_map(|entry| Conflict::of(entry, &changed)).collect();
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        entries.retain_mut(|entry| {
            if entry.is_same_manager(own) {
                return false;
            }
            entry.fields.subtract(&changed);
            entry.fields.subtract(&removed);
            !entry.fields.is_empty()
        });
        Ok(())
    }

    /// Whether kubectl may take fields over that it set by client-side apply; reports the other conflicts.
    fn take_over(&self, live: &Value, mut conflicts: Vec<Conflict>) -> ApiResult<()> {
        let allowed = match self.manager {
            last_applied::KUBECTL => last_applied::allowed_conflicts(self.schema, self.api_version, live),
            _ => None,
        };
        let Some(allowed) = allowed else { return Err(conflict::error(conflicts)) };
        conflicts.retain_mut(|conflict| {
            conflict.fields = std::mem::take(&mut conflict.fields).without(&allowed);
            !conflict.fields.is_empty()
        });
        if conflicts.is_empty() { Ok(()) } else { Err(conflict::error(conflicts)) }
    }
}

/// What the manager's new set and all others own.
fn owned_by<'e>(set: &PathSet, others: impl Iterator<Item = &'e Entry>) -> PathSet {
    let mut owned = set.clone();
    for other in others {
        owned.unite(other.fields.clone());
    }
    owned
}

/// Removes what no manager owns from the fields of a configuration.
fn strip(set: &mut PathSet) {
    set.0.remove("f:apiVersion");
    set.0.remove("f:kind");
    let Some(Value::Object(metadata)) = set.0.get_mut("f:metadata") else { return };
    metadata.retain(|key, _| key.strip_prefix("f:").is_some_and(|name| !OWNERLESS.contains(&name)));
    if metadata.is_empty() {
        set.0.remove("f:metadata");
    }
}

/// An error that upstream answers with 500 and its plain text.
fn plain(message: String) -> ApiError {
    ApiError::new(Reason::Unknown, message)
}

/// Group, version and kind as Go prints them: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
fn gvk_text(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}
