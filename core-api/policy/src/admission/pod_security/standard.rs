//! The Pod Security Standards: what each level forbids.
//!
//! Pure. One function per check; each returns what the message says behind the check's reason. Texts are upstream's.
//! Source of the rules: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.

use crate::admission::items;
use serde_json::Value;

/// How much a pod may do, loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Privileged,
    /// Nothing known to break out of a container.
    Baseline,
    /// Hardened.
    Restricted,
}

impl Level {
    /// From a label's value.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    /// As labels and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// One check: level and first minor version that have it, whether the restricted level replaces it, why a pod is
/// refused, and the details.
struct Check {
    level: Level,
    since: u32,
    replaced: bool,
    reason: &'static str,
    details: fn(&Value) -> Vec<String>,
}

const fn baseline(reason: &'static str, details: fn(&Value) -> Vec<String>) -> Check {
    Check { level: Level::Baseline, since: 0, replaced: false, reason, details }
}

const fn restricted(since: u32, reason: &'static str, details: fn(&Value) -> Vec<String>) -> Check {
    Check { level: Level::Restricted, since, replaced: false, reason, details }
}

const CHECKS: [Check; 18] = [
    baseline("forbidden AppArmor profile", app_armor),
    Check { replaced: true, ..baseline("non-default capabilities", added_capabilities) },
    baseline("host namespaces", host_namespaces),
    Check { replaced: true, ..baseline("hostPath volumes", host_path_volumes) },
    baseline("hostPort", host_ports),
    Check { since: 34, ..baseline("probe or lifecycle host", probe_hosts) },
    baseline("privileged", privileged),
    baseline("procMount", proc_mount),
    baseline("seLinuxOptions", selinux),
    Check { replaced: true, ..baseline("seccompProfile", seccomp_unconfined) },
    baseline("forbidden sysctls", sysctls),
    baseline("hostProcess", host_process),
    restricted(8, "allowPrivilegeEscalation != false", privilege_escalation),
    restricted(22, "unrestricted capabilities", kept_capabilities),
    restricted(0, "restricted volume types", restricted_volumes),
    restricted(0, "runAsNonRoot != true", run_as_non_root),
    restricted(23, "runAsUser=0", run_as_root),
    restricted(19, "seccompProfile", seccomp_missing),
];

/// What a pod violates at a level, as messages list it. `version` is the minor one; none: the latest.
pub fn violations(pod: &Value, level: Level, version: Option<u32>) -> Vec<String> {
    let spec = &pod["spec"];
    let applies = |check: &&Check| {
        check.level <= level
            && version.is_none_or(|version| version >= check.since)
            && !(check.replaced && level == Level::Restricted)
    };
    let found = |check: &Check| {
        let details = if check.reason.ends_with("AppArmor profile") {
            (check.details)(pod)
        } else {
            (check.details)(spec)
        };
        (!details.is_empty()).then(|| format!("{} ({})", check.reason, details.join(", ")))
    };
    CHECKS.iter().filter(applies).filter_map(found).collect()
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|field| items(&spec[field]))
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

/// `container "a"` or `containers "a", "b"`; none for none.
fn subject(noun: &str, names: &[&str]) -> Option<String> {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    match quoted.len() {
        0 => None,
        1 => Some(format!("{noun} {}", quoted[0])),
        _ => Some(format!("{noun}s {}", quoted.join(", "))),
    }
}

/// `container "a" WHAT` for the containers that `wrong` finds.
fn wrong_containers(spec: &Value, what: &str, wrong: impl Fn(&Value) -> bool) -> Vec<String> {
    let names: Vec<_> = containers(spec).filter(|c| wrong(c)).map(name).collect();
    subject("container", &names).map(|who| format!("{who} {what}")).into_iter().collect()
}

/// The same, with the pod's own security context as a further place: `pod and container "a" WHAT`.
fn wrong_places(spec: &Value, what: &str, wrong: impl Fn(&Value) -> bool) -> Vec<String> {
    let pod = wrong(&spec["securityContext"]).then(|| "pod".to_owned());
    let names: Vec<_> = containers(spec).filter(|c| wrong(&c["securityContext"])).map(name).collect();
    let places: Vec<_> = pod.into_iter().chain(subject("container", &names)).collect();
    if places.is_empty() { Vec::new() } else { vec![format!("{} {what}", places.join(" and "))] }
}

/// Distinct values in order of appearance.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

fn is_windows(spec: &Value) -> bool {
    spec["os"]["name"] == "windows"
}

fn app_armor(pod: &Value) -> Vec<String> {
    const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
    let unconfined = |context: &Value| {
        context["appArmorProfile"]["type"]
            .as_str()
            .is_some_and(|t| !matches!(t, "RuntimeDefault" | "Localhost"))
    };
    let what = "must not set AppArmor profile type to \"Unconfined\"";
    let mut details = wrong_places(&pod["spec"], what, unconfined);
    for (key, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let allowed = matches!(value, "" | "runtime/default") || value.starts_with("localhost/");
        if key.starts_with(PREFIX) && !allowed {
            details.push(format!("annotation {key:?}={value:?}"));
        }
    }
    details
}

fn added(container: &Value) -> impl Iterator<Item = &str> {
    items(&container["securityContext"]["capabilities"]["add"]).filter_map(Value::as_str)
}

/// Containers that add capabilities outside of `allowed`.
fn forbidden_capabilities(spec: &Value, allowed: &[&str]) -> Vec<String> {
    let wrong = |c: &&Value| added(c).any(|capability| !allowed.contains(&capability));
    let names: Vec<_> = containers(spec).filter(wrong).map(name).collect();
    let mut capabilities = distinct(containers(spec).flat_map(added).filter(|c| !allowed.contains(c)));
    capabilities.sort_unstable();
    let list: Vec<_> = capabilities.iter().map(|capability| format!("{capability:?}")).collect();
    let what = format!("must not include {} in securityContext.capabilities.add", list.join(", "));
    subject("container", &names).map(|who| format!("{who} {what}")).into_iter().collect()
}

fn added_capabilities(spec: &Value) -> Vec<String> {
    const DEFAULTS: [&str; 13] = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    forbidden_capabilities(spec, &DEFAULTS)
}

fn kept_capabilities(spec: &Value) -> Vec<String> {
    if is_windows(spec) {
        return Vec::new();
    }
    let keeps =
        |c: &Value| !items(&c["securityContext"]["capabilities"]["drop"]).any(|dropped| dropped == "ALL");
    let mut details = wrong_containers(spec, "must set securityContext.capabilities.drop=[\"ALL\"]", keeps);
    details.extend(forbidden_capabilities(spec, &["NET_BIND_SERVICE"]));
    join_with("; ", details)
}

/// Several details of one check, as one text.
fn join_with(separator: &str, details: Vec<String>) -> Vec<String> {
    if details.is_empty() { details } else { vec![details.join(separator)] }
}

fn host_namespaces(spec: &Value) -> Vec<String> {
    let set = |field: &&str| spec[*field] == true;
    ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|f| set(f))
        .map(|field| format!("{field}=true"))
        .collect()
}

fn host_path_volumes(spec: &Value) -> Vec<String> {
    let names: Vec<_> = items(&spec["volumes"]).filter(|v| v["hostPath"].is_object()).map(name).collect();
    subject("volume", &names).into_iter().collect()
}

fn ports(container: &Value) -> impl Iterator<Item = i64> {
    items(&container["ports"]).filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0)
}

fn host_ports(spec: &Value) -> Vec<String> {
    let names: Vec<_> = containers(spec).filter(|c| ports(c).next().is_some()).map(name).collect();
    let mut all = distinct(containers(spec).flat_map(ports));
    all.sort_unstable();
    let list: Vec<_> = all.iter().map(ToString::to_string).collect();
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let noun = if all.len() == 1 { "hostPort" } else { "hostPorts" };
    let what = format!("{verb} {noun} {}", list.join(", "));
    subject("container", &names).map(|who| format!("{who} {what}")).into_iter().collect()
}

fn handler_hosts(container: &Value) -> impl Iterator<Item = &str> {
    const HANDLERS: [&str; 5] =
        ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    let handlers = HANDLERS.into_iter().filter_map(|path| container.pointer(path));
    let hosts = handlers.flat_map(|h| [h["httpGet"]["host"].as_str(), h["tcpSocket"]["host"].as_str()]);
    hosts.flatten().filter(|host| !host.is_empty())
}

fn probe_hosts(spec: &Value) -> Vec<String> {
    let names: Vec<_> = containers(spec).filter(|c| handler_hosts(c).next().is_some()).map(name).collect();
    let hosts: Vec<_> = distinct(containers(spec).flat_map(handler_hosts))
        .into_iter()
        .map(|host| format!("{host:?}"))
        .collect();
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let noun = if hosts.len() == 1 { "host" } else { "hosts" };
    let what = format!("{verb} probe or lifecycle {noun} {}", hosts.join(", "));
    subject("container", &names).map(|who| format!("{who} {what}")).into_iter().collect()
}

fn privileged(spec: &Value) -> Vec<String> {
    let what = "must not set securityContext.privileged=true";
    wrong_containers(spec, what, |c| c["securityContext"]["privileged"] == true)
}

fn proc_mount(spec: &Value) -> Vec<String> {
    let masked =
        |c: &Value| c["securityContext"]["procMount"].as_str().is_none_or(|mount| mount == "Default");
    let what = "must not set securityContext.procMount to \"Unmasked\"";
    wrong_containers(spec, what, |c| !masked(c))
}

fn selinux(spec: &Value) -> Vec<String> {
    const TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let text = |options: &Value, field: &str| options[field].as_str().unwrap_or_default().to_owned();
    let problems = |context: &Value| {
        let options = &context["seLinuxOptions"];
        let kind = text(options, "type");
        let mut problems = Vec::new();
        if !TYPES.contains(&kind.as_str()) {
            problems.push(format!("type {kind:?}"));
        }
        for field in ["user", "role"] {
            if !text(options, field).is_empty() {
                problems.push(format!("{field} may not be set"));
            }
        }
        problems
    };
    let contexts =
        std::iter::once(&spec["securityContext"]).chain(containers(spec).map(|c| &c["securityContext"]));
    let mut all = distinct(contexts.flat_map(problems));
    all.sort_by_key(|problem| !problem.starts_with("type"));
    let what = format!("set forbidden securityContext.seLinuxOptions: {}", all.join("; "));
    wrong_places(spec, &what, |context| !problems(context).is_empty())
}

fn seccomp(context: &Value) -> Option<&str> {
    context["seccompProfile"]["type"].as_str()
}

fn seccomp_unconfined(spec: &Value) -> Vec<String> {
    let what = "must not set securityContext.seccompProfile.type to \"Unconfined\"";
    wrong_places(spec, what, |context| {
        seccomp(context).is_some_and(|t| !matches!(t, "RuntimeDefault" | "Localhost"))
    })
}

fn seccomp_missing(spec: &Value) -> Vec<String> {
    if is_windows(spec) {
        return Vec::new();
    }
    let details = seccomp_unconfined(spec);
    if !details.is_empty() {
        return details;
    }
    let inherits = seccomp(&spec["securityContext"]).is_some();
    let names: Vec<_> = containers(spec)
        .filter(|c| !inherits && seccomp(&c["securityContext"]).is_none())
        .map(name)
        .collect();
    let what = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    subject("container", &names).map(|who| format!("pod or {who} {what}")).into_iter().collect()
}

fn sysctls(spec: &Value) -> Vec<String> {
    const SAFE: [&str; 12] = [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ];
    let names = items(&spec["securityContext"]["sysctls"]).map(name);
    names.filter(|name| !SAFE.contains(name)).map(str::to_owned).collect()
}

fn host_process(spec: &Value) -> Vec<String> {
    let what = "must not set securityContext.windowsOptions.hostProcess=true";
    wrong_places(spec, what, |context| context["windowsOptions"]["hostProcess"] == true)
}

fn privilege_escalation(spec: &Value) -> Vec<String> {
    if is_windows(spec) {
        return Vec::new();
    }
    let what = "must set securityContext.allowPrivilegeEscalation=false";
    wrong_containers(spec, what, |c| c["securityContext"]["allowPrivilegeEscalation"] != false)
}

fn restricted_volumes(spec: &Value) -> Vec<String> {
    const ALLOWED: [&str; 9] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let kind = |volume: &Value| {
        let fields = volume.as_object()?;
        let kind =
            fields.iter().find(|(key, value)| *key != "name" && !value.is_null()).map(|(key, _)| key.clone());
        // A volume that names no source is an empty directory.
        kind.filter(|kind| !ALLOWED.contains(&kind.as_str()))
    };
    let names: Vec<_> = items(&spec["volumes"]).filter(|v| kind(v).is_some()).map(name).collect();
    let mut kinds = distinct(items(&spec["volumes"]).filter_map(kind));
    kinds.sort_unstable();
    let list: Vec<_> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let noun = if kinds.len() == 1 { "type" } else { "types" };
    let what = format!("{verb} restricted volume {noun} {}", list.join(", "));
    subject("volume", &names).map(|who| format!("{who} {what}")).into_iter().collect()
}

fn run_as_non_root(spec: &Value) -> Vec<String> {
    let field = |context: &Value| context["runAsNonRoot"].as_bool();
    let wrong =
        wrong_places(spec, "must not set securityContext.runAsNonRoot=false", |c| field(c) == Some(false));
    if !wrong.is_empty() {
        return wrong;
    }
    let inherits = field(&spec["securityContext"]) == Some(true);
    let names: Vec<_> =
        containers(spec).filter(|c| !inherits && field(&c["securityContext"]).is_none()).map(name).collect();
    let what = "must set securityContext.runAsNonRoot=true";
    subject("container", &names).map(|who| format!("pod or {who} {what}")).into_iter().collect()
}

fn run_as_root(spec: &Value) -> Vec<String> {
    wrong_places(spec, "must not set runAsUser=0", |context| context["runAsUser"].as_i64() == Some(0))
}

#[cfg(test)]
mod tests;
