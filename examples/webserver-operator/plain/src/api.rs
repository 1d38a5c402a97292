//! The kind WebServer.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, ResourceExt as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A page in, a running site out.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "webserver.example.com",
    version = "v1",
    kind = "WebServer",
    namespaced,
    status = "WebServerStatus",
    shortname = "web",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')")
        .message("the name must be one of a Service: at most 63 of a-z, 0-9 and -, and a letter first"),
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
pub struct WebServerSpec {
    /// The page, as HTML.
    #[schemars(length(min = 1, max = 250_000))]
    pub www: String,
    /// How many pods serve it.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// Host name of the site. Without one it is NAME.NAMESPACE of the operator's domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub host: Option<String>,
}

fn one() -> i32 {
    1
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WebServerStatus {
    /// Where the site is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Pods that serve the page.
    pub ready_replicas: i32,
    /// Generation that this is about.
    pub observed_generation: i64,
    /// `Accepted`: the spec can be served. `Ready`: it is.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// k8s-openapi's types describe themselves by references, which definitions may not have.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "required": ["type", "status", "reason", "message", "lastTransitionTime"], "properties": {
            "type": {"type": "string"}, "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string"}, "message": {"type": "string"},
            "observedGeneration": {"type": "integer", "format": "int64"},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
        }},
    })
}

impl WebServer {
    /// The host name that it asks for.
    pub fn host(&self, domain: &str) -> String {
        let by_name = || format!("{}.{}.{domain}", self.name_any(), self.namespace().unwrap_or_default());
        self.spec.host.clone().unwrap_or_else(by_name)
    }
    /// Of two that ask for the same host the older one has it; of two of the same second the one whose namespace and name
    /// come first.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let age = |site: &Self| (site.creation_timestamp(), site.namespace(), site.name_any());
        age(self) < age(other)
    }
}
