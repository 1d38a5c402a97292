//! Priority: a pod's priority comes from its PriorityClass, never from the pod itself.
//!
//! Owns: resolving the class (or the global default) on create, keeping the value on update, the rule that only one
//! class is the default. Upstream: `plugin/pkg/admission/priority/admission.go`.

use super::{forbidden, is_core};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Mutate, Operation, Registry, Validate};
use serde::Deserialize;
use serde_json::{Value, json};

/// The plugin.
pub struct Priority;

/// What is read of a PriorityClass.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClassView {
    metadata: Named,
    value: i64,
    global_default: bool,
    preemption_policy: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

/// The class a pod without one belongs to: of several defaults the lowest.
fn default_class(registry: &Registry) -> Option<ClassView> {
    let classes = registry.kind(&objects::PRIORITY_CLASSES)?.snapshot();
    let views = classes.iter().filter_map(|entry| entry.decode::<ClassView>().ok());
    views.filter(|class| class.global_default).min_by_key(|class| class.value)
}

fn admit(request: &AdmissionRequest<'_>, pod: &mut Value) -> ApiResult<()> {
    if let Some(old) = request.old {
        keep(pod, old);
        return Ok(());
    }
    let class = match pod["spec"]["priorityClassName"].as_str() {
        None | Some("") => default_class(request.registry).unwrap_or_else(no_class),
        Some(name) => {
            let found = objects::find(request.registry, &objects::PRIORITY_CLASSES, "", name)?;
            found
                .ok_or_else(|| forbidden(request, &format!("no PriorityClass with name {name} was found")))?
        }
    };
    apply(pod, &class).map_err(|why| forbidden(request, &why))
}

/// What holds when no class is named and none is the default.
fn no_class() -> ClassView {
    ClassView { preemption_policy: Some("PreemptLowerPriority".to_owned()), ..ClassView::default() }
}

/// Sets a pod's priority from its class; a different value in the pod is an error. Pure.
fn apply(pod: &mut Value, class: &ClassView) -> Result<(), String> {
    let spec = &mut pod["spec"];
    if let Some(given) = spec["priority"].as_i64().filter(|given| *given != class.value) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {} from the given PriorityClass name",
            class.value
        ));
    }
    let policy = class.preemption_policy.as_deref();
    if let (Some(given), Some(policy)) = (spec["preemptionPolicy"].as_str(), policy)
        && given != policy
    {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        ));
    }
    spec["priority"] = json!(class.value);
    if !class.metadata.name.is_empty() {
        spec["priorityClassName"] = json!(class.metadata.name);
    }
    if let Some(policy) = policy {
        spec["preemptionPolicy"] = json!(policy);
    }
    Ok(())
}

/// An update that leaves the values out keeps them.
fn keep(pod: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        let had = &old["spec"][field];
        if pod["spec"][field].is_null() && !had.is_null() {
            pod["spec"][field] = had.clone();
        }
    }
}

fn is_class(request: &AdmissionRequest<'_>) -> bool {
    request.subresource.is_empty() && request.kind.resource == "priorityclasses"
}

impl Mutate for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update) && is_core(request, "pods")
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        pod: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move { admit(request, pod) }.boxed()
    }
}

impl Validate for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && request.kind.gvk.group == "scheduling.k8s.io"
            && is_class(request)
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        class: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            if class["globalDefault"] != true {
                return Ok(());
            }
            match default_class(request.registry) {
                Some(default) if request.old.is_none() || default.metadata.name != request.name => {
                    let name = default.metadata.name;
                    let why = format!(
                        "PriorityClass {name} is already marked as default. Only one default can exist"
                    );
                    Err(forbidden(request, &why))
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, value: i64, policy: Option<&str>) -> ClassView {
        ClassView {
            metadata: Named { name: name.to_owned() },
            value,
            global_default: false,
            preemption_policy: policy.map(str::to_owned),
        }
    }

    #[test]
    fn a_pod_takes_its_classs_values() {
        let never = class("low", -5, Some("Never"));
        for (given, class, want) in [
            (json!({}), &no_class(), Ok(json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}))),
            (
                json!({"priorityClassName": "low"}),
                &never,
                Ok(json!({"priorityClassName": "low", "priority": -5, "preemptionPolicy": "Never"})),
            ),
            (
                json!({"priority": -5}),
                &never,
                Ok(json!({"priorityClassName": "low", "priority": -5, "preemptionPolicy": "Never"})),
            ),
            (json!({"priority": 7}), &never, Err("the integer value of priority (7) must not be provided")),
            (
                json!({"preemptionPolicy": "PreemptLowerPriority"}),
                &never,
                Err("the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided"),
            ),
        ] {
            let mut pod = json!({ "spec": given });
            match (apply(&mut pod, class), want) {
                (Ok(()), Ok(spec)) => assert_eq!(pod["spec"], spec),
                (Err(found), Err(wanted)) => assert!(found.starts_with(wanted), "{found}"),
                (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
            }
        }
    }

    #[test]
    fn updates_keep_the_values() {
        let old = json!({"spec": {"priority": 3, "preemptionPolicy": "Never"}});
        let mut pod = json!({"spec": {"priority": 4}});
        keep(&mut pod, &old);
        assert_eq!(pod["spec"], json!({"priority": 4, "preemptionPolicy": "Never"}));
    }
}
