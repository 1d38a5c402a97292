//! A job's pod, and the patch that ends its tracking.

use crate::plan::indexes::{FAILURES, IGNORED_FAILURES, INDEX};
use proa_kit::{
    Action, ObjectRef, Typed,
    template::set_label,
    views::{JobView, PodView},
};
use serde_json::{Value, json};

/// Finalizer that keeps a pod until it is counted.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Label of the job's name.
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Longest prefix of a generated name.
const PREFIX_LENGTH: usize = 58;

/// A pod of a job without indexes.
pub fn pod(job: &JobView, owner: &ObjectRef) -> Value {
    let mut pod = job.spec.template.pod(owner);
    let mut finalizers = pod["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == TRACKING) {
        finalizers.push(json!(TRACKING));
    }
    pod["metadata"]["finalizers"] = Value::Array(finalizers);
    pod
}

/// Failures of an index before a pod: counted and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexFailures {
    /// Counted.
    pub counted: i32,
    /// Ignored by a policy.
    pub ignored: i32,
}

/// A pod of one index. Failures are noted on it when the job limits them per index.
pub fn indexed_pod(job: &JobView, owner: &ObjectRef, index: i32, failures: Option<IndexFailures>) -> Value {
    let mut pod = pod(job, owner);
    pod["metadata"]["generateName"] = json!(generate_name(&job.metadata.name, index));
    set_label(&mut pod, INDEX, &index.to_string());
    annotate(&mut pod, INDEX, index);
    if let Some(failures) = failures {
        annotate(&mut pod, FAILURES, failures.counted);
        if failures.ignored > 0 {
            annotate(&mut pod, IGNORED_FAILURES, failures.ignored);
        }
    }
    pod["spec"]["hostname"] = json!(format!("{}-{index}", job.metadata.name));
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(add_variable);
    }
    pod
}

fn annotate(pod: &mut Value, annotation: &str, number: i32) {
    let annotations = &mut pod["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    annotations[annotation] = json!(number.to_string());
}

fn add_variable(container: &mut Value) {
    if !container["env"].is_array() {
        container["env"] = json!([]);
    }
    let Some(variables) = container["env"].as_array_mut() else { return };
    if !variables.iter().any(|variable| variable["name"] == INDEX_VARIABLE) {
        let path = format!("metadata.labels['{INDEX}']");
        variables.push(json!({"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    }
}

fn generate_name(job: &str, index: i32) -> String {
    let suffix = format!("-{index}-");
    let length = job.len().min(PREFIX_LENGTH - suffix.len());
    format!("{}{suffix}", job.get(..length).unwrap_or(job))
}

/// Takes the finalizer from a pod.
pub fn untrack(pod: &PodView) -> Action {
    Action::strategic(
        pod.reference(),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [TRACKING]}}),
    )
}
