//! What goes into the store and what comes out of it: plain data.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Revision;

/// An opaque key, such as `/apps/deployments/default/web`.
pub type Key = Arc<str>;

/// The bytes of one object.
#[derive(Clone)]
pub struct Value {
    /// What is stored.
    pub bytes: Bytes,
    /// What the committer already decoded from the bytes, handed on to [`crate::Published::publish`] so that it is
    /// not decoded again. Never stored: absent after a load.
    pub decoded: Option<Arc<dyn Any + Send + Sync>>,
}

impl Value {
    /// A value without a decoded form.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Value { bytes: bytes.into(), decoded: None }
    }

    /// A value with what it was encoded from.
    pub fn with_decoded(bytes: impl Into<Bytes>, decoded: Arc<dyn Any + Send + Sync>) -> Self {
        Value { bytes: bytes.into(), decoded: Some(decoded) }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.bytes.len())
    }
}

/// Equal bytes; the decoded form is only a shortcut.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Value {}

/// What must hold for a key at the moment of the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// The key has no live object.
    Absent,
    /// The key has a live object, at whatever revision.
    Exists,
    /// The key's live object was last changed by this revision.
    At(Revision),
}

impl Expect {
    /// Whether a key's head is as expected.
    pub fn holds(self, head: Option<Revision>) -> bool {
        match self {
            Expect::Any => true,
            Expect::Absent => head.is_none(),
            Expect::Exists => head.is_some(),
            Expect::At(revision) => head == Some(revision),
        }
    }
}

/// One change that a write asks for.
#[derive(Clone, Debug)]
pub struct Op {
    /// The key to change.
    pub key: Key,
    /// What must hold for it.
    pub expect: Expect,
    /// The new value; none deletes. Deleting an absent key (where the expectation allows it) changes nothing.
    pub value: Option<Value>,
}

impl Op {
    /// Writes a value.
    pub fn put(key: impl Into<Key>, expect: Expect, value: Value) -> Self {
        Op { key: key.into(), expect, value: Some(value) }
    }

    /// Deletes a key.
    pub fn delete(key: impl Into<Key>, expect: Expect) -> Self {
        Op { key: key.into(), expect, value: None }
    }
}

/// What must hold for a key that the write does not change.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The key.
    pub key: Key,
    /// What must hold for it.
    pub expect: Expect,
}

/// Changes that happen together under one revision, or not at all. A key may be in it once.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The changes.
    pub ops: Vec<Op>,
    /// Conditions on other keys.
    pub guards: Vec<Guard>,
}

impl Write {
    /// A write of one change.
    pub fn one(op: Op) -> Self {
        Write { ops: vec![op], guards: Vec::new() }
    }

    /// The bytes of its keys and values.
    pub fn size(&self) -> usize {
        let value = |op: &Op| op.value.as_ref().map_or(0, |value| value.bytes.len());
        self.ops.iter().map(|op| op.key.len() + value(op)).sum()
    }
}

/// One change of a committed write. Changes of the same write carry the same revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The write's revision.
    pub revision: Revision,
    /// The key that changed.
    pub key: Key,
    /// The new value; none when it was deleted.
    pub value: Option<Value>,
}

/// One live object, as it was at the compacted revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: Key,
    /// The revision that last changed it.
    pub revision: Revision,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Everything that the store holds, as read at open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// History up to and including this revision is gone; `base` is the state at it.
    pub compacted: Revision,
    /// The last revision.
    pub revision: Revision,
    /// The objects that were live at the compacted revision, in no order.
    pub base: Vec<Object>,
    /// Every later change, in order.
    pub changes: Vec<Change>,
}
