//! `create`, `update`, `patch`, `delete` and `deletecollection`.

use super::{may_create, resource::Call};
use crate::{
    api::Response,
    encode::Encoder,
    negotiate,
    options::{collection_selection, delete_options, patch_options, write_options},
};
use http::StatusCode;
use proa_meta::ApiResult;
use proa_registry::{
    kind::Behaviour,
    request::{DeleteOptions, PatchType, Written},
};

const PATCHES: [(&str, PatchType); 4] = [
    ("application/json-patch+json", PatchType::Json),
    ("application/merge-patch+json", PatchType::Merge),
    ("application/strategic-merge-patch+json", PatchType::Strategic),
    ("application/apply-patch+yaml", PatchType::Apply),
];

impl Call<'_> {
    pub(super) async fn create(mut self) -> ApiResult<Response> {
        let encoder = self.object_encoder()?;
        let options = write_options(self.query, &self.request.headers, "CreateOptions")?;
        let body = self.body().await?;
        let written = self.server.config.registry.create(&self.target(), body, &options).await?;
        self.written(&encoder, written).await
    }

    pub(super) async fn update(mut self) -> ApiResult<Response> {
        let encoder = self.object_encoder()?;
        let options = write_options(self.query, &self.request.headers, "UpdateOptions")?;
        let body = self.body().await?;
        if self.kind.def.strategy.create_on_update && self.is_new() {
            may_create(self.server, &self.info, &self.user).await?;
        }
        let written = self.server.config.registry.update(&self.target(), body, &options).await?;
        self.written(&encoder, written).await
    }

    pub(super) async fn patch(mut self) -> ApiResult<Response> {
        let kind = self.patch_type()?;
        let encoder = self.object_encoder()?;
        let options = patch_options(self.query, &self.request.headers, kind)?;
        let patch = self.patch_body(kind).await?;
        if kind == PatchType::Apply && self.info.subresource.is_empty() && self.is_new() {
            may_create(self.server, &self.info, &self.user).await?;
        }
        let written = self.server.config.registry.patch(&self.target(), patch, &options).await?;
        self.written(&encoder, written).await
    }

    pub(super) async fn delete(mut self) -> ApiResult<Response> {
        let encoder = self.object_encoder()?;
        let body = std::mem::take(&mut self.request.body);
        let options = self.delete_options(&body)?;
        let written = self.server.config.registry.delete(&self.target(), &options).await?;
        self.written(&encoder, written).await
    }

    pub(super) async fn delete_collection(mut self) -> ApiResult<Response> {
        let encoder = self.object_encoder()?;
        let selection = collection_selection(self.query, &self.info, &self.kind.def)?;
        let body = std::mem::take(&mut self.request.body);
        let options = self.delete_options(&body)?;
        let mut deleted =
            self.server.config.registry.delete_collection(&self.target(), &selection, &options).await?;
        self.trace.warnings.append(&mut deleted.warnings);
        self.listed(&encoder, deleted).await
    }

    fn delete_options(&mut self, body: &[u8]) -> ApiResult<DeleteOptions> {
        if let Some(record) = self.trace.record() {
            record.asked_bytes(body);
        }
        delete_options(self.query, &self.request.headers, body, &*self.server.config.docs)
    }

    fn object_encoder(&self) -> ApiResult<Encoder> {
        let (headers, query) = (&self.request.headers, self.request.uri.query());
        self.encoder(match self.kind.def.behaviour {
            Behaviour::Stored => negotiate::objects(headers, query, self.has_protobuf())?,
            Behaviour::Virtual => negotiate::answers(headers, query, self.has_protobuf())?,
        })
    }

    /// Whether there is no such object now; the verb itself decides again.
    fn is_new(&self) -> bool {
        let namespace = if self.kind.def.is_namespaced() { self.info.namespace.as_str() } else { "" };
        self.kind.get(namespace, &self.info.name).is_none()
    }

    fn patch_type(&self) -> ApiResult<PatchType> {
        let given = negotiate::media_type(&self.request.headers);
        let served = PATCHES.iter().filter(|(_, t)| *t != PatchType::Strategic || !self.kind.def.custom);
        if let Some((_, kind)) = served.clone().find(|(name, _)| *name == given) {
            return Ok(*kind);
        }
        if !self.kind.def.custom {
            return Err(negotiate::unsupported_patch());
        }
        let names: Vec<&str> = served.map(|(name, _)| *name).collect();
        Err(negotiate::unsupported_media_type(&names.join(", ")))
    }

    async fn written(self, encoder: &Encoder, written: Written) -> ApiResult<Response> {
        let status = match &written {
            Written { created: true, .. } => StatusCode::CREATED,
            Written { accepted: true, .. } => StatusCode::ACCEPTED,
            _ => StatusCode::OK,
        };
        self.trace.warnings.extend(written.warnings);
        self.shown(encoder, status, &written.object).await
    }
}
