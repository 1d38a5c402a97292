//! `connect`: admission of requests that open a connection (exec, attach, proxies).
//!
//! Upstream: apiserver `pkg/endpoints/handlers/rest.go` `ConnectResource`.

use super::write::Stages;
use crate::{
    admission::{Operation, Options},
    registry::Registry,
    request::{Target, WriteOptions},
};
use proa_meta::ApiResult;
use serde_json::Value;
use std::sync::Arc;

impl Registry {
    /// Asks admission about a connection whose options are `object`. Returns texts of `Warning` headers.
    ///
    /// # Errors
    /// Admission refuses it.
    pub async fn admit_connect(
        self: &Arc<Self>,
        target: &Target,
        mut object: Value,
    ) -> ApiResult<Vec<String>> {
        let options = WriteOptions::default();
        let stages = Stages::new(self, target, &options, Operation::Connect);
        let stages = Stages { asked: Options::None, ..stages };
        let admitted = async {
            stages.mutate(&mut object, None).await?;
            stages.admit(&target.name, &object, None).await
        };
        match admitted.await {
            Ok(()) => Ok(stages.notes.warnings()),
            Err(error) => Err(error.with_warnings(stages.notes.warnings())),
        }
    }
}
