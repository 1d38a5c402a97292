//! `modify`: what an action (binding, eviction, finalize) changes in an object.
//!
//! Outside of the kind's update rules and of admission: the action has checked both. Managed fields and generation stay
//! as they are, as with upstream's own stores behind such subresources.

use super::{
    get::not_found,
    update::{as_last_seen, is_finished},
    write::Stages,
};
use crate::{
    admission::Operation,
    commit::{Decide, Done, Verdict},
    entry::Entry,
    metadata,
    registry::Registry,
    request::{Object, Target, WriteOptions, Written},
};
use futures::future::BoxFuture;
use proa_meta::{ApiError, ApiResult};
use serde_json::Value;
use std::sync::Arc;

/// What is changed; repeatable, and told the object as it is at each try.
type Modification<'a> = &'a (dyn Fn(&mut Value) -> ApiResult<()> + Send + Sync);

impl Registry {
    /// Changes the target's object in place; removes it when that takes the last obstacle of its deletion away.
    ///
    /// # Errors
    /// 404, and what `change` returns.
    pub async fn modify(
        self: &Arc<Self>,
        target: &Target,
        options: &WriteOptions,
        change: Modification<'_>,
    ) -> ApiResult<Written> {
        let stages = Stages::new(self, target, options, Operation::Update);
        let key = stages.key(&target.name);
        let mut modify = Modify { stages: &stages, change, last: Value::Null };
        match self.commit(&target.kind, &key, options.dry_run, &mut modify).await? {
            Done::Put(entry) | Done::Unchanged(Some(entry)) => Ok(stages.written(entry, false, Vec::new())),
            Done::Unchanged(None) => Err(not_found(target)),
            Done::Removed(..) => {
                let object = Object::Made(Arc::new(modify.last));
                Ok(Written { object, created: false, accepted: false, warnings: Vec::new() })
            }
        }
    }
}

struct Modify<'a> {
    stages: &'a Stages<'a>,
    change: Modification<'a>,
    /// The object that goes with the write, as the write leaves it.
    last: Value,
}

impl Modify<'_> {
    fn next(&mut self, current: &Entry) -> Result<Verdict, ApiError> {
        let def = self.stages.def();
        let mut object = current.value(def);
        let version = metadata::version_of(&object);
        (self.change)(&mut object)?;
        self.stages.canonical(&mut object);
        if is_finished(&object, def.strategy.blocks_deletion) {
            self.last = as_last_seen(object, version);
            return Ok(Verdict::Remove);
        }
        Ok(Verdict::Put { object, guards: Vec::new() })
    }
}

impl Decide for Modify<'_> {
    fn decide<'a>(&'a mut self, current: Option<&'a Arc<Entry>>) -> BoxFuture<'a, ApiResult<Verdict>> {
        let verdict = current.map_or_else(|| Err(not_found(self.stages.target)), |entry| self.next(entry));
        Box::pin(async move { verdict })
    }
}
