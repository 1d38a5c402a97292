//! The objects that parameterise a policy: those that a binding names or selects.
//!
//! Upstream: `CollectParams` of apiserver `pkg/admission/plugin/policy/generic/policy_dispatcher.go`.

use super::source::{ParamKind, text};
use proa_meta::{
    ApiResult,
    selector::{LabelSelector, Selector},
};
use proa_registry::{AdmissionRequest, Entry, Kind};
use serde_json::Value;
use std::{collections::HashMap, fmt, sync::Arc};

/// Which objects a binding means.
#[derive(Debug)]
pub(super) struct ParamRef {
    name: String,
    namespace: String,
    selector: Option<Result<Selector, String>>,
    /// Refuses the request when there are none.
    denies: bool,
}

impl ParamRef {
    pub(super) fn of(params: &Value) -> Option<Self> {
        let selector = &params["selector"];
        params.is_object().then(|| Self {
            name: text(&params["name"]),
            namespace: text(&params["namespace"]),
            selector: selector
                .is_object()
                .then(|| LabelSelector::compile_json(Some(selector)).map_err(|error| error.to_string())),
            denies: params["parameterNotFoundAction"] == "Deny",
        })
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

/// The served kind of parameters.
///
/// # Errors
/// It is not served.
pub(super) fn kind(params: &ParamKind, request: &AdmissionRequest<'_>) -> Result<Arc<Kind>, String> {
    let catalogue = request.registry.catalogue();
    let kind = catalogue.by_kind(&params.group, &params.version, &params.kind);
    kind.cloned().ok_or_else(|| format!("failed to find resource referenced by paramKind: '{params}'"))
}

/// The objects with which a policy is evaluated under a binding; null stands for none at all.
///
/// # Errors
/// The binding and the kind do not go together, or nothing was found and that refuses the request.
pub(super) async fn collect(
    kind: Option<&Kind>,
    params: Option<&ParamRef>,
    request: &AdmissionRequest<'_>,
    namespace: &str,
) -> Result<Vec<Value>, String> {
    let (Some(kind), Some(params)) = (kind, params) else { return Ok(vec![Value::Null]) };
    let namespace = match (kind.def.is_namespaced(), params.namespace.as_str()) {
        (true, "") if namespace.is_empty() => {
            let why =
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(why.to_owned());
        }
        (true, "") => namespace,
        (true, own) => own,
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
    };
    let entries = match &params.selector {
        None => kind.get(namespace, &params.name).into_iter().collect(),
        Some(Err(why)) => return Err(why.clone()),
        Some(Ok(selector)) => selected(kind, namespace, selector),
    };
    if entries.is_empty() && params.denies {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    shown(kind, entries, request).await.map_err(|error| error.message().to_owned())
}

fn selected(kind: &Kind, namespace: &str, selector: &Selector) -> Vec<Arc<Entry>> {
    let fits = |entry: &&Arc<Entry>| {
        let labels: HashMap<&str, &str> = entry.labels().collect();
        selector.matches(|key| labels.get(key).copied())
    };
    let snapshot = kind.snapshot();
    match namespace {
        "" => snapshot.iter().filter(fits).cloned().collect(),
        namespace => snapshot.iter_namespace(namespace).filter(fits).cloned().collect(),
    }
}

async fn shown(
    kind: &Kind,
    entries: Vec<Arc<Entry>>,
    request: &AdmissionRequest<'_>,
) -> ApiResult<Vec<Value>> {
    let entries = if kind.def.custom { request.registry.in_version(kind, entries).await? } else { entries };
    Ok(entries.iter().map(|entry| entry.value(&kind.def)).collect())
}
