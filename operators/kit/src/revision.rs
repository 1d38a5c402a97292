//! Revisions: templates of workloads that are remembered as ControllerRevisions, for rollouts and `kubectl rollout`.
//!
//! What is remembered is a strategic merge patch that puts the template back: `kubectl rollout undo` applies it.
//! Upstream: pkg/controller/history/controller_history.go, `getPatch` of the workloads.

use crate::{
    action::Action,
    kind::ObjectRef,
    owner::controller_reference,
    template::Template,
    views::{ControllerRevisionView, Meta, Pairs, Typed},
};
use serde_json::{Value, json};

/// A revision to create.
#[derive(Clone, Copy, Debug)]
pub struct NewRevision<'a> {
    /// Workload.
    pub owner: &'a ObjectRef,
    /// Metadata of the workload.
    pub meta: &'a Meta,
    /// What is remembered.
    pub template: &'a Template,
    /// Name of the revision.
    pub name: &'a str,
    /// Label that has the template's hash.
    pub label: &'a str,
    /// Hash of the template.
    pub hash: &'a str,
    /// Place in history.
    pub number: i64,
}

impl NewRevision<'_> {
    /// The write that creates it. It has the template's labels and the workload's annotations.
    pub fn create(&self) -> Action {
        let labels: Pairs = self.template.labels().iter().chain([(self.label, self.hash)]).collect();
        let mut template = self.template.value().clone();
        template["$patch"] = json!("replace");
        let mut object = json!({
            "metadata": {
                "name": self.name,
                "labels": labels,
                "ownerReferences": [controller_reference(self.owner)],
            },
            "data": {"spec": {"template": template}},
            "revision": self.number,
        });
        if !self.meta.annotations.is_empty() {
            object["metadata"]["annotations"] = json!(self.meta.annotations);
        }
        Action::create(ControllerRevisionView::KIND, &self.meta.namespace, object)
    }
}

/// The remembered template, if there is one.
pub fn template(revision: &ControllerRevisionView) -> Option<Template> {
    let mut own = revision.data.pointer("/spec/template").and_then(Value::as_object)?.clone();
    own.remove("$patch");
    Some(Template::from(Value::Object(own)))
}

/// Whether this template is what is remembered.
pub fn remembers(revision: &ControllerRevisionView, wanted: &Template) -> bool {
    template(revision).is_some_and(|own| own.is_equal_ignoring_label(wanted, ""))
}
