//! The kind WebServer: as users write it, as its definition has it, and as the operator reads it.

use kube::CustomResource;
use proa_kit::{
    Kind, Meta, View as _,
    conditions::{self, Condition},
};
use schemars::JsonSchema;
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
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
}

/// A WebServer in the operator's cache.
#[derive(Clone, Debug, Deserialize)]
pub struct WebServerView {
    /// Metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: WebServerSpec,
    /// What is there.
    #[serde(default)]
    pub status: WebServerStatus,
}

proa_kit::view!(WebServerView, Kind::namespaced("webserver.example.com", "v1", "WebServer", "webservers"));

impl WebServerView {
    /// The host name that it asks for.
    pub fn host(&self, domain: &str) -> String {
        let Meta { name, namespace, .. } = self.meta();
        self.spec.host.clone().unwrap_or_else(|| format!("{name}.{namespace}.{domain}"))
    }
    /// Of two that ask for the same host the older one has it; of two of the same second the one whose namespace and name
    /// come first.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let age = |site: &Self| {
            let Meta { creation_timestamp, namespace, name, .. } = site.meta();
            (*creation_timestamp, namespace.clone(), name.clone())
        };
        age(self) < age(other)
    }
}
