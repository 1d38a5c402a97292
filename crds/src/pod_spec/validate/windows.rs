//! Windows pods: stored and validated like any other, though no node here runs them.

use crate::{cursor::Cursor, pod_spec::each_container};
use proa_meta::FieldErrors;
use serde_json::Value;

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";

/// A Linux pod has no Windows options.
pub(super) fn forbid_options(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const TEXT: &str = "windows options cannot be set for a linux pod";
    let mut check = |owner: &Cursor<'_, '_>| {
        let context = owner.get("securityContext");
        if context.get("windowsOptions").is_set() {
            context.get("windowsOptions").forbidden(errors, TEXT);
        }
    };
    check(spec);
    each_container(spec, check);
}

/// A Windows pod has no Linux options.
pub(super) fn windows_pod(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const POD: [&str; 11] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ];
    const CONTAINER: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    forbid(&spec.get("securityContext"), &POD, errors);
    forbid(spec, &["hostUsers", "shareProcessNamespace"], errors);
    for field in ["hostPID", "hostIPC"].into_iter().filter(|field| spec.get(field).is_true()) {
        spec.get(field).forbidden(errors, NOT_ON_WINDOWS);
    }
    each_container(spec, |container| forbid(&container.get("securityContext"), &CONTAINER, errors));
}

fn forbid(at: &Cursor<'_, '_>, fields: &[&str], errors: &mut FieldErrors) {
    for field in fields.iter().map(|field| at.get(field)).filter(Cursor::is_set) {
        field.forbidden(errors, NOT_ON_WINDOWS);
    }
}

/// Host processes: all containers or none, and only in the host's network.
pub(super) fn host_process(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let of =
        |owner: &Cursor<'_, '_>| owner.value()["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
    let of_pod = of(spec);
    let (mut all, mut host) = (0, 0);
    each_container(spec, |container| {
        all += 1;
        let own = of(container);
        if own.or(of_pod) == Some(true) {
            host += 1;
        }
        if let Some((pod, own)) = of_pod.zip(own).filter(|(pod, own)| pod != own) {
            let context = container.get("securityContext");
            let options = context.get("windowsOptions");
            let text = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            options.get("hostProcess").with(&own.into()).invalid(errors, &text);
        }
    });
    if host > 0 && host != all {
        let text =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        spec.with(&Value::from("")).invalid(errors, text);
    }
    if host > 0 && !spec.get("hostNetwork").is_true() {
        let text = "hostNetwork must be true if pod contains any hostProcess containers";
        spec.get("hostNetwork").with(&Value::from(false)).invalid(errors, text);
    }
}
