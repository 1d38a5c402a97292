//! `/openapi/v3` and `/openapi/v2`: what kubectl explains, validates and merges by.
//!
//! A document is made when it is first asked for and kept compressed while the catalogue is the same: most servers
//! are asked for few of them, and clients keep them by hash. Texts of built-in types come through [`SchemaDocs`],
//! because this crate knows no concrete kind; custom kinds are written from their own schemas.
//! Upstream: kube-openapi `pkg/{handler3,builder3,handler}`.

mod components;
mod gnostic;
mod operations;
mod paths;
pub(crate) mod swagger;

use crate::{
    aggregation::{Outline, Remote},
    api::{Body, Request, Response, Server},
    encode::{compress, text},
    negotiate,
    query::Query,
    respond,
    version::GIT_VERSION,
};
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use proa_meta::{ApiError, ApiResult, Reason};
use proa_registry::registry::{Catalogue, Kind};
use proa_schema::SchemaRef;
use serde_json::{Map, Value, json};
use std::{
    cell::LazyCell,
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    io::{self, Read as _, Write as _},
    sync::Arc,
};
use swagger::{Added, Swagger};

/// Which OpenAPI document something is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenApi {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
}

/// Knows built-in types by their OpenAPI names.
pub trait SchemaDocs: Send + Sync {
    /// The component of a type such as `io.k8s.api.core.v1.Pod`, with references to other components; null when
    /// there is no such type.
    fn component(&self, type_name: &str, version: OpenApi) -> Value;
    /// The schema of a type that is no kind of its own, such as `DeleteOptions`.
    fn schema(&self, _type_name: &str) -> Option<SchemaRef> {
        None
    }
    /// Changes when any component does.
    fn fingerprint(&self) -> u64 {
        0
    }
}

/// Knows none.
pub(crate) struct NoDocs;

impl SchemaDocs for NoDocs {
    fn component(&self, _: &str, _: OpenApi) -> Value {
        Value::Null
    }
}

/// Documents of one catalogue generation.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    generation: u64,
    /// Compressed documents by path.
    documents: HashMap<String, Bytes>,
    /// Hashes of documents by path: known before the documents are made.
    hashes: HashMap<String, Arc<str>>,
}

impl Kept {
    /// Forgets everything that is of another generation.
    fn at(&mut self, generation: u64) -> &mut Self {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
        self
    }
}

/// A group and version that has a document.
struct Part<'a> {
    group: &'a str,
    version: &'a str,
    kinds: Vec<&'a Arc<Kind>>,
}

impl Part<'_> {
    /// `api/v1`, `apis/apps/v1`.
    fn path(&self) -> String {
        match self.group {
            "" => format!("api/{}", self.version),
            group => format!("apis/{group}/{}", self.version),
        }
    }
}

fn parts(catalogue: &Catalogue) -> Vec<Part<'_>> {
    let groups = catalogue.groups().iter();
    let versions = groups.flat_map(|g| g.versions.iter().map(|v| (g.name.as_str(), v)));
    versions.map(|(group, v)| Part { group, version: &v.name, kinds: v.kinds.values().collect() }).collect()
}

/// Answers a path under `/openapi/`; `None` when nothing is there.
pub(crate) fn answer(
    server: &Server,
    request: &Request,
    path: &str,
    query: &Query<'_>,
) -> Option<ApiResult<Response>> {
    let catalogue = server.config.registry.catalogue();
    match path.strip_prefix("/openapi/")? {
        "v3" => Some(Ok(index(server, request, &catalogue))),
        "v2" => Some(v2(server, request, &catalogue)),
        rest => {
            let wanted = rest.strip_prefix("v3/")?;
            let part = parts(&catalogue).into_iter().find(|part| part.path() == wanted);
            Some(match part {
                Some(part) => v3(server, request, &catalogue, &part, query),
                None => Ok(Response {
                    status: StatusCode::NOT_FOUND,
                    headers: HeaderMap::new(),
                    body: Body::empty(),
                }),
            })
        }
    }
}

fn index(server: &Server, request: &Request, catalogue: &Catalogue) -> Response {
    let mut paths: Map<String, Value> = parts(catalogue)
        .iter()
        .map(|part| {
            let hash = server.openapi.hash(server, catalogue.generation(), part);
            let url = format!("/openapi/v3/{}?hash={hash}", part.path());
            (part.path(), json!({"serverRelativeURL": url}))
        })
        .collect();
    // Documents of other API servers, which are asked for them; they may stand in for this one's.
    for remote in server.outline().iter().flat_map(|outline| &outline.remotes) {
        paths.extend(remote.documents.iter().map(|(path, value)| (path.clone(), value.clone())));
    }
    let index = Body::Whole(text::json_of(&json!({"paths": paths})).into());
    // As upstream, which leaves the type out and has it guessed.
    let response = respond::with_type(StatusCode::OK, "text/plain; charset=utf-8", index);
    compress::large(response, &request.headers)
}

/// Stands for everything that the document is made of.
fn hash(server: &Server, part: &Part<'_>) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(GIT_VERSION.as_bytes());
    context.update(&server.config.docs.fingerprint().to_le_bytes());
    for kind in &part.kinds {
        let def = &kind.def;
        context.update(def.gvk.to_string().as_bytes());
        context.update(def.resource.as_bytes());
        context.update(&[u8::from(def.status), u8::from(def.scale.is_some())]);
        if def.custom {
            context.update(proa_schema::crd::openapi::v3(&def.schema).to_string().as_bytes());
        }
    }
    let digest = context.finish();
    digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02X}"))
}

fn v3(
    server: &Server,
    request: &Request,
    catalogue: &Catalogue,
    part: &Part<'_>,
    query: &Query<'_>,
) -> ApiResult<Response> {
    negotiate::text(&request.headers, None)?;
    let hash = server.openapi.hash(server, catalogue.generation(), part);
    let write = |out: &mut Packed| {
        write!(out, "{{\"openapi\":\"3.0.0\",\"info\":{},\"paths\":{{", info())?;
        members(out, |emit| paths::each(part, OpenApi::V3, emit))?;
        write!(out, "}},\"components\":{{\"securitySchemes\":{},\"schemas\":{{", security())?;
        members(out, |emit| components::each(server, &[part], OpenApi::V3, emit))?;
        out.write_all(b"}}}")
    };
    if is_known(request, &hash) {
        return Ok(tagged(
            respond::with_value(StatusCode::NOT_MODIFIED, respond::JSON, Body::empty()),
            &hash,
        ));
    }
    let key = format!("v3/{}", part.path());
    let mut response = server.openapi.serve(catalogue.generation(), key, request, write)?;
    if query.text("hash") == Some(&*hash) {
        let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers.insert(header::CACHE_CONTROL, forever);
    }
    Ok(tagged(response, &hash))
}

/// Whether the client holds this very document.
fn is_known(request: &Request, hash: &str) -> bool {
    let held = request.headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    held.is_some_and(|held| held.trim_matches('"') == hash)
}

fn tagged(mut response: Response, hash: &str) -> Response {
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        response.headers.insert(header::ETAG, etag);
    }
    response
}

fn v2(server: &Server, request: &Request, catalogue: &Catalogue) -> ApiResult<Response> {
    let parts = parts(catalogue);
    let all: Vec<&Part<'_>> = parts.iter().collect();
    let outline = server.outline();
    let others = others(&parts, outline.as_deref());
    let added = LazyCell::new(|| {
        if others.is_empty() {
            return Ok(Added::default());
        }
        let mut own = BTreeMap::new();
        components::each(server, &all, OpenApi::V2, &mut |name, value| {
            own.insert(name.to_owned(), value.clone());
            Ok(())
        })?;
        Ok::<_, io::Error>(swagger::join(&others, &own))
    });
    let added = || added.as_ref().map_err(|error| io::Error::other(error.to_string()));
    let each_path = |emit: &mut Emit<'_>| {
        parts.iter().try_for_each(|p| paths::each(p, OpenApi::V2, emit))?;
        added()?.paths.iter().try_for_each(|(path, item)| emit(path, item))
    };
    let each_definition = |emit: &mut Emit<'_>| {
        let added = added()?;
        components::each(server, &all, OpenApi::V2, &mut |name, value| match added.kinds.get(name) {
            None => emit(name, value),
            Some(kinds) => {
                let mut value = value.clone();
                value[swagger::KINDS] = kinds.clone();
                emit(name, &value)
            }
        })?;
        added.definitions.iter().try_for_each(|(name, value)| emit(name, value))
    };
    let generation = catalogue.generation();
    // Of what others add, only the latest is kept.
    let suffix: String = others.iter().map(|other| format!("+{:x}", other.hash())).collect();
    if negotiate::prefers(&request.headers, PROTOBUF) {
        let write = |out: &mut Packed| gnostic::write(out, &info(), each_path, each_definition);
        let mut response = server.openapi.serve(generation, format!("v2.pb{suffix}"), request, write)?;
        let returned = HeaderValue::from_static("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
        response.headers.insert(header::CONTENT_TYPE, returned);
        return Ok(response);
    }
    const ONLY: &str = "only the following media types are accepted: application/json, \
                        application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    negotiate::text(&request.headers, None).map_err(|_| ApiError::new(Reason::NotAcceptable, ONLY))?;
    server.openapi.serve(generation, format!("v2{suffix}"), request, |out| {
        write!(out, "{{\"swagger\":\"2.0\",\"info\":{},\"paths\":{{", info())?;
        members(out, each_path)?;
        out.write_all(b"},\"definitions\":{")?;
        members(out, each_definition)?;
        write!(out, "}},\"securityDefinitions\":{},\"security\":[{{\"BearerToken\":[]}}]}}", security())
    })
}

/// Documents of other API servers, those of important groups first; none of what this one answers for itself.
fn others<'o>(parts: &[Part<'_>], outline: Option<&'o Outline>) -> Vec<&'o Swagger> {
    let Some(outline) = outline else { return Vec::new() };
    let is_own = |remote: &Remote| {
        parts.iter().any(|part| part.group == remote.group && part.version == remote.version)
    };
    let mut remotes: Vec<&Remote> =
        outline.remotes.iter().filter(|remote| !remote.swagger.is_empty() && !is_own(remote)).collect();
    remotes.sort_by_key(|remote| {
        let priority = outline.priority(&remote.group, &remote.version);
        (Reverse((priority.group, priority.version)), remote.service_name())
    });
    remotes.into_iter().map(|remote| &*remote.swagger).collect()
}

/// How clients ask for version 2 in protobuf.
const PROTOBUF: &str = "com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// A document being written: compressed at once, for it is large and rarely read uncompressed.
type Packed = GzEncoder<Vec<u8>>;

/// Takes one named path or schema after the other.
type Emit<'a> = dyn FnMut(&str, &Value) -> io::Result<()> + 'a;

/// Writes `"name":value` for all that `each` emits.
fn members(out: &mut Packed, each: impl FnOnce(&mut Emit<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut first = true;
    each(&mut |name, value| {
        if !std::mem::take(&mut first) {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b":")?;
        Ok(serde_json::to_writer(&mut *out, value)?)
    })
}

fn security() -> Value {
    json!({"BearerToken": {
        "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
    }})
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": GIT_VERSION})
}

impl Cache {
    fn serve(
        &self,
        generation: u64,
        key: String,
        request: &Request,
        write: impl FnOnce(&mut Packed) -> io::Result<()>,
    ) -> ApiResult<Response> {
        let compressed = match self.find(generation, &key) {
            Some(bytes) => bytes,
            None => {
                let bytes = deflate(write).map_err(ApiError::internal)?;
                self.keep(generation, key, &bytes);
                bytes
            }
        };
        let accepts = compress::accepts_gzip(&request.headers);
        let body = if accepts { compressed } else { inflate(&compressed).map_err(ApiError::internal)? };
        let mut response = respond::with_value(StatusCode::OK, respond::JSON, Body::Whole(body));
        if accepts {
            response.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
        Ok(response)
    }

    fn find(&self, generation: u64, key: &str) -> Option<Bytes> {
        self.0.lock().at(generation).documents.get(key).cloned()
    }

    fn keep(&self, generation: u64, key: String, bytes: &Bytes) {
        let mut kept = self.0.lock();
        let documents = &mut kept.at(generation).documents;
        // The same document with less, or something else, from other servers.
        let name = key.split('+').next().unwrap_or_default().to_owned();
        documents.retain(|other, _| other.split('+').next() != Some(&*name));
        documents.insert(key, bytes.clone());
    }

    fn hash(&self, server: &Server, generation: u64, part: &Part<'_>) -> Arc<str> {
        let path = part.path();
        if let Some(known) = self.0.lock().at(generation).hashes.get(&path) {
            return Arc::clone(known);
        }
        let hash: Arc<str> = hash(server, part).into();
        self.0.lock().at(generation).hashes.insert(path, Arc::clone(&hash));
        hash
    }
}

fn deflate(write: impl FnOnce(&mut Packed) -> io::Result<()>) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    write(&mut encoder)?;
    encoder.finish().map(Bytes::from)
}

fn inflate(bytes: &[u8]) -> io::Result<Bytes> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(Bytes::from(out))
}
