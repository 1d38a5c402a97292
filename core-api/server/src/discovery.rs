//! What is served: `/api`, `/apis` and below, plain and aggregated.
//!
//! Documents are made from the catalogue, and from the outline of what others serve, when asked for; only the aggregated
//! ones, which every kubectl asks for, are kept, by generation of both. Upstream: apiserver `pkg/endpoints/discovery`.

mod aggregated;
pub(crate) mod merged;
mod plain;

use crate::{
    api::{Body, Request, Response, Server},
    encode::{binary, text},
    negotiate::{self, Shape, Wire},
    respond,
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use proa_meta::ApiResult;
use proa_registry::{KindDef, kind::Behaviour};
use serde_json::Value;
use std::sync::Arc;

/// Aggregated documents of one generation.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Option<Arc<Aggregated>>>);

struct Aggregated {
    /// Of the catalogue and of the outline.
    generation: (u64, u64),
    core: Document,
    groups: Document,
}

#[derive(Clone)]
struct Document {
    json: Bytes,
    etag: HeaderValue,
}

impl Document {
    fn new(json: Vec<u8>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, &json);
        let etag = digest.as_ref().iter().fold(String::from("\""), |text, b| format!("{text}{b:02X}")) + "\"";
        // Hex digits and quotes are a valid header value.
        let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { json: Bytes::from(json), etag }
    }

    /// Only JSON, which every client asks for, is kept.
    fn written(&self, wire: Wire, server: &Server) -> (Wire, Bytes) {
        let value = || serde_json::from_slice(&self.json).unwrap_or_default();
        match wire {
            Wire::Yaml => (wire, Bytes::from(text::yaml_of(&value()))),
            Wire::Protobuf => match binary::document(&value(), &*server.config.docs) {
                Some(bytes) => (wire, Bytes::from(bytes)),
                None => (Wire::Json, self.json.clone()),
            },
            Wire::Json => (wire, self.json.clone()),
        }
    }
}

/// Answers a path under `/api`; `None` when nothing is there.
pub(crate) fn answer(server: &Server, request: &Request, path: &str) -> Option<ApiResult<Response>> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let catalogue = server.config.registry.catalogue();
    let outline = server.outline();
    let outline = outline.as_deref();
    let value = match parts.as_slice() {
        [prefix @ ("api" | "apis")] => {
            let form = match negotiate::discovery(&request.headers, request.uri.query()) {
                Ok(form) => form,
                Err(error) => return Some(Err(error)),
            };
            if let Shape::Discovery { beta } = form.shape {
                return Some(Ok(aggregated(server, request, *prefix == "api", beta, form.wire)));
            }
            if *prefix == "api" {
                plain::core_versions(&catalogue, &server.config.public_address)
            } else {
                plain::groups(&merged::groups(&catalogue, outline))
            }
        }
        ["api", version] => plain::resources(&catalogue, "", catalogue.version("", version)?),
        ["apis", group] if !group.is_empty() => plain::group(&merged::group(&catalogue, outline, group)?),
        ["apis", group, version] if !group.is_empty() => {
            plain::resources(&catalogue, group, catalogue.version(group, version)?)
        }
        _ => return None,
    };
    Some(negotiated(server, request, &value))
}

fn negotiated(server: &Server, request: &Request, value: &Value) -> ApiResult<Response> {
    let form = negotiate::plain(&request.headers, request.uri.query())?;
    let (content_type, bytes) = respond::render(value, form, &*server.config.docs);
    Ok(respond::with_value(StatusCode::OK, content_type, Body::Whole(bytes)))
}

fn aggregated(server: &Server, request: &Request, core: bool, beta: bool, wire: Wire) -> Response {
    let documents = server.discovery.get(server);
    let mut document = if core { documents.core.clone() } else { documents.groups.clone() };
    if beta {
        document = Document::new(aggregated::as_beta(&document.json));
    }
    let known = request.headers.get(header::IF_NONE_MATCH) == Some(&document.etag);
    let (wire, bytes) = document.written(wire, server);
    let version = if beta { "v2beta1" } else { "v2" };
    let content_type =
        format!("{};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList", wire.media_type());
    let (status, body) = match known {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::Whole(bytes)),
    };
    // Made of constants without control characters.
    let content_type = HeaderValue::from_str(&content_type).unwrap_or(respond::JSON);
    let mut response = respond::with_value(status, content_type, body);
    response.headers.insert(header::ETAG, document.etag);
    response.headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    crate::encode::compress::large(response, &request.headers)
}

impl Cache {
    fn get(&self, server: &Server) -> Arc<Aggregated> {
        let catalogue = server.config.registry.catalogue();
        let outline = server.outline();
        let outline = outline.as_deref();
        let generation = (catalogue.generation(), outline.map_or(0, |outline| outline.generation));
        let mut kept = self.0.lock();
        if let Some(documents) = kept.as_ref().filter(|d| d.generation == generation) {
            return Arc::clone(documents);
        }
        let groups = merged::groups(&catalogue, outline);
        let documents = Arc::new(Aggregated {
            generation,
            core: Document::new(aggregated::document(&groups, true)),
            groups: Document::new(aggregated::document(&groups, false)),
        });
        *kept = Some(Arc::clone(&documents));
        documents
    }
}

/// Verbs of the resource itself, sorted.
fn root_verbs(def: &KindDef) -> &'static [&'static str] {
    match def.behaviour {
        Behaviour::Virtual => &["create"],
        Behaviour::Stored if def.deletes_collection => {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
        Behaviour::Stored => &["create", "delete", "get", "list", "patch", "update", "watch"],
    }
}

/// A subresource as discovery shows it.
struct Subresource<'a> {
    name: &'a str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    verbs: Vec<&'a str>,
}

/// Subresources by name.
fn subresources(def: &KindDef) -> Vec<Subresource<'_>> {
    const OBJECT_VERBS: [&str; 3] = ["get", "patch", "update"];
    let own = &def.gvk;
    let mut found: Vec<Subresource<'_>> = def
        .subresources
        .iter()
        .map(|s| {
            let mut verbs = s.verbs.to_vec();
            verbs.sort_unstable();
            Subresource {
                name: s.name,
                group: &s.gvk.group,
                version: &s.gvk.version,
                kind: &s.gvk.kind,
                verbs,
            }
        })
        .collect();
    let status = def.status.then_some("status");
    for name in status.into_iter().chain(def.parts.iter().map(|part| part.name)) {
        found.push(Subresource {
            name,
            group: &own.group,
            version: &own.version,
            kind: &own.kind,
            verbs: OBJECT_VERBS.to_vec(),
        });
    }
    if def.scale.is_some() {
        let (group, version) = ("autoscaling", "v1");
        found.push(Subresource {
            name: "scale",
            group,
            version,
            kind: "Scale",
            verbs: OBJECT_VERBS.to_vec(),
        });
    }
    found.sort_unstable_by_key(|s| s.name);
    found
}
