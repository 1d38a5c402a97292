//! Objects, documents and frames in protobuf: what would be sent as JSON, transcoded.
//!
//! Upstream: apimachinery `pkg/runtime/serializer/protobuf`.

pub(super) mod list;

use crate::{
    negotiate::{Form, Shape},
    openapi::SchemaDocs,
};
use proa_meta::{ApiError, ApiResult};
use proa_registry::{KindDef, registry::Kind};
use proa_schema::{
    Schema, SchemaRef,
    protobuf::{self, is_message, write_envelope, write_frame},
};
use serde_json::Value;
use std::sync::Arc;

/// OpenAPI names of the types that are common to all groups begin with it.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// A `Status` or a discovery document; none when its type has no protobuf form.
pub(crate) fn document(value: &Value, docs: &dyn SchemaDocs) -> Option<Vec<u8>> {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    // The older version of aggregated discovery differs in name only.
    let prefix =
        if api_version.starts_with("apidiscovery.k8s.io/") { "io.k8s.api.apidiscovery.v2." } else { META };
    let schema = docs.schema(&format!("{prefix}{kind}")).filter(|schema| is_message(schema))?;
    Some(envelope(api_version, kind, &schema, value))
}

fn envelope(api_version: &str, kind: &str, schema: &Schema, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_envelope(api_version, kind, &mut out, |out| protobuf::encode(schema, value, out));
    out
}

/// What the answers of one request are made with.
pub(super) struct Binary {
    api_version: String,
    kind: Box<str>,
    /// Of the objects in the negotiated shape.
    schema: SchemaRef,
    docs: Arc<dyn SchemaDocs>,
}

impl Binary {
    pub(super) fn new(kind: &Kind, form: Form, docs: &Arc<dyn SchemaDocs>) -> ApiResult<Self> {
        let (api_version, name, schema) = match form.shape {
            Shape::Partial | Shape::PartialList => {
                let schema = meta(&**docs, "PartialObjectMetadata")?;
                (form.meta_version().to_owned(), "PartialObjectMetadata", schema)
            }
            _ => (kind.def.gvk.api_version(), &*kind.def.gvk.kind, kind.def.schema.clone()),
        };
        Ok(Self { api_version, kind: name.into(), schema, docs: Arc::clone(docs) })
    }

    /// An object of the kind in the negotiated shape, given as JSON.
    pub(super) fn object(&self, json: &[u8]) -> ApiResult<Vec<u8>> {
        let mut out = Vec::with_capacity(json.len() + 64);
        write_envelope(&self.api_version, &self.kind, &mut out, |out| self.message(json, out))?;
        Ok(out)
    }

    fn message(&self, json: &[u8], out: &mut Vec<u8>) -> ApiResult<()> {
        // Only a damaged store holds what is no JSON.
        protobuf::encode_json(&self.schema, json, out).map_err(ApiError::internal)
    }

    /// An object that was made for this answer, which may be of another kind.
    pub(super) fn made(&self, def: &KindDef, value: &Value) -> ApiResult<Vec<u8>> {
        let text = |name: &str| value[name].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let own = (kind == &*self.kind).then(|| self.schema.clone());
        let subresource = || def.subresources.iter().find(|s| &*s.gvk.kind == kind).map(|s| s.schema.clone());
        let schema = match kind {
            "Status" => self.docs.schema(&format!("{META}Status")),
            "Scale" if own.is_none() => self.docs.schema("io.k8s.api.autoscaling.v1.Scale"),
            _ => own.or_else(subresource),
        };
        match schema.filter(|schema| is_message(schema)) {
            Some(schema) => Ok(envelope(api_version, kind, &schema, value)),
            None => Err(no_form(kind)),
        }
    }

    /// Appends a watch event with an object of the kind in the negotiated shape, given as JSON.
    pub(super) fn frame(&self, event: &str, json: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        let written = write_frame(event, out, |out| {
            write_envelope(&self.api_version, &self.kind, out, |out| self.message(json, out))
        });
        if let Err(error) = written {
            out.truncate(at);
            self.error_frame(&error, out);
        }
    }

    /// Appends the event of an error.
    pub(super) fn error_frame(&self, error: &ApiError, out: &mut Vec<u8>) {
        let status = document(&error.to_status(), &*self.docs).unwrap_or_default();
        write_frame("ERROR", out, |out| out.extend_from_slice(&status));
    }
}

fn meta(docs: &dyn SchemaDocs, name: &str) -> ApiResult<SchemaRef> {
    docs.schema(&format!("{META}{name}")).ok_or_else(|| no_form(name))
}

fn no_form(kind: &str) -> ApiError {
    ApiError::internal(format!("{kind} has no protobuf form"))
}
