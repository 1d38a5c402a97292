//! The only way to change anything: a compare-and-swap loop around a repeatable decision.
//!
//! Flow: read the published entry; decide what to write; send the write with its expectation and guards to the
//! store's one writer; on a conflict decide again, after the first conflict in the key's turn. Guarantees: what a
//! decision saw is what its write replaced (object and guards); nothing is visible before it is durable. A decision may
//! run several times and must not have effects.
//! Upstream: apiserver `pkg/storage/interfaces.go`, GuaranteedUpdate.

use crate::{
    charge::{self, Beside},
    claims,
    entry::{Entry, encode_as, storage_key},
    kind::KindDef,
    metadata,
    registry::{Kind, Registry},
    verbs::canonical_form,
};
use futures::future::BoxFuture;
use proa_meta::{ApiError, ApiResult, Reason};
use proa_schema::apply::{FieldManager, Reset};
use proa_store::{CommitError, Expect, Guard, Key, Op, Revision, Write};
use serde_json::Value;
use std::sync::Arc;

/// Conflicts after which a write gives up. Turns make more than a few impossible but for guards that keep changing.
const MOST_CONFLICTS: usize = 64;

/// What a decision wants done.
pub(crate) enum Verdict {
    /// Store this object (in the version of the kind; it is converted here).
    Put {
        /// The object.
        object: Value,
        /// What else must still hold.
        guards: Vec<Guard>,
    },
    /// Remove the object.
    Remove,
    /// Nothing to do.
    Unchanged,
}

impl Verdict {
    fn object(&self) -> Option<&Value> {
        match self {
            Self::Put { object, .. } => Some(object),
            Self::Remove | Self::Unchanged => None,
        }
    }
}

/// Decides from the present object what to write.
pub(crate) trait Decide: Send {
    /// Whether the decision waits for others than this process: then it holds no turn that others wait for, who may be
    /// the very ones that it asks.
    fn asked_others(&self) -> bool {
        false
    }
    /// The line of those who charge the same objects as this write; none when it charges nothing.
    fn line(&self) -> Option<Key> {
        None
    }
    /// What changes with the decided object, in the same write. Repeatable.
    fn charge<'a>(
        &'a mut self,
        object: &'a Value,
        current: Option<&'a Arc<Entry>>,
    ) -> BoxFuture<'a, ApiResult<Vec<Beside>>> {
        let _ = (object, current);
        Box::pin(async { Ok(Vec::new()) })
    }
    /// Repeatable: called again after a conflict.
    fn decide<'a>(&'a mut self, current: Option<&'a Arc<Entry>>) -> BoxFuture<'a, ApiResult<Verdict>>;
}

/// What was done.
pub(crate) enum Done {
    /// Stored, or (dry run) would have been.
    Put(Arc<Entry>),
    /// Removed at this revision; the last state.
    Removed(Arc<Entry>, Revision),
    /// Left as it is; none when there is no object.
    Unchanged(Option<Arc<Entry>>),
}

impl Registry {
    /// Runs the loop for one object.
    pub(crate) async fn commit(
        &self,
        kind: &Kind,
        key: &Key,
        dry_run: bool,
        decide: &mut dyn Decide,
    ) -> ApiResult<Done> {
        let mut turn = None;
        for _ in 0..MOST_CONFLICTS {
            let present = kind.state.get(key);
            let current = self.one_in_version(kind, present.clone()).await?;
            let verdict = decide.decide(current.as_ref()).await?;
            let charging = decide.line().and_then(|line| Some((line, verdict.object()?.clone())));
            let (verdict, shown) = self.as_stored(kind, verdict).await?;
            let (write, done) = match self.prepare(kind, key, present, verdict) {
                Prepared::Write(write, done) => (write, done.shown(kind, current.as_ref(), shown)),
                Prepared::Nothing(done) => return Ok(done.shown(kind, current.as_ref(), shown)),
            };
            let stored = match charging {
                Some(charging) => {
                    self.store_charged(write, decide, charging, current.as_ref(), dry_run).await?
                }
                None if dry_run => None,
                None => Some(self.store()?.commit(write).await),
            };
            match stored {
                // An object that would change shows its present revision, one that would be made none.
                None => {
                    return Ok(match current {
                        Some(entry) => done.at(entry.revision),
                        None => done,
                    });
                }
                Some(Ok(revision)) => return Ok(done.at(revision)),
                Some(Err(CommitError::Conflict { .. } | CommitError::GuardFailed { .. })) => {}
                Some(Err(error)) => return Err(store_error(error)),
            }
            if decide.asked_others() || kind.def.is_converted_outside() {
                turn = None;
            } else if turn.is_none() {
                turn = Some(self.turns.take(key).await);
            }
        }
        let name = key.rsplit('/').next().unwrap_or_default();
        Err(ApiError::modified(&kind.def.group_resource(), name))
    }

    /// The verdict with its object in the version in which it is stored, and the object as it was decided if that is
    /// another one.
    async fn as_stored(&self, kind: &Kind, verdict: Verdict) -> ApiResult<(Verdict, Option<Value>)> {
        let Verdict::Put { object, guards } = verdict else { return Ok((verdict, None)) };
        Ok(match self.stored_form(kind, &object).await? {
            Some(stored) => (Verdict::Put { object: stored, guards }, Some(object)),
            None => (Verdict::Put { object, guards }, None),
        })
    }

    /// Stores a write with what it charges, in the turn of those who charge the same objects. When those change
    /// meanwhile the charge is made again, the decision is not. `None` when it is only tried.
    async fn store_charged(
        &self,
        write: Write,
        decide: &mut dyn Decide,
        (line, object): (Key, Value),
        current: Option<&Arc<Entry>>,
        dry_run: bool,
    ) -> ApiResult<Option<Result<Revision, CommitError>>> {
        let _turn = self.turns.take(&line).await;
        let mut conflict = CommitError::Conflict { key: line };
        for _ in 0..MOST_CONFLICTS {
            let charged = decide.charge(&object, current).await?;
            if dry_run {
                return Ok(None);
            }
            let keys: Vec<Key> = charged.iter().map(|beside| beside.entry.key.clone()).collect();
            let mut write = write.clone();
            write.ops.extend(charged.into_iter().map(Beside::op));
            match self.store()?.commit(write).await {
                Err(CommitError::Conflict { key }) if keys.contains(&key) => {
                    conflict = CommitError::Conflict { key };
                }
                result => return Ok(Some(result)),
            }
        }
        Ok(Some(Err(conflict)))
    }

    fn prepare(&self, kind: &Kind, key: &Key, current: Option<Arc<Entry>>, verdict: Verdict) -> Prepared {
        let expect = current.as_ref().map_or(Expect::Absent, |e| Expect::At(e.revision));
        match (verdict, current) {
            (Verdict::Unchanged | Verdict::Remove, None) => Prepared::Nothing(Done::Unchanged(None)),
            (Verdict::Unchanged, Some(entry)) => Prepared::Nothing(Done::Unchanged(Some(entry))),
            (Verdict::Remove, Some(entry)) => {
                let mut write = Write::one(Op::delete(key.clone(), expect));
                self.claim(&kind.def, Some(&entry), None, &mut write);
                Prepared::Write(write, Done::Removed(entry, Revision(0)))
            }
            (Verdict::Put { mut object, guards }, current) => {
                if let Some(convert) = kind.def.convert {
                    (convert.to_storage)(&mut object);
                }
                let stored_as = kind.def.stored_as();
                let (tail, decoded) = encode_as(&object, &kind.state.selectable(), stored_as.as_deref());
                let is_stale = |e: &Entry| self.store().is_ok_and(|store| store.is_stale(&e.key));
                if let Some(entry) = current.as_ref().filter(|e| *e.tail() == tail && !is_stale(e)) {
                    return Prepared::Nothing(Done::Unchanged(Some(entry.clone())));
                }
                let decoded = Arc::new(decoded);
                let value = proa_store::Value::with_decoded(tail.clone(), decoded.clone());
                let mut write = Write { ops: vec![Op::put(key.clone(), expect, value)], guards };
                self.claim(&kind.def, current.as_ref(), Some(&object), &mut write);
                let entry = Entry::new(key.clone(), Revision(0), tail, decoded);
                Prepared::Write(write, Done::Put(Arc::new(entry)))
            }
        }
    }

    /// Adds what a write takes (expected to be free) and gives back, with the objects that are kept beside it.
    fn claim(&self, def: &KindDef, old: Option<&Arc<Entry>>, new: Option<&Value>, write: &mut Write) {
        let Some(kind_claims) = def.claims else { return };
        let held = |object: Option<&Value>| object.map(kind_claims.held).unwrap_or_default();
        let before = held(old.map(|e| e.stored_value(e.revision)).as_ref());
        let after = held(new);
        let record = kind_claims.record.and_then(|record| Some((record, self.kind(record.gvr)?)));
        for claim in after.iter().filter(|c| !before.contains(c)) {
            let nothing = proa_store::Value::new(bytes::Bytes::new());
            write.ops.push(Op::put(claims::key(claim), Expect::Absent, nothing));
            write.guards.extend(self.claims.guard(claim));
            if let (Some((record, kind)), Some(holder)) = (&record, new)
                && record.space == claim.space
            {
                let object = self.new_object(&kind.def, (record.make)(&claim.value, holder));
                let key = storage_key(&kind.def.storage, "", &claim.value);
                write.ops.push(charge::put(kind, key, Expect::Absent, object));
            }
        }
        for claim in before.iter().filter(|c| !after.contains(c)) {
            write.ops.push(Op::delete(claims::key(claim), Expect::Any));
            if let Some((_, kind)) = record.as_ref().filter(|(record, _)| record.space == claim.space) {
                match kind.get("", &claim.value) {
                    Some(entry) => write.ops.extend(self.removal(kind, &entry)),
                    // One that is made meanwhile would stay behind without its holder.
                    None => write.guards.push(Guard {
                        key: storage_key(&kind.def.storage, "", &claim.value),
                        expect: Expect::Absent,
                    }),
                }
            }
        }
    }

    /// An object that the server makes by itself.
    fn new_object(&self, def: &KindDef, mut object: Value) -> Value {
        metadata::fill_create(&mut object, self.now());
        canonical_form(self, def, &mut object);
        let manager = FieldManager {
            schema: &def.schema,
            api_version: &def.gvk.api_version(),
            kind: &def.gvk.kind,
            subresource: "",
            manager: "kube-apiserver",
            now: &proa_meta::time::Time::new(self.now()).to_string(),
            reset: Reset::Nothing,
        };
        manager.create(&mut object);
        object
    }

    /// Removes a cluster-scoped object; one with finalizers is only marked.
    fn removal(&self, kind: &Kind, entry: &Arc<Entry>) -> Option<Op> {
        let mut object = entry.value(&kind.def);
        let expect = Expect::At(entry.revision);
        if !metadata::has_finalizers(&object) {
            return Some(Op::delete(entry.key.clone(), expect));
        }
        if metadata::is_deleting(&object) {
            return None;
        }
        let members = metadata::of(&mut object);
        members.insert("deletionTimestamp".to_owned(), metadata::timestamp(self.now()));
        members.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
        Some(charge::put(kind, entry.key.clone(), expect, object))
    }
}

enum Prepared {
    Write(Write, Done),
    Nothing(Done),
}

impl Done {
    /// The same in the version of the kind: the object as it was decided, or the present one.
    fn shown(self, kind: &Kind, current: Option<&Arc<Entry>>, decided: Option<Value>) -> Self {
        match (self, decided) {
            (Self::Put(entry), Some(object)) => {
                Self::Put(Arc::new(entry.with_value(&object, &kind.state.selectable())))
            }
            (Self::Unchanged(Some(_)), _) => Self::Unchanged(current.cloned()),
            (Self::Removed(entry, revision), _) => Self::Removed(current.cloned().unwrap_or(entry), revision),
            (done, _) => done,
        }
    }
    fn at(self, revision: Revision) -> Self {
        match self {
            Self::Put(entry) => Self::Put(Arc::new(entry.published_at(revision))),
            Self::Removed(entry, _) => Self::Removed(entry, revision),
            unchanged @ Self::Unchanged(_) => unchanged,
        }
    }
}

/// What a client is told about a store that could not write.
pub(crate) fn store_error(error: CommitError) -> ApiError {
    tracing::warn!(%error, "write failed");
    match error {
        CommitError::TooLarge { limit, .. } => {
            ApiError::too_large(format!("Request entity too large: limit is {limit}"))
        }
        CommitError::Closed => ApiError::unavailable("the server is shutting down"),
        CommitError::Unknown(_) => {
            ApiError::new(Reason::Timeout, format!("Timeout: request did not complete: {error}"))
        }
        other => ApiError::internal(other),
    }
}
