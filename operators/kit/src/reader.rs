//! Reading: caches, and single reads from the API. It has no write, so that `observe` cannot.

use crate::{
    cache::{Cache, CachePool, Filter},
    error::{Error, Result},
    kind::{Kind, ObjectRef},
    views::{Meta, Typed, View},
};
use kube::Client;
use serde::{Deserialize, de::DeserializeOwned};

/// Reads with an operator's identity.
#[derive(Clone)]
pub struct Reader {
    client: Client,
    caches: CachePool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// A list from the API.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "V: Deserialize<'de>"))]
pub struct Listed<V> {
    /// Its version, and whether there is more.
    #[serde(default)]
    pub metadata: ListMeta,
    /// The objects.
    #[serde(default = "Vec::new", deserialize_with = "crate::views::null_as_default")]
    pub items: Vec<V>,
}

/// Metadata of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// Version of the list.
    pub resource_version: Box<str>,
    /// Token of the next page; empty at the end.
    #[serde(rename = "continue")]
    pub next: Box<str>,
    /// Objects not on this page, where the server counted them.
    pub remaining_item_count: Option<i64>,
}

impl Reader {
    /// Reads with `client` and from `caches`.
    pub fn new(client: Client, caches: CachePool) -> Self {
        Self { client, caches }
    }
    /// The cache of a watched view.
    pub fn cache<V: Typed>(&self) -> Cache<V> {
        self.caches.cache(&V::KIND, &Filter::default())
    }
    /// The cache of part of a kind, or of a kind found at run time.
    pub fn cache_of<V: View>(&self, kind: &Kind, filter: &Filter) -> Cache<V> {
        self.caches.cache(kind, filter)
    }
    /// The pool behind the caches.
    pub fn caches(&self) -> &CachePool {
        &self.caches
    }
    /// One object from the API; `None` when it does not exist.
    pub async fn get<V: DeserializeOwned>(&self, object: &ObjectRef) -> Result<Option<V>> {
        match self.fetch(&object.path(""), "application/json").await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
    /// Metadata of one object from the API; `None` when it does not exist.
    pub async fn get_metadata(&self, object: &ObjectRef) -> Result<Option<Meta>> {
        #[derive(Deserialize)]
        struct Partial {
            metadata: Meta,
        }
        match self.fetch::<Partial>(&object.path(""), PARTIAL_OBJECT).await {
            Ok(found) => Ok(Some(found.metadata)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
    /// All objects of a kind from the API, of one namespace unless it is empty. Metadata only, if the view says so.
    pub async fn list<V: View>(&self, kind: &Kind, namespace: &str) -> Result<Listed<V>> {
        let accept = if V::METADATA_ONLY { PARTIAL_LIST } else { "application/json" };
        self.fetch(&kind.path(namespace, "", ""), accept).await
    }
    /// Whatever is at a path of the API, such as discovery.
    pub async fn fetch<T: DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T> {
        let text = self.text(path, accept).await?;
        serde_json::from_str(&text).map_err(|source| Error::Decode { what: path.to_owned(), source })
    }
    /// Whatever is at a path of the API, as text.
    pub async fn text(&self, path: &str, accept: &str) -> Result<String> {
        let request = http::Request::get(path).header(http::header::ACCEPT, accept).body(Vec::new());
        let request =
            request.map_err(|error| Error::api(format!("get {path}"), kube::Error::HttpError(error)))?;
        let answer = self.client.request_text(request).await;
        answer.map_err(|error| Error::api(format!("get {path}"), error))
    }
}

const PARTIAL_OBJECT: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
