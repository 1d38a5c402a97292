//! Random histories, compared step by step with a model that fits on one page.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Place, State, apply, live_objects, open};
use crate::{Change, CommitError, Expect, Guard, Key, Op, Revision, Value, Write};

/// How a random expectation relates to the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// No expectation.
    Any,
    /// Expects no object.
    Absent,
    /// Expects an object.
    Exists,
    /// Expects the revision that it has, or that nothing is there.
    Current,
    /// Expects the revision before the one it has.
    Stale,
}

/// One random change.
#[derive(Clone, Debug)]
pub struct RandomOp {
    /// The key's number.
    pub key: u8,
    /// What it expects.
    pub relation: Relation,
    /// The new value; none deletes.
    pub value: Option<Vec<u8>>,
}

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    /// A write of these changes and guards.
    Write(Vec<RandomOp>, Vec<(u8, Relation)>),
    /// Compacts up to this many hundredths of the history.
    Compact(u8),
    /// Closes and opens.
    Restart,
}

fn key(number: u8) -> Key {
    format!("/key/{number}").into()
}

/// What the store should be.
#[derive(Default)]
struct Model {
    compacted: Revision,
    revision: Revision,
    history: Vec<Change>,
    live: BTreeMap<Key, (Revision, Bytes)>,
}

impl Model {
    fn expect(&self, number: u8, relation: Relation) -> Expect {
        let head = self.live.get(&key(number)).map(|(revision, _)| *revision);
        match (relation, head) {
            (Relation::Any, _) => Expect::Any,
            (Relation::Absent, _) | (Relation::Current, None) => Expect::Absent,
            (Relation::Exists, _) | (Relation::Stale, None) => Expect::Exists,
            (Relation::Current, Some(at)) => Expect::At(at),
            (Relation::Stale, Some(at)) => Expect::At(Revision(at.0 - 1)),
        }
    }

    fn holds(&self, key: &Key, expect: Expect) -> bool {
        expect.holds(self.live.get(key).map(|(revision, _)| *revision))
    }

    fn commit(&mut self, write: &Write) -> Result<Revision, CommitError> {
        for (at, op) in write.ops.iter().enumerate() {
            if write.ops[..at].iter().any(|other| other.key == op.key) {
                return Err(CommitError::Invalid(format!("{} is changed twice", op.key)));
            }
        }
        if let Some(guard) = write.guards.iter().find(|guard| !self.holds(&guard.key, guard.expect)) {
            return Err(CommitError::GuardFailed { key: guard.key.clone() });
        }
        if let Some(op) = write.ops.iter().find(|op| !self.holds(&op.key, op.expect)) {
            return Err(CommitError::Conflict { key: op.key.clone() });
        }
        let revision = self.revision.next();
        for op in &write.ops {
            if op.value.is_some() || self.live.contains_key(&op.key) {
                let change = Change { revision, key: op.key.clone(), value: op.value.clone() };
                apply(&mut self.live, &change);
                self.history.push(change);
                self.revision = revision;
            }
        }
        Ok(self.revision)
    }

    fn check(&self, seen: &State) {
        assert_eq!(seen.revision, self.revision);
        assert_eq!(seen.live, self.live);
        let (old, new): (Vec<&Change>, Vec<&Change>) =
            self.history.iter().partition(|change| change.revision <= seen.compacted);
        assert_eq!(seen.base, live_objects(old), "the base at {}", seen.compacted);
        assert!(seen.changes.iter().eq(new), "the changes after {}", seen.compacted);
    }
}

/// Runs a history on a fresh place. Panics where the store and the model differ.
pub async fn run(place: &dyn Place, steps: &[Step]) {
    let mut model = Model::default();
    let (mut store, mut mirror) = open(place);
    for step in steps {
        match step {
            Step::Write(ops, guards) => {
                let op = |op: &RandomOp| Op {
                    key: key(op.key),
                    expect: model.expect(op.key, op.relation),
                    value: op.value.clone().map(Value::new),
                };
                let guard = |(number, relation): &(u8, Relation)| Guard {
                    key: key(*number),
                    expect: model.expect(*number, *relation),
                };
                let write =
                    Write { ops: ops.iter().map(op).collect(), guards: guards.iter().map(guard).collect() };
                let expected = model.commit(&write);
                assert_eq!(store.commit(write).await, expected);
            }
            Step::Compact(part) => {
                let up_to = Revision(model.revision.0 * u64::from(*part) / 100);
                model.compacted = model.compacted.max(up_to);
                assert_eq!(store.compact(up_to).await, Ok(model.compacted));
            }
            Step::Restart => {
                store.close().await;
                (store, mirror) = open(place);
                assert_eq!(mirror.state().compacted, model.compacted);
            }
        }
        assert_eq!((store.revision(), store.compacted()), (model.revision, model.compacted));
        model.check(&mirror.state());
    }
    store.close().await;
}
