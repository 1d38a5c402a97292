//! What the server of an APIService serves: its part of discovery and of OpenAPI.
//!
//! Servers that know only the old form of discovery are asked for that. Upstream: kube-aggregator `pkg/apiserver/handler_discovery.go`, apiserver
//! `pkg/endpoints/installer.go` `ConvertGroupVersionIntoToDiscovery`, `pkg/controllers/openapiv3/aggregator`.

use super::{
    Aggregator,
    ask::Read,
    service::Spec,
    table::{Backend, Learned},
};
use http::StatusCode;
use proa_server::aggregation::Swagger;
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};

/// How often a server is asked again.
pub(super) const AGAIN: Duration = Duration::from_secs(60);
/// The first pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const JSON: &str = "application/json";

/// When to ask a server again that did not say, after so many other failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << failures.min(10)).min(AGAIN)
}

impl Aggregator {
    /// Asks a server what it serves. Without an answer it serves nothing, and is stale.
    pub(super) async fn learned(&self, name: &str, backend: &Backend) -> Learned {
        let resources = match self.resources(backend).await {
            Ok(resources) => resources,
            Err(why) => {
                tracing::debug!(name, why, "an API server did not say what it serves");
                return Learned::default();
            }
        };
        let documents = self.documents(backend).await.unwrap_or_else(|why| {
            tracing::debug!(name, why, "an API server has no OpenAPI documents of version 3");
            Map::new()
        });
        let swagger = self.swagger(backend).await.unwrap_or_else(|why| {
            tracing::debug!(name, why, "an API server has no OpenAPI document of version 2");
            Swagger::default()
        });
        Learned {
            is_current: true,
            resources: Arc::new(resources),
            documents: Arc::new(documents),
            swagger: Arc::new(swagger),
        }
    }

    async fn swagger(&self, backend: &Backend) -> Result<Swagger, String> {
        let read = self.read(backend, "/openapi/v2", JSON).await?;
        if read.status != StatusCode::OK {
            return Err(read.status.to_string());
        }
        let document: Value = serde_json::from_slice(&read.body).map_err(|error| error.to_string())?;
        Ok(Swagger::below(document, &format!("{}/", backend.spec.path())))
    }

    async fn resources(&self, backend: &Backend) -> Result<Vec<Value>, String> {
        let spec = &backend.spec;
        let Read { status, content_type, body } = self.read(backend, "/apis", AGGREGATED).await?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(format!("non-success response code: {}", status.as_u16()));
        }
        if status == StatusCode::OK && is_aggregated(&content_type) {
            let document: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            return Ok(of_aggregated(&document, spec));
        }
        let read = self.read(backend, &spec.path(), JSON).await?;
        if read.status != StatusCode::OK {
            return Err(format!("failed to download legacy discovery: {}", read.status));
        }
        of_legacy(&serde_json::from_slice(&read.body).map_err(|error| error.to_string())?)
    }

    async fn documents(&self, backend: &Backend) -> Result<Map<String, Value>, String> {
        let read = self.read(backend, "/openapi/v3", JSON).await?;
        if read.status != StatusCode::OK {
            return Err(read.status.to_string());
        }
        let index: Value = serde_json::from_slice(&read.body).map_err(|error| error.to_string())?;
        Ok(own_documents(&index, &backend.spec))
    }
}

fn is_aggregated(content_type: &str) -> bool {
    let mut parameters = content_type.split(';').map(str::trim);
    parameters.next() == Some(JSON)
        && ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"]
            .iter()
            .all(|wanted| content_type.split(';').any(|own| own.trim() == *wanted))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The resources of the version that the APIService is about.
fn of_aggregated(document: &Value, spec: &Spec) -> Vec<Value> {
    let groups = items(&document["items"]);
    let own = groups.filter(|group| group["metadata"]["name"].as_str().unwrap_or_default() == spec.group);
    let mut versions = own.flat_map(|group| items(&group["versions"]));
    let version = versions.find(|version| version["version"] == spec.version);
    let mut resources: Vec<Value> = version
        .map(|v| items(&v["resources"]).filter(|r| r.is_object()).cloned().collect())
        .unwrap_or_default();
    for resource in &mut resources {
        with_kind(resource);
        let parts = resource.get_mut("subresources").and_then(Value::as_array_mut);
        parts.into_iter().flatten().for_each(with_kind);
    }
    resources
}

/// Old clients expect a kind everywhere.
fn with_kind(value: &mut Value) {
    // The other server may have said anything.
    if let Some(members) = value.as_object_mut()
        && members.get("responseKind").is_none_or(Value::is_null)
    {
        members.insert("responseKind".to_owned(), json!({"group": "", "version": "", "kind": ""}));
    }
}

/// A list of resources in the old form, where subresources stand beside their resources.
fn of_legacy(list: &Value) -> Result<Vec<Value>, String> {
    let named = |resource: &Value| {
        let name = resource["name"].as_str().unwrap_or_default().to_owned();
        match name.split_once('/') {
            Some((parent, name)) => (parent.to_owned(), Some(name.to_owned())),
            None => (name, None),
        }
    };
    let mut found: Vec<Value> = Vec::new();
    for resource in items(&list["resources"]) {
        if let (name, None) = named(resource) {
            found.push(converted(resource, &name));
        }
    }
    for subresource in items(&list["resources"]) {
        let (parent, Some(name)) = named(subresource) else { continue };
        let at = found.iter().position(|resource| resource["resource"] == parent).unwrap_or_else(|| {
            let mut made = json!({"resource": parent, "scope": scope(subresource), "verbs": []});
            with_kind(&mut made);
            found.push(made);
            found.len() - 1
        });
        if found[at]["scope"] != scope(subresource) {
            return Err(format!("scopes of {parent} and {parent}/{name} do not match"));
        }
        let mut converted = json!({"subresource": name, "verbs": subresource["verbs"]});
        if subresource["kind"].as_str().is_some_and(|kind| !kind.is_empty()) {
            converted["responseKind"] = kind(subresource);
        }
        with_kind(&mut converted);
        if !found[at]["subresources"].is_array() {
            found[at]["subresources"] = json!([]);
        }
        if let Some(all) = found[at]["subresources"].as_array_mut() {
            all.push(converted);
        }
    }
    Ok(found)
}

fn converted(resource: &Value, name: &str) -> Value {
    let mut converted = json!({
        "resource": name, "responseKind": kind(resource), "scope": scope(resource),
        "singularResource": resource["singularName"].as_str().unwrap_or_default(), "verbs": resource["verbs"],
    });
    for field in ["shortNames", "categories"] {
        if !resource[field].is_null() {
            converted[field] = resource[field].clone();
        }
    }
    converted
}

fn scope(resource: &Value) -> &'static str {
    if resource["namespaced"] == true { "Namespaced" } else { "Cluster" }
}

fn kind(resource: &Value) -> Value {
    let text = |field: &str| resource[field].as_str().unwrap_or_default();
    json!({"group": text("group"), "version": text("version"), "kind": text("kind")})
}

/// Those of a server's documents that the APIService gives it a say in.
fn own_documents(index: &Value, spec: &Spec) -> Map<String, Value> {
    let own = spec.path();
    let own = own.trim_start_matches('/');
    let group = format!("apis/{}", spec.group);
    let paths = index["paths"].as_object().into_iter().flatten();
    let is_own = |path: &str| path == own || (!spec.group.is_empty() && path == group);
    paths.filter(|(path, _)| is_own(path)).map(|(path, value)| (path.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregator::service::Place;

    fn spec() -> Spec {
        let (group, version) = ("a.io".to_owned(), "v1".to_owned());
        let place = Place::default();
        Spec { group, version, place, ca_bundle: Default::default(), insecure: false }
    }

    #[test]
    fn the_version_of_the_service_is_taken() {
        let version = |name: &str, resource: &str| json!({"version": name, "resources": [{"resource": resource, "subresources": [{"subresource": "status"}]}]});
        let document = json!({"items": [
            {"metadata": {"name": "b.io"}, "versions": [version("v1", "no")]},
            {"metadata": {"name": "a.io"}, "versions": [version("v2", "no"), version("v1", "yes")]},
        ]});
        let resources = of_aggregated(&document, &spec());
        assert_eq!(resources.len(), 1);
        assert_eq!(resources[0]["resource"], "yes");
        assert_eq!(resources[0]["responseKind"]["kind"], "");
        assert_eq!(resources[0]["subresources"][0]["responseKind"]["kind"], "");
        assert!(of_aggregated(&json!({"items": []}), &spec()).is_empty());
    }

    #[test]
    fn the_old_form_is_understood() {
        let list = json!({"resources": [
            {"name": "as/status", "namespaced": true, "kind": "A", "verbs": ["get"]},
            {"name": "as", "singularName": "a", "namespaced": true, "kind": "A", "verbs": ["get", "list"],
                "shortNames": ["x"]},
            {"name": "bs/log", "namespaced": false, "kind": "", "verbs": ["get"]},
        ]});
        let found = of_legacy(&list).unwrap();
        assert_eq!(
            found[0],
            json!({"resource": "as", "singularResource": "a", "scope": "Namespaced", "verbs": ["get", "list"],
                "shortNames": ["x"], "responseKind": {"group": "", "version": "", "kind": "A"},
                "subresources": [{"subresource": "status", "verbs": ["get"],
                    "responseKind": {"group": "", "version": "", "kind": "A"}}]})
        );
        assert_eq!((&found[1]["resource"], &found[1]["scope"]), (&json!("bs"), &json!("Cluster")));
        let wrong = json!({"resources": [
            {"name": "as", "namespaced": true}, {"name": "as/status", "namespaced": false}]});
        assert!(of_legacy(&wrong).is_err());
    }

    #[test]
    fn servers_have_no_say_in_others_documents() {
        let index =
            json!({"paths": {"apis": 1, "apis/a.io": 2, "apis/a.io/v1": 3, "apis/apps/v1": 4, "version": 5}});
        let own = own_documents(&index, &spec());
        assert_eq!(own.keys().collect::<Vec<_>>(), ["apis/a.io", "apis/a.io/v1"]);
    }

    #[test]
    fn answers_are_recognized_and_asked_for_again() {
        assert!(is_aggregated("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"));
        assert!(!is_aggregated("application/json"));
        assert!(!is_aggregated("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"));
        let pauses = [0, 1, 6, 7, 99].map(|n| pause(n).as_millis());
        assert_eq!(pauses, [500, 1000, 32_000, 60_000, 60_000]);
    }
}
