//! `get`: one object, also by the path of a part of it, or its scale.

use super::scale;
use crate::{
    registry::Registry,
    request::{ActionRequest, GetOptions, Object, Target, WriteOptions},
};
use proa_meta::{ApiError, ApiResult, Reason};
use proa_store::Revision;
use serde_json::Value;
use std::sync::Arc;

impl Registry {
    /// The object, as of now; with a resourceVersion, not older than that.
    ///
    /// # Errors
    /// 404 when there is none, 405 when the subresource cannot be read, 504 when the revision is not reached.
    pub async fn get(self: &Arc<Self>, target: &Target, options: GetOptions) -> ApiResult<Object> {
        if let Some(revision) = options.resource_version {
            self.not_older_than(revision).await?;
        }
        let kind = &target.kind;
        match target.subresource.as_str() {
            "" | "status" => {}
            part if kind.def.part(part).is_some() => {}
            "scale" => return scale::get(self, target).await.map(|scale| Object::Made(Arc::new(scale))),
            other => return self.get_by_action(target, other).await,
        }
        let mut entry = kind.get(&target.namespace, &target.name);
        if !options.metadata_only {
            entry = self.one_in_version(kind, entry).await?;
        }
        entry.map(Object::Stored).ok_or_else(|| not_found(target))
    }

    async fn get_by_action(self: &Arc<Self>, target: &Target, subresource: &str) -> ApiResult<Object> {
        let def = &target.kind.def;
        let action = self
            .action(&def.storage, subresource)
            .ok_or_else(|| ApiError::method_not_allowed(&def.group_resource(), "get"))?;
        let request = ActionRequest {
            target: target.clone(),
            body: Value::Null,
            options: WriteOptions::default(),
            verb: "get".to_owned(),
        };
        action.call(self, request).await.map(|written| written.object)
    }

    /// # Errors
    /// 504 when the revision lies in the future. Upstream: apiserver `pkg/storage/errors.go`.
    pub(crate) async fn not_older_than(&self, revision: Revision) -> ApiResult<()> {
        let current = self.revision();
        if revision <= current {
            return Ok(());
        }
        // A client may know it from an object that was shown a moment before the revision counts as published.
        if self.is_arriving(revision) {
            self.reached(revision).await;
            return Ok(());
        }
        let message = format!("Too large resource version: {revision}, current: {current}");
        Err(ApiError::new(Reason::Timeout, message)
            .with_cause(proa_meta::status::Cause {
                reason: "ResourceVersionTooLarge".to_owned(),
                message: "Too large resource version".to_owned(),
                ..Default::default()
            })
            .with_retry_after(1))
    }
}

/// 404 for the target.
pub(super) fn not_found(target: &Target) -> ApiError {
    ApiError::not_found(&target.kind.def.group_resource(), &target.name)
}
