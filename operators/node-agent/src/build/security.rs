//! What containers and sandboxes may do.
//!
//! Pure. Invariants: a container's own settings win over the pod's; a container that must not run as root is refused
//! unless its user is known to be another; without a profile, system calls are not filtered (upstream's default).
//! Upstream: `pkg/kubelet/kuberuntime/{security_context,helpers}.go`, `pkg/securitycontext/util.go`.

use super::{ContainerInputs, Refused, containers, display};
use crate::AgentConfig;
use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Pod, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};
use proa_runtime_shim::{Capabilities, NamespaceMode, Namespaces, Security, SecurityProfile};

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Annotation that named AppArmor profiles before there was a field; a container's name follows.
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Security of a pod's sandbox.
pub(super) fn of_sandbox(pod: &Pod) -> Security {
    let context = pod_context(pod);
    Security {
        privileged: containers::all(pod).any(|c| is_privileged(c.spec.security_context.as_ref())),
        namespaces: namespaces(pod.spec.as_ref()),
        run_as_user: context.and_then(|context| context.run_as_user),
        run_as_group: context.and_then(|context| context.run_as_group),
        supplemental_groups: groups(context),
        // The pause process needs nothing more, whatever the containers ask for.
        seccomp: SecurityProfile::RuntimeDefault,
        ..Security::default()
    }
}

/// Security of a container.
pub(super) fn of_container(
    pod: &Pod,
    container: &Container,
    inputs: &ContainerInputs,
    config: &AgentConfig,
) -> Result<Security, Refused> {
    let whole = pod_context(pod);
    let own = container.security_context.as_ref();
    let run_as_user = own.and_then(|own| own.run_as_user).or(whole.and_then(|whole| whole.run_as_user));
    let (image_uid, image_username) = image_user(inputs);
    verify_non_root(pod, container, run_as_user, (image_uid, image_username))?;
    let mut namespaces = namespaces(pod.spec.as_ref());
    if let Some(target) = &inputs.target {
        namespaces.pid = NamespaceMode::Target(target.clone());
    }
    let is_unmasked = own.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked");
    let paths = |paths: &[&str]| {
        if is_unmasked { Vec::new() } else { paths.iter().map(|&path| path.to_owned()).collect() }
    };
    Ok(Security {
        capabilities: capabilities(own),
        privileged: is_privileged(own),
        namespaces,
        run_as_user: run_as_user.or(image_uid),
        run_as_username: if run_as_user.is_none() { image_username.to_owned() } else { String::new() },
        run_as_group: own.and_then(|own| own.run_as_group).or(whole.and_then(|whole| whole.run_as_group)),
        supplemental_groups: groups(whole),
        read_only_rootfs: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
        no_new_privs: own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: seccomp(whole, own, config),
        apparmor: apparmor(pod, container),
    })
}

fn pod_context(pod: &Pod) -> Option<&PodSecurityContext> {
    pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref())
}

fn is_privileged(context: Option<&SecurityContext>) -> bool {
    context.and_then(|context| context.privileged) == Some(true)
}

fn namespaces(spec: Option<&PodSpec>) -> Namespaces {
    let is = |field: fn(&PodSpec) -> Option<bool>| spec.and_then(field) == Some(true);
    let of = |on_node| if on_node { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = match (is(|spec| spec.host_pid), is(|spec| spec.share_process_namespace)) {
        (true, _) => NamespaceMode::Node,
        (_, true) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    Namespaces { network: of(is(|spec| spec.host_network)), pid, ipc: of(is(|spec| spec.host_ipc)) }
}

fn groups(context: Option<&PodSecurityContext>) -> Vec<i64> {
    let Some(context) = context else { return Vec::new() };
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

/// The user of the image. One that names nobody runs as root.
fn image_user(inputs: &ContainerInputs) -> (Option<i64>, &str) {
    match (inputs.image_uid, inputs.image_username.as_str()) {
        (None, "") => (Some(0), ""),
        user => user,
    }
}

fn verify_non_root(
    pod: &Pod,
    container: &Container,
    run_as_user: Option<i64>,
    image: (Option<i64>, &str),
) -> Result<(), Refused> {
    let own = container.security_context.as_ref().and_then(|own| own.run_as_non_root);
    if own.or(pod_context(pod).and_then(|whole| whole.run_as_non_root)) != Some(true) {
        return Ok(());
    }
    let problem = match (run_as_user, image) {
        (Some(0), _) => "container's runAsUser breaks non-root policy".to_owned(),
        (Some(_), _) => return Ok(()),
        (None, (Some(0), _)) => "container has runAsNonRoot and image will run as root".to_owned(),
        (None, (None, user)) => format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
        ),
        (None, (Some(_), _)) => return Ok(()),
    };
    Err(Refused::config(format!("{problem} (pod: {:?}, container: {})", display(pod), container.name)))
}

fn capabilities(context: Option<&SecurityContext>) -> Capabilities {
    let Some(asked) = context.and_then(|context| context.capabilities.as_ref()) else {
        return Capabilities::default();
    };
    Capabilities { add: asked.add.clone().unwrap_or_default(), drop: asked.drop.clone().unwrap_or_default() }
}

fn seccomp(
    whole: Option<&PodSecurityContext>,
    own: Option<&SecurityContext>,
    config: &AgentConfig,
) -> SecurityProfile {
    let own = own.and_then(|own| own.seccomp_profile.as_ref());
    let Some(SeccompProfile { type_, localhost_profile }) =
        own.or(whole.and_then(|whole| whole.seccomp_profile.as_ref()))
    else {
        return SecurityProfile::Unconfined;
    };
    match (type_.as_str(), localhost_profile) {
        ("RuntimeDefault", _) => SecurityProfile::RuntimeDefault,
        ("Localhost", Some(name)) => {
            SecurityProfile::Localhost(config.root.join("seccomp").join(name).to_string_lossy().into_owned())
        }
        _ => SecurityProfile::Unconfined,
    }
}

/// The AppArmor profile that a container names, by whatever means.
pub(crate) fn named_apparmor(pod: &Pod, container: &Container) -> Option<SecurityProfile> {
    let own = container.security_context.as_ref().and_then(|own| own.app_armor_profile.as_ref());
    let named = own.or(pod_context(pod).and_then(|whole| whole.app_armor_profile.as_ref()));
    if let Some(AppArmorProfile { type_, localhost_profile }) = named {
        return Some(match (type_.as_str(), localhost_profile) {
            ("Localhost", Some(name)) => SecurityProfile::Localhost(name.clone()),
            ("Unconfined", _) => SecurityProfile::Unconfined,
            _ => SecurityProfile::RuntimeDefault,
        });
    }
    let annotations = pod.metadata.annotations.as_ref()?;
    let text = annotations.get(&format!("{APPARMOR_ANNOTATION}{}", container.name))?;
    Some(match text.as_str() {
        "unconfined" => SecurityProfile::Unconfined,
        text => text
            .strip_prefix("localhost/")
            .map_or(SecurityProfile::RuntimeDefault, |name| SecurityProfile::Localhost(name.to_owned())),
    })
}

fn apparmor(pod: &Pod, container: &Container) -> SecurityProfile {
    named_apparmor(pod, container).unwrap_or_default()
}
