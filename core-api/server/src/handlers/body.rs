//! Request bodies as values. Large ones are parsed off the calling thread, which others' watches share.

use super::resource::Call;
use crate::negotiate::{self, BodyForm};
use bytes::Bytes;
use proa_meta::{ApiError, ApiResult};
use proa_registry::request::{Body, Patch, PatchType};
use proa_schema::{
    SchemaRef,
    json::{self, ParseError, Parsed},
    protobuf::{Envelope, is_message},
};
use serde_json::Value;

/// Reads a text form.
type Parse = fn(&[u8]) -> Result<Parsed, ParseError>;

/// Bodies above this are parsed elsewhere.
const LARGE: usize = 256 << 10;

impl Call<'_> {
    /// The body of a create or update.
    pub(super) async fn body(&mut self) -> ApiResult<Body> {
        // A scale is of a built-in type whatever it is a part of.
        let custom = self.kind.def.custom && self.info.subresource != "scale";
        let form = negotiate::body(&self.request.headers, custom)?;
        let bytes = std::mem::take(&mut self.request.body);
        let (kind, schema) = self.body_type();
        let parse: Parse = match form {
            BodyForm::Json => json::parse,
            BodyForm::Yaml => json::parse_yaml,
            BodyForm::Protobuf => {
                let (kind, schema) = (kind.to_owned(), schema);
                let work = move || from_protobuf(schema.as_ref(), &kind, &bytes);
                let value = self.off_thread(work).await??;
                self.trace.asked(&value);
                return Ok(Body { value, issues: Vec::new() });
            }
        };
        let mut parsed = self.parse(parse, bytes.clone()).await?.map_err(|e| e.unrecognized(kind, &bytes))?;
        if !self.kind.def.custom {
            json::check_head(&mut parsed.value, kind, &bytes)?;
        } else if custom && parsed.value["kind"].as_str().is_none_or(str::is_empty) {
            let body = String::from_utf8_lossy(&bytes);
            return Err(json::unrecognized(kind, &format!("Object 'Kind' is missing in '{body}'"), &bytes));
        }
        self.trace.asked(&parsed.value);
        Ok(Body { value: parsed.value, issues: parsed.issues })
    }

    /// Kind and schema of the body.
    fn body_type(&self) -> (&str, Option<SchemaRef>) {
        let def = &self.kind.def;
        match self.info.subresource.as_str() {
            "scale" => ("Scale", self.server.config.docs.schema("io.k8s.api.autoscaling.v1.Scale")),
            other => match def.subresources.iter().find(|s| s.name == other) {
                Some(subresource) => (&subresource.gvk.kind, Some(subresource.schema.clone())),
                None => (&def.gvk.kind, Some(def.schema.clone())),
            },
        }
    }

    /// The body of a patch; apply's YAML becomes JSON.
    pub(super) async fn patch_body(&mut self, kind: PatchType) -> ApiResult<Patch> {
        let bytes = std::mem::take(&mut self.request.body);
        if kind != PatchType::Apply {
            if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
                return Err(ApiError::bad_request("invalid JSON patch"));
            }
            if let Some(record) = self.trace.record() {
                record.asked_bytes(&bytes);
            }
            return Ok(Patch { kind, bytes, issues: Vec::new() });
        }
        let is_json = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        let parse: Parse = if is_json { json::parse } else { json::parse_yaml };
        let mut parsed = self.parse(parse, bytes.clone()).await?;
        // Flow style YAML also starts with a brace; and repeated fields are told of as in YAML.
        if is_json && !parsed.as_ref().is_ok_and(|parsed| parsed.issues.is_empty()) {
            parsed = self.parse(json::parse_yaml, bytes).await?;
        }
        let parsed = parsed.map_err(|e| ApiError::bad_request(format!("error decoding YAML: {e}")))?;
        let mut json = Vec::new();
        crate::encode::text::write(&parsed.value, &mut json);
        self.trace.asked(&parsed.value);
        Ok(Patch { kind, bytes: Bytes::from(json), issues: parsed.issues })
    }

    async fn parse(&self, parse: Parse, bytes: Bytes) -> ApiResult<Result<Parsed, ParseError>> {
        self.off_thread(move || parse(&bytes)).await
    }

    async fn off_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
        if self.body_size < LARGE {
            return Ok(work());
        }
        self.server.config.runtime.spawn_blocking(work).await.map_err(ApiError::internal)
    }
}

/// The object of a body in protobuf. One of another kind is not read with this kind's fields: its names alone tell
/// the verb.
pub(crate) fn from_protobuf(schema: Option<&SchemaRef>, kind: &str, body: &[u8]) -> ApiResult<Value> {
    let refused = |why: &str| json::unrecognized(kind, why, body);
    let envelope = Envelope::open(body).map_err(|e| refused(&e.to_string()))?;
    if !envelope.kind.is_empty() && envelope.kind != kind {
        return Ok(envelope.head());
    }
    match schema.filter(|schema| is_message(schema)) {
        Some(schema) => envelope.object(schema).map_err(|e| refused(&e.to_string())),
        None => Err(negotiate::unsupported_media_type("application/json, application/yaml")),
    }
}
