//! Labels and annotations of sandboxes and containers: how a restarted agent finds its own again.
//!
//! Pure. Upstream: `pkg/kubelet/kuberuntime/labels.go`, `staging/src/k8s.io/kubelet/pkg/types/labels.go`.

use super::{containers, name, namespace, uid};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;

/// Name of the pod.
pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
/// Namespace of the pod.
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// UID of the pod.
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
/// Name of the container.
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Hash of what a restart could change.
pub(crate) const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
/// How often it was restarted.
pub(crate) const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Where the container writes its last message.
pub(crate) const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Where the last message is taken from.
pub(crate) const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// What to do before it is stopped, as JSON.
pub(crate) const PRE_STOP_HANDLER: &str = "io.kubernetes.container.preStopHandler";
/// Its ports, as JSON.
pub(crate) const PORTS: &str = "io.kubernetes.container.ports";
/// How long it may take to stop.
pub(crate) const TERMINATION_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
/// How long it may take to stop since its pod is being deleted.
pub(crate) const DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";

type Pairs = BTreeMap<String, String>;

/// Labels of a sandbox: the pod's own and who the pod is.
pub(crate) fn of_sandbox(pod: &Pod) -> Pairs {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(pod_labels(pod));
    labels
}

/// Labels of a container.
pub(crate) fn of_container(pod: &Pod, container: &Container) -> Pairs {
    let mut labels: Pairs = pod_labels(pod).into();
    labels.insert(CONTAINER_NAME.to_owned(), container.name.clone());
    labels
}

fn pod_labels(pod: &Pod) -> [(String, String); 3] {
    [(POD_NAME, name(pod)), (POD_NAMESPACE, namespace(pod)), (POD_UID, uid(pod))]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// Annotations of a container: what must be known of it once its pod's spec is gone.
pub(crate) fn annotations_of_container(pod: &Pod, container: &Container, attempt: u32) -> Pairs {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut pairs = Pairs::new();
    let mut set = |key: &str, value: String| drop(pairs.insert(key.to_owned(), value));
    set(CONTAINER_HASH, containers::hash(container));
    set(RESTART_COUNT, attempt.to_string());
    set(TERMINATION_MESSAGE_PATH, text(&container.termination_message_path));
    set(TERMINATION_MESSAGE_POLICY, text(&container.termination_message_policy));
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        set(DELETION_GRACE_PERIOD, seconds.to_string());
    }
    if let Some(seconds) = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds) {
        set(TERMINATION_GRACE_PERIOD, seconds.to_string());
    }
    let pre_stop = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if let Some(json) = pre_stop.and_then(|handler| serde_json::to_string(handler).ok()) {
        set(PRE_STOP_HANDLER, json);
    }
    let ports = container.ports.as_ref().filter(|ports| !ports.is_empty());
    if let Some(json) = ports.and_then(|ports| serde_json::to_string(ports).ok()) {
        set(PORTS, json);
    }
    pairs
}
