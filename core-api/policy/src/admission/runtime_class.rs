//! RuntimeClass: a pod's runtime class exists, and its overhead and placement become the pod's.
//!
//! Upstream: `plugin/pkg/admission/runtimeclass/admission.go`.

use super::{creates_pod, forbidden, items, list_at, map_at};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Mutate, Validate};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The plugin.
pub struct RuntimeClass;

/// What is read of a RuntimeClass.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClassView {
    overhead: Option<Overhead>,
    scheduling: Option<Scheduling>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Overhead {
    pod_fixed: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Scheduling {
    node_selector: Map<String, Value>,
    tolerations: Vec<Value>,
}

fn class_of(request: &AdmissionRequest<'_>, pod: &Value) -> ApiResult<Option<ClassView>> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    let class = objects::find(request.registry, &objects::RUNTIME_CLASSES, "", name)?;
    match class {
        Some(class) => Ok(Some(class)),
        None => Err(forbidden(request, &format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}

/// Gives a pod its class's overhead and placement. Pure.
fn apply(pod: &mut Value, class: &ClassView) -> Result<(), String> {
    let Some(spec) = pod.get_mut("spec") else { return Ok(()) };
    if let Some(overhead) = &class.overhead {
        let given = spec["overhead"].as_object().filter(|given| !given.is_empty());
        if given.is_some_and(|given| *given != overhead.pod_fixed) {
            return Err(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned()
            );
        }
        spec["overhead"] = Value::Object(overhead.pod_fixed.clone());
    }
    class.scheduling.as_ref().map_or(Ok(()), |scheduling| place(spec, scheduling))
}

fn place(spec: &mut Value, scheduling: &Scheduling) -> Result<(), String> {
    if !scheduling.node_selector.is_empty()
        && let Some(selector) = map_at(spec, "nodeSelector")
    {
        for (key, value) in &scheduling.node_selector {
            let own = selector.entry(key.as_str()).or_insert_with(|| value.clone());
            if own != value {
                let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                    text(value),
                    text(own)
                ));
            }
        }
    }
    let missing: Vec<_> = scheduling
        .tolerations
        .iter()
        .filter(|toleration| !items(&spec["tolerations"]).any(|own| own == *toleration))
        .cloned()
        .collect();
    if !missing.is_empty()
        && let Some(tolerations) = list_at(spec, "tolerations")
    {
        tolerations.extend(missing);
    }
    Ok(())
}

/// The overhead is the class's, and there is none without one.
fn check_overhead(pod: &Value, class: Option<&ClassView>) -> Result<(), &'static str> {
    let given = pod["spec"]["overhead"].as_object();
    match class.and_then(|class| class.overhead.as_ref()) {
        Some(overhead) if given.is_none_or(|given| *given != overhead.pod_fixed) => {
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        }
        None if given.is_some() => {
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        }
        _ => Ok(()),
    }
}

impl Mutate for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        creates_pod(request)
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        pod: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            match class_of(request, pod)? {
                Some(class) => apply(pod, &class).map_err(|why| forbidden(request, &why)),
                None => Ok(()),
            }
        }
        .boxed()
    }
}

impl Validate for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        creates_pod(request)
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        pod: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            let class = class_of(request, pod)?;
            check_overhead(pod, class.as_ref()).map_err(|why| forbidden(request, why))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_takes_its_classs_overhead_and_placement() {
        let class: ClassView = serde_json::from_value(json!({
            "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {"nodeSelector": {"sandbox": "yes"}, "tolerations": [{"key": "s"}]},
        }))
        .unwrap();
        let mut pod = json!({"spec": {"nodeSelector": {"a": "b"}}});
        apply(&mut pod, &class).unwrap();
        assert_eq!(
            pod["spec"],
            json!({"nodeSelector": {"a": "b", "sandbox": "yes"}, "tolerations": [{"key": "s"}],
                   "overhead": {"cpu": "100m"}})
        );
        assert_eq!(check_overhead(&pod, Some(&class)), Ok(()));
        assert!(check_overhead(&pod, None).is_err());
        assert!(check_overhead(&json!({"spec": {}}), Some(&class)).is_err());

        let mut pod = json!({"spec": {"nodeSelector": {"sandbox": "no"}}});
        assert_eq!(
            apply(&mut pod, &class).unwrap_err(),
            "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no"
        );
        let mut pod = json!({"spec": {"overhead": {"cpu": "1"}}});
        assert!(apply(&mut pod, &class).is_err());
    }
}
