//! A daemon's pod for one node.

use crate::plan::nodes::tolerations;
use proa_kit::{
    ObjectRef,
    template::{Template, set_label},
    views::{DaemonSetView, pod_spec::Toleration},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Label that says of which revision a pod is.
pub const HASH: &str = "controller-revision-hash";
const GENERATION: &str = "pod-template-generation";
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// The daemon's pods of one revision.
#[derive(Clone, Debug)]
pub struct PodTemplate(Template);

/// The template with the daemon's tolerations and labels.
pub fn pod_template(set: &DaemonSetView, hash: &str) -> PodTemplate {
    let mut template = set.spec.template.value().clone();
    set_label(&mut template, HASH, hash);
    if let Some(generation) = template_generation(set) {
        set_label(&mut template, GENERATION, generation);
    }
    let host_network = template.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
    for toleration in tolerations(host_network) {
        add_toleration(&mut template["spec"], &toleration);
    }
    PodTemplate(Template::from(template))
}

impl PodTemplate {
    /// The pod for one node.
    pub fn pod(&self, owner: &ObjectRef, node: &str) -> Value {
        let mut pod = self.0.pod(owner);
        let by_name =
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]);
        let mut at = &mut pod["spec"];
        for field in ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"] {
            at = &mut at[field];
            if !at.is_object() {
                *at = json!({});
            }
        }
        at["nodeSelectorTerms"] = by_name;
        pod
    }
}

/// The generation of the template that old clients knew, if the object has one.
pub fn template_generation(set: &DaemonSetView) -> Option<&str> {
    set.metadata.annotations.get(GENERATION_ANNOTATION).filter(|text| text.parse::<i64>().is_ok())
}

/// Whether a pod is of the current template.
pub fn is_updated(set: &DaemonSetView, labels: &proa_kit::Pairs, hash: &str) -> bool {
    let by_hash = !hash.is_empty() && labels.get(HASH) == Some(hash);
    by_hash || template_generation(set).is_some_and(|generation| labels.get(GENERATION) == Some(generation))
}

fn add_toleration(spec: &mut Value, toleration: &Toleration) {
    if !spec.is_object() {
        *spec = json!({});
    }
    if !spec["tolerations"].is_array() {
        spec["tolerations"] = json!([]);
    }
    let Some(list) = spec["tolerations"].as_array_mut() else { return };
    let same = |value: &Value| {
        Toleration::deserialize(value).is_ok_and(|own| {
            (own.key, own.operator, own.effect, own.value)
                == (
                    toleration.key.clone(),
                    toleration.operator.clone(),
                    toleration.effect.clone(),
                    toleration.value.clone(),
                )
        })
    };
    match list.iter_mut().find(|value| same(value)) {
        Some(own) => *own = json!(toleration),
        None => list.push(json!(toleration)),
    }
}
