//! What a write uses up elsewhere: other objects that change with it, in the same step, or not at all.
//!
//! A charge is made after every other plugin has agreed, in the turn of those who charge the same objects, and stored
//! with the object in one atomic write. So nothing is charged for an object that is not stored, and nothing is stored that
//! was not charged. Upstream charges in a write of its own before the object's.

use crate::{
    admission::AdmissionRequest,
    entry::{Entry, encode},
    registry::Kind,
};
use futures::future::BoxFuture;
use proa_meta::ApiResult;
use proa_store::{Expect, Key, Op, Value as Stored};
use serde_json::Value;
use std::sync::Arc;

/// Another object that changes with a write.
pub struct Beside {
    /// Its kind.
    pub kind: Arc<Kind>,
    /// As it was read: the write holds only as long as it is this.
    pub entry: Arc<Entry>,
    /// As it shall be, in the version of its kind.
    pub object: Value,
}

impl Beside {
    pub(crate) fn op(self) -> Op {
        put(&self.kind, self.entry.key.clone(), Expect::At(self.entry.revision), self.object)
    }
}

/// Stores an object of another kind than the one that a write is about.
pub(crate) fn put(kind: &Kind, key: Key, expect: Expect, mut object: Value) -> Op {
    if let Some(convert) = kind.def.convert {
        (convert.to_storage)(&mut object);
    }
    let (tail, decoded) = encode(&object, &kind.state.selectable());
    Op::put(key, expect, Stored::with_decoded(tail, Arc::new(decoded)))
}

/// Charges objects for what a write uses up.
pub trait Charge: Send + Sync {
    /// Plugin name, as upstream spells it.
    fn name(&self) -> &'static str;
    /// Whether the plugin looks at such requests at all; cheap.
    fn handles(&self, request: &AdmissionRequest<'_>) -> bool;
    /// Those that charge the same objects go one by one; none when there is nothing to charge.
    fn line(&self, request: &AdmissionRequest<'_>) -> Option<Key>;
    /// What changes with the object, or why it cannot be paid for. Repeatable, as all admission.
    fn charge<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<Vec<Beside>>>;
}
