//! What a ValidatingAdmissionPolicy's expressions get wrong about the kinds that it names, as its status tells it.
//!
//! Owns: a task that writes `status.typeChecking` of each new generation of a policy, woken by changes of policies only.
//! A warning changes nothing of what the policy does. Kinds are looked up once for each generation: a definition that
//! comes later is seen when the policy changes, as upstream.
//! Upstream: `pkg/controller/validatingadmissionpolicystatus/controller.go`, apiserver
//! `pkg/admission/plugin/policy/validating/typechecking.go`.

use crate::{admission::items, task};
use proa_meta::{ApiError, ApiResult, Gvr, User, gvk, identity::MASTERS};
use proa_registry::{
    Catalogue, Kind, Registry,
    request::{Patch, PatchType, Target, WriteOptions},
};
use proa_schema::policy::{ParamsType, TypeChecker};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const POLICIES: Gvr = Gvr::new("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies");
const FIELD_MANAGER: &str = "validatingadmissionpolicy-status";
/// Most kinds that a rule is checked for.
const MOST_KINDS: usize = 10;

/// Runs until the registry is gone or the task is dropped.
pub async fn run(registry: Arc<Registry>) {
    task::at_changes(registry, &POLICIES, "check the types of policies", |registry| async move {
        reconcile(&registry).await
    })
    .await;
}

/// Checks all policies whose present generation has not been checked.
///
/// # Errors
/// A write failed.
pub async fn reconcile(registry: &Arc<Registry>) -> ApiResult<()> {
    let Some(kind) = registry.kind(&POLICIES) else { return Ok(()) };
    for entry in kind.snapshot().iter() {
        let policy = entry.stored_value(entry.revision);
        let generation = policy["metadata"]["generation"].as_i64().unwrap_or_default();
        if generation <= policy["status"]["observedGeneration"].as_i64().unwrap_or_default() {
            continue;
        }
        let warnings = warnings(&policy, &registry.catalogue());
        match write(registry, &kind, entry.name(), generation, warnings).await {
            Err(error) if error.code() == 404 => {}
            written => written?,
        }
    }
    Ok(())
}

/// The warnings of a policy.
pub fn warnings(policy: &Value, catalogue: &Catalogue) -> Vec<Value> {
    let spec = &policy["spec"];
    let kinds = kinds(&spec["matchConstraints"], catalogue);
    let params = &spec["paramKind"];
    let params_kind = params["apiVersion"].as_str().zip(params["kind"].as_str());
    let found = params_kind.and_then(|(version, kind)| {
        let (group, version) = gvk::split_api_version(version)?;
        catalogue.by_kind(group, version, kind)
    });
    let params = match (params_kind, found) {
        (None, _) => ParamsType::None,
        (Some(_), None) => ParamsType::Unknown,
        (Some((_, name)), Some(kind)) => ParamsType::Known { name, schema: &kind.def.schema },
    };
    let variables = items(&spec["variables"]).map(|one| (text(&one["name"]), text(&one["expression"])));
    let variables: Vec<_> = variables.collect();
    let checkers: Vec<_> = kinds
        .iter()
        .map(|(shown, kind)| {
            (shown, TypeChecker::new(&kind.def.gvk.kind, &kind.def.schema, &params, &variables))
        })
        .collect();
    let mut warnings = Vec::new();
    for (i, validation) in items(&spec["validations"]).enumerate() {
        for field in ["expression", "messageExpression"] {
            let expression = text(&validation[field]);
            if expression.is_empty() {
                continue;
            }
            let problems: Vec<String> = checkers
                .iter()
                .filter_map(|(shown, checker)| Some(format!("{shown}: {}\n", checker.check(expression)?)))
                .collect();
            if !problems.is_empty() {
                let place = format!("spec.validations[{i}].{field}");
                warnings.push(json!({"fieldRef": place, "warning": problems.join("\n")}));
            }
        }
    }
    warnings
}

/// The kinds that constraints name without wildcards, in order.
fn kinds<'c>(constraints: &Value, catalogue: &'c Catalogue) -> BTreeMap<String, &'c Arc<Kind>> {
    let mut kinds = BTreeMap::new();
    for rule in items(&constraints["resourceRules"]) {
        let named = |field: &str| {
            let mut all: Vec<&str> = items(&rule[field]).map(text).collect();
            all.sort_unstable();
            all
        };
        let (groups, versions, resources) = (named("apiGroups"), named("apiVersions"), named("resources"));
        if groups.iter().chain(&versions).any(|name| name.contains('*')) {
            continue;
        }
        let mut count = 0;
        for (group, version) in
            groups.iter().flat_map(|group| versions.iter().map(move |version| (group, version)))
        {
            for resource in resources.iter().filter(|name| !name.contains(['*', '/'])) {
                let Some(kind) = catalogue.find(group, version, resource) else { continue };
                kinds.insert(format!("{group}/{version}, Kind={}", kind.def.gvk.kind), kind);
                count += 1;
                if count == MOST_KINDS {
                    return kinds;
                }
            }
        }
    }
    kinds
}

async fn write(
    registry: &Arc<Registry>,
    kind: &Arc<Kind>,
    name: &str,
    generation: i64,
    warnings: Vec<Value>,
) -> ApiResult<()> {
    let mut checked = json!({});
    if !warnings.is_empty() {
        checked["expressionWarnings"] = warnings.into();
    }
    let patch = json!({
        "apiVersion": kind.def.gvk.api_version(), "kind": kind.def.gvk.kind, "metadata": {"name": name},
        "status": {"observedGeneration": generation, "typeChecking": checked},
    });
    let user = User::new(format!("system:serviceaccount:kube-system:{FIELD_MANAGER}-controller"), &[MASTERS]);
    let target = Target {
        kind: kind.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        subresource: "status".to_owned(),
        user: Arc::new(user),
    };
    let bytes = serde_json::to_vec(&patch).map_err(ApiError::internal)?.into();
    let patch = Patch { kind: PatchType::Apply, bytes, issues: Vec::new() };
    let options =
        WriteOptions { field_manager: FIELD_MANAGER.to_owned(), force: true, ..WriteOptions::default() };
    registry.patch(&target, patch, &options).await.map(drop)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
