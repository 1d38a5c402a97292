//! Request bodies as values. Large ones are parsed off the calling thread, which others' watches share.

use super::resource::Call;
use crate::negotiate::{self, Wire};
use bytes::Bytes;
use proa_meta::{ApiError, ApiResult};
use proa_registry::request::{Body, Patch, PatchType};
use proa_schema::json::{self, ParseError, Parsed};

/// Bodies above this are parsed elsewhere.
const LARGE: usize = 256 << 10;

impl Call<'_> {
    /// The body of a create or update.
    pub(super) async fn body(&mut self) -> ApiResult<Body> {
        let wire = negotiate::body(&self.request.headers)?;
        let bytes = std::mem::take(&mut self.request.body);
        let kind = match self.info.subresource.as_str() {
            "scale" => "Scale",
            other => match self.kind.def.subresources.iter().find(|s| s.name == other) {
                Some(subresource) => &*subresource.gvk.kind,
                None => &*self.kind.def.gvk.kind,
            },
        };
        let parsed = self.parse(wire, bytes.clone()).await?.map_err(|e| e.unrecognized(kind, &bytes))?;
        Ok(Body { value: parsed.value, issues: parsed.issues })
    }

    /// The body of a patch; apply's YAML becomes JSON.
    pub(super) async fn patch_body(&mut self, kind: PatchType) -> ApiResult<Patch> {
        let bytes = std::mem::take(&mut self.request.body);
        if kind != PatchType::Apply {
            return Ok(Patch { kind, bytes, issues: Vec::new() });
        }
        let is_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        let wire = if is_json { Wire::Json } else { Wire::Yaml };
        let mut parsed = self.parse(wire, bytes.clone()).await?;
        if parsed.is_err() && is_json {
            // Flow style YAML also starts with a brace.
            parsed = self.parse(Wire::Yaml, bytes).await?;
        }
        let parsed = parsed.map_err(|e| ApiError::bad_request(format!("error decoding YAML: {e}")))?;
        let mut json = Vec::new();
        crate::encode::text::write(&parsed.value, &mut json);
        Ok(Patch { kind, bytes: Bytes::from(json), issues: parsed.issues })
    }

    async fn parse(&self, wire: Wire, bytes: Bytes) -> ApiResult<Result<Parsed, ParseError>> {
        let work = move || match wire {
            Wire::Json => json::parse(&bytes),
            Wire::Yaml => json::parse_yaml(&bytes),
        };
        self.off_thread(work).await
    }

    async fn off_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
        if self.body_size < LARGE {
            return Ok(work());
        }
        self.server.config.runtime.spawn_blocking(work).await.map_err(ApiError::internal)
    }
}
