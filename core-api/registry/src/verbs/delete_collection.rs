//! `deletecollection`: every selected object, each deleted as by `delete`.

use crate::{
    registry::Registry,
    request::{DeleteOptions, List, ListOptions, Selection, Target},
};
use proa_meta::{ApiResult, Reason};
use std::sync::Arc;

impl Registry {
    /// Deletes what is selected and answers with what that was. An object that is already gone does not matter.
    ///
    /// # Errors
    /// The first one that a delete meets; objects before it are deleted.
    pub async fn delete_collection(
        self: &Arc<Self>,
        target: &Target,
        selection: &Selection,
        options: &DeleteOptions,
    ) -> ApiResult<List> {
        let list = ListOptions { selection: selection.clone(), ..ListOptions::default() };
        let mut list = self.list(target, &list).await?;
        for entry in &list.items {
            let one = Target {
                namespace: entry.namespace().to_owned(),
                name: entry.name().to_owned(),
                ..target.clone()
            };
            match self.delete(&one, options).await {
                Ok(written) => list.warnings.extend(written.warnings),
                Err(error) if error.reason() == Reason::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        list.warnings.sort_unstable();
        list.warnings.dedup();
        Ok(list)
    }
}
