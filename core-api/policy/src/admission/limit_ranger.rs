//! LimitRanger: gives containers the defaults of the namespace's limit ranges, and refuses what is out of range.
//!
//! Upstream: `plugin/pkg/admission/limitranger/admission.go`.

mod limits;

use super::{forbidden, map_at};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use limits::Range;
use proa_meta::{ApiError, ApiResult};
use proa_registry::{AdmissionRequest, Mutate, Operation, Validate};
use serde_json::{Map, Value};

/// The plugin.
pub struct LimitRanger;

/// Says which defaults a pod got.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

fn handles(request: &AdmissionRequest<'_>) -> bool {
    let is = |resource: &str| request.kind.gvk.group.is_empty() && request.kind.resource == resource;
    let is_going = request.old.is_some_and(|old| !old["metadata"]["deletionTimestamp"].is_null());
    let fits = match (request.operation, request.subresource) {
        (Operation::Create, "") => is("pods") || is("persistentvolumeclaims"),
        (Operation::Update, "") => is("persistentvolumeclaims"),
        (Operation::Update, "resize") => is("pods"),
        _ => false,
    };
    fits && !is_going
}

fn ranges(request: &AdmissionRequest<'_>) -> ApiResult<Vec<Range>> {
    let Some(kind) = request.registry.kind(&objects::LIMIT_RANGES) else { return Ok(Vec::new()) };
    let snapshot = kind.snapshot();
    let ranges: Result<_, _> =
        snapshot.iter_namespace(request.namespace).map(|entry| entry.decode()).collect();
    ranges.map_err(ApiError::internal)
}

/// Gives a pod's containers what a range has for those that say nothing. Pure.
fn set_defaults(pod: &mut Value, range: &Range) {
    let (requests, limits) = range.container_defaults();
    let mut set = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            let limited = fill(container, "limits", &limits);
            let requested = fill(container, "requests", &requests);
            for (names, list) in [(requested, "request"), (limited, "limit")] {
                if !names.is_empty() {
                    set.push(format!("{} {list} for {what} {name}", names.join(", ")));
                }
            }
        }
    }
    if !set.is_empty()
        && let Some(annotations) = map_at(&mut pod["metadata"], "annotations")
    {
        let text = format!("LimitRanger plugin set: {}", set.join("; "));
        annotations.insert(ANNOTATION.to_owned(), text.into());
    }
}

/// Adds what is not there; the names that were added.
fn fill(container: &mut Value, list: &str, defaults: &Map<String, Value>) -> Vec<String> {
    if defaults.is_empty() {
        return Vec::new();
    }
    let Some(resources) = map_at(container, "resources") else { return Vec::new() };
    let own = resources.entry(list).or_insert_with(|| Value::Object(Map::new()));
    let Some(own) = own.as_object_mut() else { return Vec::new() };
    let missing: Vec<_> = defaults.iter().filter(|(name, _)| !own.contains_key(*name)).collect();
    missing
        .into_iter()
        .map(|(name, quantity)| {
            own.insert(name.clone(), quantity.clone());
            name.clone()
        })
        .collect()
}

/// Several complaints as one text.
fn joined(mut complaints: Vec<String>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    complaints.retain(|complaint| seen.insert(complaint.clone()));
    match complaints.len() {
        0 => None,
        1 => complaints.pop(),
        _ => Some(format!("[{}]", complaints.join(", "))),
    }
}

impl Mutate for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        handles(request) && request.kind.resource == "pods"
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        pod: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            ranges(request)?.iter().for_each(|range| set_defaults(pod, range));
            Ok(())
        }
        .boxed()
    }
}

impl Validate for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        handles(request)
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            for range in ranges(request)? {
                let complaints = match &*request.kind.resource {
                    "pods" => range.pod(object).map_err(ApiError::internal)?,
                    _ => range.claim(object).map_err(ApiError::internal)?,
                };
                if let Some(why) = joined(complaints) {
                    return Err(forbidden(request, &why));
                }
            }
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn range(limits: &Value) -> Range {
        serde_json::from_value(json!({"spec": {"limits": limits}})).unwrap()
    }

    #[test]
    fn containers_that_say_nothing_get_defaults_and_the_pod_says_so() {
        let range = range(&json!([{"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m"}}]));
        let own = json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}});
        let mut pod = json!({"metadata": {}, "spec": {
            "containers": [{"name": "a"}, {"name": "b", "resources": own}],
            "initContainers": [{"name": "i", "resources": {"limits": {"cpu": "1", "memory": "1"}}}]}});
        set_defaults(&mut pod, &range);
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; memory limit for \
             container b; cpu request for init container i"
        );
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
        );
        assert_eq!(
            pod["spec"]["containers"][1]["resources"],
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}})
        );
        let before = pod.clone();
        set_defaults(&mut pod, &range);
        assert_eq!(pod, before, "a second time changes nothing");
    }

    #[test]
    fn what_is_out_of_range_is_told_in_upstreams_words() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"name": "a", "resources": resources}]}});
        let asks =
            |request: &str, limit: &str| pod(json!({"requests": {"cpu": request}, "limits": {"cpu": limit}}));
        let bounds =
            json!({"min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "2"}});
        for kind in ["Container", "Pod"] {
            let mut limit = bounds.clone();
            limit["type"] = json!(kind);
            let range = range(&json!([limit]));
            let told = |pod: &Value| joined(range.pod(pod).unwrap()).unwrap_or_default();
            assert_eq!(told(&asks("500m", "1")), "");
            assert_eq!(
                told(&asks("50m", "100m")),
                format!("minimum cpu usage per {kind} is 100m, but request is 50m")
            );
            assert_eq!(told(&asks("1", "2")), format!("maximum cpu usage per {kind} is 1, but limit is 2"));
            assert_eq!(
                told(&asks("200m", "1")),
                format!("cpu max limit to request ratio per {kind} is 2, but provided ratio is 5.000000")
            );
            assert_eq!(
                told(&pod(json!({}))),
                format!(
                    "[minimum cpu usage per {kind} is 100m.  No request is specified, maximum cpu usage per {kind} is \
                     1.  No limit is specified, cpu max limit to request ratio per {kind} is 2, but no request is \
                     specified or request is 0]"
                )
            );
        }
    }

    #[test]
    fn claims_are_bounded_by_their_request() {
        let range = range(
            &json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]),
        );
        let told = |storage: &str| {
            range.claim(&json!({"spec": {"resources": {"requests": {"storage": storage}}}})).unwrap()
        };
        assert!(told("1Gi").is_empty());
        assert_eq!(
            told("3Gi"),
            ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
        );
        assert_eq!(told("1"), ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1"]);
    }
}
