//! Objects, lists and watch events as bytes.
//!
//! Stored bytes are never parsed to be sent as JSON: an object is a head and its tail, a partial object is a cut of the
//! same tail. Protobuf is transcoded from these bytes in one pass; only tables and YAML decode. Lists are written in
//! batches of about 64 KiB, lazily when they are large, so that a list costs references, not copies. Upstream: apiserver `pkg/endpoints/handlers/response.go`.

pub(crate) mod binary;
pub(crate) mod compress;
mod list;
mod table;
pub(crate) mod text;
mod watch;

pub(crate) use table::Include;

use crate::{
    api::{Body, Response},
    negotiate::{Form, Shape, Wire},
    openapi::SchemaDocs,
    respond,
};
use binary::Binary;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use proa_meta::{ApiError, ApiResult, Reason};
use proa_registry::{
    Entry,
    entry::write_head,
    registry::Kind,
    request::{List, Object, WatchStream},
};
use proa_schema::jsonpath::JsonPath;
use proa_store::Revision;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::runtime::Handle;

/// How the answers of one request are written.
#[derive(Clone)]
pub(crate) struct Encoder {
    kind: Arc<Kind>,
    form: Form,
    /// What table rows carry besides their cells.
    include: Include,
    now: Timestamp,
    /// Where a custom kind's columns are.
    paths: Arc<[Option<JsonPath>]>,
    /// Only where protobuf was negotiated.
    binary: Option<Arc<Binary>>,
}

impl Encoder {
    pub(crate) fn new(
        kind: Arc<Kind>,
        form: Form,
        include: Include,
        now: Timestamp,
        docs: &Arc<dyn SchemaDocs>,
    ) -> ApiResult<Self> {
        let paths = if form.shape == Shape::Table { table::compile(&kind.def) } else { Arc::default() };
        let binary = match form.wire {
            Wire::Protobuf => Some(Arc::new(Binary::new(&kind, form, docs)?)),
            Wire::Json | Wire::Yaml => None,
        };
        Ok(Self { kind, form, include, now, paths, binary })
    }

    /// The same answers as JSON.
    pub(crate) fn plain(&self) -> Self {
        let form = Form { wire: Wire::Json, pretty: false, ..self.form };
        Self { form, binary: None, ..self.clone() }
    }

    /// One object.
    pub(crate) fn object(
        &self,
        status: StatusCode,
        object: &Object,
        headers: &HeaderMap,
    ) -> ApiResult<Response> {
        let is_status = matches!(object, Object::Made(value) if value["kind"] == "Status");
        let shape = if is_status { Shape::Whole } else { self.form.shape };
        let mut out = Vec::new();
        if let (Some(binary), Object::Made(value), Shape::Whole) = (&self.binary, object, shape) {
            let bytes = binary.made(&self.kind.def, value)?;
            let response = respond::with_value(status, respond::PROTOBUF, Body::Whole(Bytes::from(bytes)));
            return Ok(compress::large(response, headers));
        }
        match (shape, object) {
            (Shape::Table, Object::Stored(entry)) => table::of_entries(self, &[Arc::clone(entry)], &mut out),
            (Shape::Table, Object::Made(value)) => table::of_value(self, value, &mut out),
            (Shape::Partial, Object::Stored(entry)) => self.partial(entry, entry.revision, &mut out),
            (Shape::Partial, Object::Made(value)) => text::write(&self.partial_value(value), &mut out),
            (Shape::PartialList, _) => return Err(self.not_a_list()),
            (_, Object::Stored(entry)) => entry.write_json(&self.kind.def, &mut out),
            (_, Object::Made(value)) => text::write(value, &mut out),
        }
        Ok(compress::large(self.finish(status, out)?, headers))
    }

    /// A page of a list.
    pub(crate) async fn list(
        &self,
        list: List,
        headers: &HeaderMap,
        runtime: &Handle,
    ) -> ApiResult<Response> {
        if self.form.shape == Shape::Partial {
            return Err(self.is_a_list());
        }
        if let Some(binary) = &self.binary {
            let response = binary::list::answer(self, binary, list, runtime).await?;
            return Ok(compress::large(response, headers));
        }
        let bytes: usize = list.items.iter().map(|e| e.tail().len()).sum();
        let pieces = list::Pieces::new(self.clone(), list);
        if self.form.wire == Wire::Yaml || self.form.pretty {
            let whole: Vec<u8> = pieces.flatten().collect();
            return Ok(compress::large(self.finish(StatusCode::OK, whole)?, headers));
        }
        let body = if bytes <= list::WHOLE_LIST {
            Body::Chunks(pieces.collect())
        } else {
            Body::Stream(Box::pin(futures::stream::iter(pieces.map(Ok))))
        };
        let response = respond::with_value(StatusCode::OK, respond::JSON, body);
        Ok(compress::large(response, headers))
    }

    /// A watch; `now` is asked again for every batch, for a watch is long.
    pub(crate) fn watch(
        self,
        events: WatchStream,
        now: impl Fn() -> Option<Timestamp> + Send + 'static,
        sent: impl Fn(usize) + Send + 'static,
    ) -> Response {
        const FRAMES: HeaderValue =
            HeaderValue::from_static("application/vnd.kubernetes.protobuf;stream=watch");
        let content_type = if self.binary.is_some() { FRAMES } else { respond::JSON };
        let frames = watch::frames(self, events, now, sent);
        respond::with_value(StatusCode::OK, content_type, Body::Stream(frames))
    }

    /// JSON bytes of one object or list in the wire form.
    fn finish(&self, status: StatusCode, mut json: Vec<u8>) -> ApiResult<Response> {
        if let Some(binary) = &self.binary {
            let bytes = Bytes::from(binary.object(&json)?);
            return Ok(respond::with_value(status, respond::PROTOBUF, Body::Whole(bytes)));
        }
        if self.form.wire == Wire::Yaml {
            let value: Value = serde_json::from_slice(&json).unwrap_or_default();
            let bytes = Bytes::from(text::yaml_of(&value));
            return Ok(respond::with_value(status, respond::YAML, Body::Whole(bytes)));
        }
        if self.form.pretty {
            json = text::pretty(&json);
        }
        if json.last() != Some(&b'\n') {
            json.push(b'\n');
        }
        Ok(respond::json(status, json))
    }

    /// `PartialObjectMetadata`, cut out of the stored bytes.
    fn partial(&self, entry: &Entry, revision: Revision, out: &mut Vec<u8>) {
        let metadata = entry.metadata_tail();
        out.reserve(metadata.len() + 128);
        write_head(out, "PartialObjectMetadata", self.form.meta_version(), revision);
        out.extend_from_slice(&metadata);
        out.push(b'}');
    }

    fn partial_value(&self, value: &Value) -> Value {
        json!({
            "kind": "PartialObjectMetadata", "apiVersion": self.form.meta_version(), "metadata": value["metadata"],
        })
    }

    fn is_a_list(&self) -> ApiError {
        let kind = &self.kind.def.list_kind;
        let text =
            format!("you requested PartialObjectMetadata, but the requested object is a list ({kind})");
        ApiError::new(Reason::NotAcceptable, text)
    }

    fn not_a_list(&self) -> ApiError {
        let kind = &self.kind.def.gvk.kind;
        let text = format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list ({kind})"
        );
        ApiError::new(Reason::NotAcceptable, text)
    }
}

/// `{"resourceVersion":"N","continue":"...","remainingItemCount":n}`
fn write_list_metadata(list: &List, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"resourceVersion\":\"");
    out.extend_from_slice(list.revision.to_string().as_bytes());
    out.push(b'"');
    if let Some(token) = &list.continue_token {
        out.extend_from_slice(b",\"continue\":");
        text::write(&Value::from(token.as_str()), out);
    }
    if let Some(remaining) = list.remaining {
        out.extend_from_slice(b",\"remainingItemCount\":");
        out.extend_from_slice(remaining.to_string().as_bytes());
    }
    out.push(b'}');
}
