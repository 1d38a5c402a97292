//! The containers of a pod, whatever list they are in, and the hash that tells whether one must be replaced.
//!
//! Pure. Upstream: `pkg/kubelet/container/helpers.go` (`HashContainer`, `pickFieldsToHash`): only name and image are
//! hashed, since everything else of a running container is immutable or changed in place.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};
use std::borrow::Cow;

/// Which list of the pod a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `initContainers`, run to its end before the next starts.
    Init,
    /// `initContainers` with `restartPolicy: Always`.
    Sidecar,
    /// `containers`.
    App,
    /// `ephemeralContainers`.
    Ephemeral,
}

/// A container of a pod.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRef<'a> {
    /// Its spec; that of an ephemeral container in the form of all others.
    pub(crate) spec: Cow<'a, Container>,
    /// Which list it is in.
    pub(crate) role: Role,
    /// Name of the container whose processes it shall see.
    pub(crate) target: Option<&'a str>,
}

impl<'a> ContainerRef<'a> {
    fn init(spec: &'a Container) -> Self {
        let role = if spec.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init };
        Self { spec: Cow::Borrowed(spec), role, target: None }
    }
    fn app(spec: &'a Container) -> Self {
        Self { spec: Cow::Borrowed(spec), role: Role::App, target: None }
    }
    fn ephemeral(spec: &'a EphemeralContainer) -> Self {
        let target = spec.target_container_name.as_deref().filter(|name| !name.is_empty());
        Self { spec: Cow::Owned(as_container(spec)), role: Role::Ephemeral, target }
    }
    /// Name in the pod.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }
}

/// All containers of a pod: init containers, containers, ephemeral containers.
pub(crate) fn all(pod: &Pod) -> impl Iterator<Item = ContainerRef<'_>> {
    pod.spec.iter().flat_map(|spec| {
        let init = spec.init_containers.iter().flatten().map(ContainerRef::init);
        let app = spec.containers.iter().map(ContainerRef::app);
        init.chain(app).chain(spec.ephemeral_containers.iter().flatten().map(ContainerRef::ephemeral))
    })
}

/// A container by name.
pub(crate) fn find<'a>(pod: &'a Pod, name: &str) -> Option<ContainerRef<'a>> {
    all(pod).find(|container| container.name() == name)
}

/// Changes when a running container no longer is what its spec asks for.
pub(crate) fn hash(container: &Container) -> String {
    let picked =
        serde_json::json!({"image": container.image.as_deref().unwrap_or_default(), "name": container.name});
    format!("{:x}", fnv32a(picked.to_string().as_bytes()))
}

/// 32-bit FNV-1a: small, stable over versions of this program and of the language.
fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let EphemeralContainer {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        target_container_name: _,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = ephemeral.clone();
    Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_come_in_order_with_their_role() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [{"name": "a"}, {"name": "b", "restartPolicy": "Always"}],
            "containers": [{"name": "c"}],
            "ephemeralContainers": [{"name": "d", "image": "i", "targetContainerName": "c"}],
        }}))
        .unwrap();
        let found: Vec<_> = all(&pod).map(|c| (c.name().to_owned(), c.role, c.target)).collect();
        assert_eq!(
            found,
            [
                ("a".to_owned(), Role::Init, None),
                ("b".to_owned(), Role::Sidecar, None),
                ("c".to_owned(), Role::App, None),
                ("d".to_owned(), Role::Ephemeral, Some("c")),
            ]
        );
        assert_eq!(find(&pod, "d").unwrap().spec.image.as_deref(), Some("i"));
    }

    #[test]
    fn only_name_and_image_are_hashed() {
        let container = |value| hash(&serde_json::from_value(value).unwrap());
        let one = container(json!({"name": "a", "image": "x"}));
        assert_eq!(one, container(json!({"name": "a", "image": "x", "env": [{"name": "E"}]})));
        assert_ne!(one, container(json!({"name": "a", "image": "y"})));
        assert_ne!(one, container(json!({"name": "b", "image": "x"})));
        // Known answer of FNV-1a, so that the hash never changes by accident.
        assert_eq!(fnv32a(b"foobar"), 0xbf9c_f968);
    }
}
