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

/// Name of a pod's claim.
pub fn claim_name(set: &StatefulSetView, template: &Value, ordinal: i32) -> String {
    let name = template.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    format!("{name}-{}-{ordinal}", set.metadata.name)
}

/// A claim of a template, with the labels by which the set finds its pods.
pub fn claim(set: &StatefulSetView, template: &Value, name: &str) -> Value {
    let mut claim = template.clone();
    claim["metadata"]["name"] = json!(name);
    for (label, value) in set.spec.selector.match_labels.iter() {
        set_label(&mut claim, label, value);
    }
    claim
}

/// The volumes of a pod: its claims, and those of the template that have other names.
fn volumes(set: &StatefulSetView, pod: &Value, ordinal: i32) -> Vec<Value> {
    let claimed = set.spec.volume_claim_templates.iter().map(|template| {
        let template = template.value();
        let name = &template["metadata"]["name"];
        json!({"name": name, "persistentVolumeClaim": {"claimName": claim_name(set, template, ordinal)}})
    });
    let mut volumes: Vec<Value> = claimed.collect();
    let is_other = |volume: &&Value| !volumes.iter().any(|own| own["name"] == volume["name"]);
    let others: Vec<Value> =
        pod["spec"]["volumes"].as_array().into_iter().flatten().filter(is_other).cloned().collect();
    volumes.extend(others);
    volumes
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
    if !set.spec.volume_claim_templates.is_empty() {
        pod["spec"]["volumes"] = volumes(set, &pod, ordinal).into();
    }
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
