//! The containers of a pod's spec, whatever list they are in, as far as plans and status read them.

pub(crate) use crate::build::Role;
use k8s_openapi::api::core::v1::{
    Container, ContainerResizePolicy, ContainerRestartRule, EphemeralContainer, LifecycleHandler, Pod,
    PodSpec, Probe, ResourceRequirements, VolumeMount,
};

/// A container of the spec.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spec<'a> {
    /// Of `initContainers`.
    Init(&'a Container),
    /// Of `containers`.
    App(&'a Container),
    /// Of `ephemeralContainers`.
    Ephemeral(&'a EphemeralContainer),
}

/// Reads the same field of either type.
macro_rules! field {
    ($spec:expr, $field:ident) => {
        match $spec {
            Spec::Init(container) | Spec::App(container) => container.$field.as_ref(),
            Spec::Ephemeral(container) => container.$field.as_ref(),
        }
    };
}

impl<'a> Spec<'a> {
    /// Name.
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Init(container) | Self::App(container) => &container.name,
            Self::Ephemeral(container) => &container.name,
        }
    }
    /// What it is for.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Init(container) if container.restart_policy.as_deref() == Some("Always") => Role::Sidecar,
            Self::Init(_) => Role::Init,
            Self::App(_) => Role::App,
            Self::Ephemeral(_) => Role::Ephemeral,
        }
    }
    /// Where it is in the pod, as events name it.
    pub(crate) fn field_path(self) -> String {
        let list = match self {
            Self::Init(_) => "initContainers",
            Self::App(_) => "containers",
            Self::Ephemeral(_) => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.name())
    }
    /// Image as asked for.
    pub(crate) fn image(self) -> &'a str {
        field!(self, image).map_or("", |image| image)
    }
    /// `Always`, `IfNotPresent` or `Never`.
    pub(crate) fn pull_policy(self) -> &'a str {
        field!(self, image_pull_policy).map_or("IfNotPresent", |policy| policy)
    }
    /// Its own restart policy, if it has one.
    pub(crate) fn restart_policy(self) -> Option<&'a str> {
        field!(self, restart_policy).map(String::as_str)
    }
    /// What its exit codes do, before any policy.
    pub(crate) fn restart_rules(self) -> &'a [ContainerRestartRule] {
        field!(self, restart_policy_rules).map_or(&[], Vec::as_slice)
    }
    /// What runs after its start.
    pub(crate) fn post_start(self) -> Option<&'a LifecycleHandler> {
        field!(self, lifecycle)?.post_start.as_ref()
    }
    /// What runs before it is stopped.
    pub(crate) fn pre_stop(self) -> Option<&'a LifecycleHandler> {
        field!(self, lifecycle)?.pre_stop.as_ref()
    }
    /// Startup probe.
    pub(crate) fn startup_probe(self) -> Option<&'a Probe> {
        field!(self, startup_probe)
    }
    /// Readiness probe.
    pub(crate) fn readiness_probe(self) -> Option<&'a Probe> {
        field!(self, readiness_probe)
    }
    /// Liveness probe.
    pub(crate) fn liveness_probe(self) -> Option<&'a Probe> {
        field!(self, liveness_probe)
    }
    /// Requests and limits.
    pub(crate) fn resources(self) -> Option<&'a ResourceRequirements> {
        field!(self, resources)
    }
    /// What a change of resources does to it.
    pub(crate) fn resize_policies(self) -> &'a [ContainerResizePolicy] {
        field!(self, resize_policy).map_or(&[], Vec::as_slice)
    }
    /// Volumes it mounts.
    pub(crate) fn volume_mounts(self) -> &'a [VolumeMount] {
        field!(self, volume_mounts).map_or(&[], Vec::as_slice)
    }
}

/// The pod's spec; a pod without one has no containers, which validation refuses.
pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// Init containers, sidecars among them, in order.
pub(crate) fn init(pod: &Pod) -> impl DoubleEndedIterator<Item = Spec<'_>> + ExactSizeIterator {
    spec(pod).init_containers.as_deref().unwrap_or_default().iter().map(Spec::Init)
}

/// App containers, in order.
pub(crate) fn apps(pod: &Pod) -> impl DoubleEndedIterator<Item = Spec<'_>> + ExactSizeIterator {
    spec(pod).containers.iter().map(Spec::App)
}

/// Ephemeral containers, in order.
pub(crate) fn ephemeral(pod: &Pod) -> impl DoubleEndedIterator<Item = Spec<'_>> + ExactSizeIterator {
    spec(pod).ephemeral_containers.as_deref().unwrap_or_default().iter().map(Spec::Ephemeral)
}

/// All containers.
pub(crate) fn all(pod: &Pod) -> impl Iterator<Item = Spec<'_>> {
    init(pod).chain(apps(pod)).chain(ephemeral(pod))
}

/// The container of a name.
pub(crate) fn find<'a>(pod: &'a Pod, name: &str) -> Option<Spec<'a>> {
    all(pod).find(|container| container.name() == name)
}
