//! A set's pod of one number, and what makes a pod the one of its number.

use proa_kit::{
    Action, ObjectRef, Typed,
    template::{Template, set_label},
    views::{PodView, StatefulSetView},
};
use serde_json::{Value, json};

/// Label of a pod's revision.
pub const REVISION: &str = "controller-revision-hash";
/// Label of a pod's name, so that a service can select one pod.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Label of a pod's number.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Name of the pod with this number.
pub fn pod_name(set: &StatefulSetView, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.metadata.name)
}

/// The number of a pod that is named as the set's pods are.
pub fn ordinal(set: &StatefulSetView, pod: &PodView) -> Option<i32> {
    let (_, number) = pod.metadata.name.rsplit_once('-')?;
    number.parse().ok().filter(|ordinal| *pod_name(set, *ordinal) == *pod.metadata.name)
}

/// The pod of this number and revision.
pub fn pod(
    set: &StatefulSetView,
    owner: &ObjectRef,
    template: &Template,
    revision: &str,
    ordinal: i32,
) -> Value {
    let name = pod_name(set, ordinal);
    let mut pod = template.pod(owner);
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("generateName");
    }
    pod["metadata"]["name"] = json!(name);
    set_label(&mut pod, POD_NAME, &name);
    set_label(&mut pod, POD_INDEX, &ordinal.to_string());
    set_label(&mut pod, REVISION, revision);
    pod["spec"]["hostname"] = json!(name);
    if !set.spec.service_name.is_empty() {
        pod["spec"]["subdomain"] = json!(set.spec.service_name);
    }
    pod
}

/// Whether a pod carries its name as a label: one that was adopted might not.
pub fn is_identified(pod: &PodView) -> bool {
    pod.metadata.labels.get(POD_NAME) == Some(&*pod.metadata.name)
}

/// Gives a pod the labels of its number.
pub fn identify(pod: &PodView, ordinal: i32) -> Action {
    let labels = json!({POD_NAME: pod.metadata.name, POD_INDEX: ordinal.to_string()});
    Action::merge(pod.reference(), json!({"metadata": {"labels": labels}}))
}
