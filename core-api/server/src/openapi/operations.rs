//! One operation of a path, in either version.

use super::{
    OpenApi,
    components::{name_of, reference},
};
use proa_meta::Gvk;
use proa_registry::KindDef;
use proa_schema::{SchemaRef, Shape};
use serde_json::{Value, json};

/// What is written about an operation.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// `x-kubernetes-action`.
    pub(super) action: &'static str,
    pub(super) subresource: &'static str,
    /// Component of the answer; none: whatever something else says.
    pub(super) answer: Option<String>,
    /// Component of the body.
    pub(super) body: Option<String>,
    pub(super) gvk: Gvk,
    /// Lists all namespaces.
    pub(super) across: bool,
    /// Type of further parameters.
    pub(super) query: Option<SchemaRef>,
    /// Stands for all paths below.
    pub(super) below: bool,
}

const PATCH_TYPES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

impl Operation {
    pub(super) fn new(method: &'static str, action: &'static str, def: &KindDef) -> Self {
        Self {
            method,
            action,
            subresource: "",
            answer: Some(name_of(def)),
            body: None,
            gvk: def.gvk.clone(),
            across: false,
            query: None,
            below: false,
        }
    }

    pub(super) fn write(&self, def: &KindDef, version: OpenApi) -> Value {
        let mut value = json!({
            "tags": [tag(&def.gvk)],
            "description": self.description(def),
            "operationId": self.id(def),
            "parameters": self.parameters(version),
            "x-kubernetes-action": self.action,
            "x-kubernetes-group-version-kind":
                {"group": self.gvk.group, "version": self.gvk.version, "kind": self.gvk.kind},
        });
        let code = if self.method == "post" { "201" } else { "200" };
        let answer = match &self.answer {
            Some(name) => reference(name, version),
            None => json!({"type": "string"}),
        };
        match version {
            OpenApi::V3 => {
                let schema = json!({"schema": answer});
                let content: serde_json::Map<_, _> =
                    self.media_types(def).map(|t| (t.to_owned(), schema.clone())).collect();
                value["responses"] = json!({
                    code: {"description": "OK", "content": content}, "401": {"description": "Unauthorized"},
                });
                if let Some(body) = &self.body {
                    let schema = json!({"schema": reference(body, version)});
                    let types = if self.method == "patch" { PATCH_TYPES.as_slice() } else { &["*/*"] };
                    let content: serde_json::Map<_, _> =
                        types.iter().map(|t| ((*t).to_owned(), schema.clone())).collect();
                    value["requestBody"] = json!({"content": content});
                }
            }
            OpenApi::V2 => {
                value["consumes"] = if self.method == "patch" { json!(PATCH_TYPES) } else { json!(["*/*"]) };
                value["produces"] = self.media_types(def).collect();
                value["schemes"] = json!(["https"]);
                value["responses"] = json!({
                    code: {"description": "OK", "schema": answer}, "401": {"description": "Unauthorized"},
                });
            }
        }
        value
    }

    /// What is answered; lists are also watched.
    fn media_types(&self, def: &KindDef) -> impl Iterator<Item = &'static str> {
        const OBJECTS: [&str; 3] =
            ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
        const WATCHES: [&str; 2] =
            ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
        const ANY: [&str; 1] = ["*/*"];
        let (objects, watches) = match (def.custom, self.action) {
            (_, "connect") => (&ANY[..], &WATCHES[..0]),
            (true, _) => (&OBJECTS[..2], &WATCHES[..0]),
            (false, "list" | "watch" | "watchlist") => (&OBJECTS[..], &WATCHES[..]),
            (false, _) => (&OBJECTS[..], &WATCHES[..0]),
        };
        objects.iter().chain(watches).copied()
    }

    fn description(&self, def: &KindDef) -> String {
        let verb = match self.action {
            "list" => "list objects of kind",
            "watch" | "watchlist" => "watch (deprecated: list with the parameter watch instead)",
            "connect" => "connect to",
            "post" => "create",
            "deletecollection" => "delete collection of",
            "put" => "replace the specified",
            "patch" => "partially update the specified",
            "delete" => "delete",
            _ => "read the specified",
        };
        let part = if self.subresource.is_empty() { "" } else { " of the specified" };
        format!("{verb} {}{part} {}", self.subresource, def.gvk.kind).replace("  ", " ")
    }

    fn id(&self, def: &KindDef) -> String {
        let tag = camel(&tag(&def.gvk));
        let verb = match self.action {
            "list" => format!("list{tag}"),
            "watch" | "watchlist" => format!("watch{tag}"),
            "connect" => format!("connect{tag}{}", camel(self.method)),
            "post" => format!("create{tag}"),
            "deletecollection" => format!("delete{tag}Collection"),
            "put" => format!("replace{tag}"),
            "patch" => format!("patch{tag}"),
            "delete" => format!("delete{tag}"),
            _ => format!("read{tag}"),
        };
        let namespaced = if def.is_namespaced() && !self.across { "Namespaced" } else { "" };
        let list = if self.action == "watchlist" { "List" } else { "" };
        let across = if self.across { "ForAllNamespaces" } else { "" };
        let below = if self.below { "WithPath" } else { "" };
        format!("{verb}{namespaced}{}{}{list}{across}{below}", def.gvk.kind, camel(self.subresource))
    }

    fn parameters(&self, version: OpenApi) -> Value {
        const LISTING: &[(&str, &str)] = &[
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("shardSelector", "string"),
            ("timeoutSeconds", "integer"),
        ];
        const WATCHING: &[(&str, &str)] = &[("allowWatchBookmarks", "boolean"), ("watch", "boolean")];
        const WRITING: &[(&str, &str)] =
            &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
        const FORCING: &[(&str, &str)] = &[("force", "boolean")];
        const DELETING: &[(&str, &str)] = &[
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
            ("orphanDependents", "boolean"),
            ("propagationPolicy", "string"),
        ];
        let names: &[&[(&str, &str)]] = match self.action {
            "list" | "watch" | "watchlist" => &[LISTING, WATCHING],
            "deletecollection" => &[DELETING, LISTING],
            "post" | "put" => &[WRITING],
            "patch" => &[WRITING, FORCING],
            "delete" => &[DELETING],
            _ => &[],
        };
        let names = names.iter().flat_map(|list| list.iter().copied());
        let own = self.query.iter().flat_map(|query| query_parameters(query));
        let mut parameters: Vec<Value> =
            names.chain(own).map(|(name, kind)| parameter(name, "query", kind, version)).collect();
        if let (OpenApi::V2, Some(body)) = (version, &self.body) {
            parameters.push(json!({
                "name": "body", "in": "body", "required": !self.method.starts_with('d'),
                "schema": reference(body, version),
            }));
        }
        Value::Array(parameters)
    }
}

/// Parameters that all operations of a path share.
pub(super) fn item_parameters(path: &str, version: OpenApi, is_pretty: bool) -> Value {
    let parts = ["namespace", "name", "path"].into_iter();
    let named = parts.filter(|name| path.contains(&format!("{{{name}}}")));
    let in_path = named.map(|name| {
        let mut value = parameter(name, "path", "string", version);
        value["required"] = json!(true);
        value
    });
    let pretty = is_pretty.then(|| parameter("pretty", "query", "string", version));
    Value::Array(in_path.chain(pretty).collect())
}

/// The fields of a type that a query can carry, with their types.
fn query_parameters(schema: &SchemaRef) -> Vec<(&str, &'static str)> {
    fn kind(schema: &SchemaRef) -> Option<&'static str> {
        match &schema.shape {
            Shape::Boolean => Some("boolean"),
            Shape::Integer { .. } => Some("integer"),
            Shape::String => Some("string"),
            Shape::List(list) => kind(&list.items),
            _ => None,
        }
    }
    let Shape::Object(object) = &schema.shape else { return Vec::new() };
    let own = object.fields.iter().filter(|(name, _)| !matches!(&***name, "apiVersion" | "kind"));
    own.filter_map(|(name, field)| Some((&**name, kind(&field.schema)?))).collect()
}

/// What tells which resources there are.
pub(super) fn index(gvk: &Gvk, version: OpenApi) -> Value {
    const LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";
    const TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
    let schema = reference(LIST, version);
    let mut value = json!({
        "tags": [tag(gvk)], "description": "get available resources",
        "operationId": format!("get{}APIResources", camel(&tag(gvk))),
    });
    let answer = match version {
        OpenApi::V3 => {
            let content: serde_json::Map<_, _> =
                TYPES.iter().map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect();
            json!({"description": "OK", "content": content})
        }
        OpenApi::V2 => {
            value["produces"] = json!(TYPES);
            value["schemes"] = json!(["https"]);
            json!({"description": "OK", "schema": schema})
        }
    };
    value["responses"] = json!({"200": answer, "401": {"description": "Unauthorized"}});
    json!({ "get": value })
}

fn parameter(name: &str, place: &str, kind: &str, version: OpenApi) -> Value {
    match version {
        OpenApi::V2 => json!({"name": name, "in": place, "type": kind, "uniqueItems": true}),
        OpenApi::V3 => json!({"name": name, "in": place, "schema": {"type": kind, "uniqueItems": true}}),
    }
}

/// `core_v1`, `apps_v1`, `rbacAuthorization_v1`.
fn tag(gvk: &Gvk) -> String {
    let group = match &*gvk.group {
        "" => "core".to_owned(),
        group => {
            let mut labels = group.strip_suffix(".k8s.io").unwrap_or(group).split('.');
            let first = labels.next().unwrap_or_default().to_owned();
            labels.fold(first, |text, label| text + &camel(label))
        }
    };
    format!("{group}_{}", gvk.version)
}

/// First letters in upper case, separators gone.
fn camel(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.fold(String::new(), |out, word| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        out + &first.map(String::from).unwrap_or_default() + letters.as_str()
    })
}
