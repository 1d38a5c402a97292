//! Security contexts of pods and containers, and the annotations they replaced.

use super::files;
use crate::{cursor::Cursor, pod_spec::each_container};
use proa_meta::{FieldErrors, names};
use serde_json::Value;
use std::collections::BTreeSet;

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// `securityContext` of a pod.
pub(super) fn pod(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(at) = spec.present("securityContext") else { return };
    for id in ["fsGroup", "runAsUser", "runAsGroup"] {
        at.get(id).number(errors, names::is_valid_user_id);
    }
    at.get("supplementalGroups").items().for_each(|id| id.number(errors, names::is_valid_user_id));
    let share = spec.get("shareProcessNamespace");
    if share.is_true() && spec.get("hostPID").is_true() {
        let text = "ShareProcessNamespace and HostPID cannot both be enabled";
        share.invalid(errors, text);
    }
    sysctls(spec, &at.get("sysctls"), errors);
    at.get("fsGroupChangePolicy").opt_one_of(errors, &["Always", "OnRootMismatch"]);
    seccomp(&at.get("seccompProfile"), errors);
    apparmor(&at.get("appArmorProfile"), errors);
    at.get("supplementalGroupsPolicy").opt_one_of(errors, &["Merge", "Strict"]);
    at.get("seLinuxChangePolicy").opt_one_of(errors, &["MountOption", "Recursive"]);
}

/// `securityContext` of a container.
pub(super) fn container(at: &Cursor<'_, '_>, host_users: bool, errors: &mut FieldErrors) {
    at.get("runAsUser").number(errors, names::is_valid_user_id);
    at.get("runAsGroup").number(errors, names::is_valid_user_id);
    if let Some(mount) = at.present("procMount") {
        mount.enumeration(errors, &["Default", "Unmasked"]);
        if host_users && mount.text() == "Unmasked" {
            mount.invalid(errors, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(&at.get("seccompProfile"), errors);
    if at.get("allowPrivilegeEscalation").value() == false {
        no_escalation(at, errors);
    }
    apparmor(&at.get("appArmorProfile"), errors);
}

fn no_escalation(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.get("privileged").is_true() {
        at.invalid(errors, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    for _ in at.get("capabilities").get("add").list().iter().filter(|add| *add == "CAP_SYS_ADMIN") {
        let text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        at.invalid(errors, text);
    }
}

fn seccomp(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.get("type"), at.get("localhostProfile"));
    match kind.is_empty() {
        true => kind.required(errors, "type is required when seccompProfile is set"),
        false => {
            kind.enumeration(errors, &PROFILES);
        }
    }
    match (kind.text() == "Localhost", profile.is_set()) {
        (true, true) => files::descending(&profile, errors),
        (true, false) => profile.required(errors, "must be set when seccomp type is Localhost"),
        (false, true) => {
            profile.with(at.value()).invalid(errors, "can only be set when seccomp type is Localhost");
        }
        (false, false) => {}
    }
}

fn apparmor(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const NEEDED: &str = "must be set when AppArmor type is Localhost";
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.get("type"), at.get("localhostProfile"));
    match kind.text() {
        "Localhost" if !profile.is_set() => profile.required(errors, NEEDED),
        "Localhost" => {
            if profile.text().trim() != profile.text() {
                profile.invalid(errors, "must not be padded with whitespace");
            } else if profile.is_empty() {
                profile.required(errors, NEEDED);
            }
            if profile.text().len() > 4095 {
                errors.too_long(profile.path(), 4095);
            }
        }
        "RuntimeDefault" | "Unconfined" if profile.is_set() => {
            profile.invalid(errors, "can only be set when AppArmor type is Localhost");
        }
        "RuntimeDefault" | "Unconfined" => {}
        "" => kind.required(errors, "type is required when appArmorProfile is set"),
        _ => kind.unsupported(errors, &PROFILES),
    }
}

fn sysctls(spec: &Cursor<'_, '_>, list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for sysctl in list.items() {
        let name = sysctl.get("name");
        if name.must_be_set(errors) && !is_sysctl(name.text()) {
            let text = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            name.invalid(errors, text);
        } else if !name.is_empty() && !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        let dotted = name.text().replace('/', ".");
        if spec.get("hostNetwork").is_true() && dotted.starts_with("net.") {
            name.invalid(errors, "may not be specified when 'hostNetwork' is true");
        } else if spec.get("hostIPC").is_true() && is_ipc(&dotted) {
            name.invalid(errors, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|b| edge(b) || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

fn is_ipc(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["kernel.shm", "kernel.msg", "fs.mqueue."];
    name == "kernel.sem" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Annotations of pods and templates that stand for security fields.
pub(crate) fn annotations(annotations: &Cursor<'_, '_>, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for (key, value) in annotations.entries() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp_text(&annotations.get(key).with(value.value()), errors);
        }
        if let Some(name) = key.strip_prefix(APPARMOR) {
            apparmor_text(&value, name, spec, errors);
        }
    }
    matching_fields(annotations.value(), spec, errors);
}

fn seccomp_text(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    match at.text() {
        "runtime/default" | "docker/default" | "unconfined" => {}
        text => match text.strip_prefix("localhost/") {
            Some(path) => files::descending(&at.with(&path.into()), errors),
            None => at.invalid(errors, "must be a valid seccomp profile"),
        },
    }
}

fn apparmor_text(value: &Cursor<'_, '_>, container: &str, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut known = false;
    each_container(spec, |c| known |= c.text_of("name") == container);
    if !known {
        value.with(&container.into()).invalid(errors, "container not found");
    }
    let text = value.text();
    if !matches!(text, "" | "runtime/default" | "unconfined") && !text.starts_with("localhost/") {
        value.invalid(errors, &format!("invalid AppArmor profile name: {text:?}"));
    }
}

/// Where annotation and field are both given, they say the same.
fn matching_fields(annotations: &Value, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let text = |key: &str| annotations.get(key).and_then(Value::as_str);
    let security = spec.get("securityContext");
    let own = security.get("seccompProfile");
    match_profile("seccomp", &own, own.value(), text(SECCOMP_POD), errors);
    let is_windows = spec.value()["os"]["name"] == "windows";
    let of_pod = security.get("appArmorProfile").value();
    each_container(spec, |container| {
        let name = container.text_of("name");
        let context = container.get("securityContext");
        let (seccomp, apparmor) = (context.get("seccompProfile"), context.get("appArmorProfile"));
        let annotation = text(&format!("{SECCOMP_CONTAINER}{name}"));
        match_profile("seccomp", &seccomp, seccomp.value(), annotation, errors);
        if !is_windows {
            let profile = if apparmor.is_set() { apparmor.value() } else { of_pod };
            match_profile("apparmor", &apparmor, profile, text(&format!("{APPARMOR}{name}")), errors);
        }
    });
}

fn match_profile(
    what: &str,
    at: &Cursor<'_, '_>,
    profile: &Value,
    annotation: Option<&str>,
    errors: &mut FieldErrors,
) {
    let Some(annotation) = annotation.filter(|_| !profile.is_null()) else { return };
    let local = annotation.strip_prefix("localhost/");
    let fits = match profile["type"].as_str().unwrap_or("") {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => {
            annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => local.is_some(),
        _ => true,
    };
    if !fits {
        at.get("type").forbidden(errors, &format!("{what} type in annotation and field must match"));
    } else if profile["type"] == "Localhost" && profile["localhostProfile"].as_str() != local {
        let text = format!("{what} profile in annotation and field must match");
        at.get("localhostProfile").forbidden(errors, &text);
    }
}
