//! Events about a pod and its containers, as upstream words them.

use crate::{build, plan::containers::Spec};
use k8s_openapi::api::core::v1::Pod;
use proa_kit::{ObjectRef, Typed as _, action::Action, events::Recorder, views::PodView};
use std::sync::Arc;

/// Tells about one pod.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    recorder: Recorder,
    pod: Arc<ObjectRef>,
}

impl Teller {
    /// Events about `pod`.
    pub(crate) fn new(recorder: Recorder, pod: &Pod) -> Self {
        let reference = ObjectRef::new(PodView::KIND, build::namespace(pod), build::name(pod));
        Self { recorder, pod: Arc::new(reference.with_uid(build::uid(pod))) }
    }
    /// The pod, for writes.
    pub(crate) fn reference(&self) -> &ObjectRef {
        &self.pod
    }
    /// As it should be, about a container.
    pub(crate) fn tell(&self, container: Spec<'_>, reason: &str, note: &str) {
        self.record(Action::normal(&self.pod, reason, note).part(&container.field_path()));
    }
    /// Worth a look, about a container.
    pub(crate) fn warn(&self, container: Spec<'_>, reason: &str, note: &str) {
        self.record(Action::warning(&self.pod, reason, note).part(&container.field_path()));
    }
    /// As it should be, about the pod.
    pub(crate) fn tell_pod(&self, reason: &str, note: &str) {
        self.record(Action::normal(&self.pod, reason, note));
    }
    /// Worth a look, about the pod.
    pub(crate) fn warn_pod(&self, reason: &str, note: &str) {
        self.record(Action::warning(&self.pod, reason, note));
    }
    fn record(&self, event: Action) {
        if let Action::Event(event) = event {
            self.recorder.record(event);
        }
    }
}
