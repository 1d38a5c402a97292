//! One operation of a path, in either version.

use super::{
    OpenApi,
    components::{name_of, reference},
};
use proa_meta::Gvk;
use proa_registry::KindDef;
use serde_json::{Value, json};

/// What is written about an operation.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// `x-kubernetes-action`.
    pub(super) action: &'static str,
    pub(super) subresource: &'static str,
    /// Component of the answer.
    pub(super) answer: String,
    /// Component of the body.
    pub(super) body: Option<String>,
    pub(super) gvk: Gvk,
    /// Lists all namespaces.
    pub(super) across: bool,
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
            answer: name_of(def),
            body: None,
            gvk: def.gvk.clone(),
            across: false,
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
        let answer = reference(&self.answer, version);
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
        let (objects, watches) = match (def.custom, self.action) {
            (true, _) => (&OBJECTS[..2], &WATCHES[..0]),
            (false, "list") => (&OBJECTS[..], &WATCHES[..]),
            (false, _) => (&OBJECTS[..], &WATCHES[..0]),
        };
        objects.iter().chain(watches).copied()
    }

    fn description(&self, def: &KindDef) -> String {
        let verb = match self.action {
            "list" => "list objects of kind",
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
        let verb = match self.action {
            "list" => "list",
            "post" => "create",
            "deletecollection" => "deleteCollection",
            "put" => "replace",
            "patch" => "patch",
            "delete" => "delete",
            _ => "read",
        };
        let namespaced = if def.is_namespaced() && !self.across { "Namespaced" } else { "" };
        let across = if self.across { "ForAllNamespaces" } else { "" };
        let tag = camel(&tag(&def.gvk));
        format!("{verb}{tag}{namespaced}{}{}{across}", def.gvk.kind, camel(self.subresource))
    }

    fn parameters(&self, version: OpenApi) -> Value {
        const LISTING: &[(&str, &str)] = &[
            ("allowWatchBookmarks", "boolean"),
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("timeoutSeconds", "integer"),
            ("watch", "boolean"),
        ];
        const WRITING: &[(&str, &str)] =
            &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
        const PATCHING: &[(&str, &str)] = &[
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
            ("force", "boolean"),
        ];
        const DELETING: &[(&str, &str)] = &[
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            ("orphanDependents", "boolean"),
            ("propagationPolicy", "string"),
        ];
        let names: Vec<&(&str, &str)> = match self.action {
            "list" => LISTING.iter().collect(),
            "deletecollection" => DELETING.iter().chain(LISTING).collect(),
            "post" | "put" => WRITING.iter().collect(),
            "patch" => PATCHING.iter().collect(),
            "delete" => DELETING.iter().collect(),
            _ => Vec::new(),
        };
        let mut parameters: Vec<Value> =
            names.into_iter().map(|(name, kind)| parameter(name, "query", kind, version)).collect();
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
pub(super) fn item_parameters(path: &str, version: OpenApi) -> Value {
    let named = ["namespace", "name"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
    let in_path = named.map(|name| {
        let mut value = parameter(name, "path", "string", version);
        value["required"] = json!(true);
        value
    });
    let pretty = parameter("pretty", "query", "string", version);
    Value::Array(in_path.chain([pretty]).collect())
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
