//! Containers, init containers and ephemeral containers.

use super::{Context, env, handlers, mounts, resource_list, restart, security};
use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use serde_json::Value;
use std::collections::BTreeSet;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// The three lists of a pod spec.
pub(super) fn containers(spec: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let list = spec.get("containers");
    match list.is_empty() {
        true => list.required(errors, ""),
        false => regular(&list, context, errors),
    }
    init(&spec.get("initContainers"), &list, context, errors);
    ephemeral(spec, context, errors);
}

fn regular(list: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for container in list.items() {
        common(&container, context, errors);
        let name = container.get("name");
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        if let Some(lifecycle) = container.present("lifecycle") {
            handlers::lifecycle(&lifecycle, context, errors);
        }
        handlers::probes(&container, context, errors);
        restart::policy(&container, errors);
    }
    let mut ports = BTreeSet::new();
    list.items().for_each(|container| host_ports(&container, &mut ports, errors));
}

fn init(list: &Cursor<'_, '_>, regular: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let mut seen: BTreeSet<&str> = regular.list().iter().filter_map(|c| c["name"].as_str()).collect();
    for container in list.items() {
        common(&container, context, errors);
        restart::init_policy(&container, errors);
        let name = container.get("name");
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        host_ports(&container, &mut BTreeSet::new(), errors);
        if container.text_of("restartPolicy") == "Always" {
            if let Some(lifecycle) = container.present("lifecycle") {
                handlers::lifecycle(&lifecycle, context, errors);
            }
            handlers::probes(&container, context, errors);
        } else {
            plain_init(&container, errors);
        }
    }
}

/// An init container that runs to its end has no probes, hooks or resize restarts.
fn plain_init(container: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if container.get(field).is_set() {
            let text = "may not be set for init containers without restartPolicy=Always";
            container.get(field).forbidden(errors, text);
        }
    }
    for policy in container.get("resizePolicy").items() {
        if policy.text_of("restartPolicy") == "RestartContainer" {
            let text = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            policy.get("restartPolicy").invalid(errors, text);
        }
    }
}

fn ephemeral(spec: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let others = [spec.get("containers").list(), spec.get("initContainers").list()];
    let others: BTreeSet<&str> =
        others.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect();
    let mut seen = others.clone();
    for container in spec.get("ephemeralContainers").items() {
        common(&container, context, errors);
        image_of_pod(&container, errors);
        let (name, target) = (container.get("name"), container.get("targetContainerName"));
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        if !target.is_empty() && !others.contains(target.text()) {
            target.not_found(errors);
        }
        ephemeral_fields(&container, errors);
    }
}

fn ephemeral_fields(container: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const FORBIDDEN: [&str; 8] = [
        "ports",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    const TEXT: &str = "cannot be set for an Ephemeral Container";
    for field in FORBIDDEN.into_iter().filter(|field| container.get(field).is_set()) {
        container.get(field).forbidden(errors, TEXT);
    }
    if !container.get("resources").is_empty() {
        container.get("resources").forbidden(errors, TEXT);
    }
    for mount in container.get("volumeMounts").items() {
        for field in ["subPath", "subPathExpr"] {
            if !mount.get(field).is_empty() {
                mount.get(field).forbidden(errors, TEXT);
            }
        }
    }
}

fn common(container: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let name = container.get("name");
    if name.must_be_set(errors) {
        name.named(errors, names::is_dns1123_label);
    }
    container.get("image").must_be_set(errors);
    let policies = ["File", "FallbackToLogsOnError"];
    container.get("terminationMessagePolicy").one_of(errors, &policies);
    ports(&container.get("ports"), errors);
    env::env(&container.get("env"), errors);
    env::env_from(&container.get("envFrom"), errors);
    mounts::mounts(container, context, errors);
    mounts::devices(container, context, errors);
    container.get("imagePullPolicy").one_of(errors, &["Always", "IfNotPresent", "Never"]);
    resource_list::container(&container.get("resources"), context, errors);
    restart::resize(&container.get("resizePolicy"), context, errors);
    if let Some(security) = container.present("securityContext") {
        security::container(&security, context.host_users, errors);
    }
}

fn ports(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for port in list.items() {
        let name = port.get("name");
        if name.opt_named(errors, names::is_valid_port_name) && !name.is_empty() && !seen.insert(name.text())
        {
            name.duplicate(errors);
        }
        let (own, host) = (port.get("containerPort"), port.get("hostPort"));
        match own.int() {
            0 => own.required(errors, ""),
            number => {
                own.invalid_each(errors, &names::is_valid_port_num(number));
            }
        }
        if host.int() != 0 {
            host.number(errors, names::is_valid_port_num);
        }
        port.get("protocol").one_of(errors, &PROTOCOLS);
    }
}

fn host_ports(container: &Cursor<'_, '_>, taken: &mut BTreeSet<String>, errors: &mut FieldErrors) {
    for port in container.get("ports").items().filter(|port| port.int_of("hostPort") != 0) {
        let key =
            format!("{}/{}/{}", port.text_of("protocol"), port.text_of("hostIP"), port.int_of("hostPort"));
        if taken.contains(&key) {
            port.get("hostPort").with(&Value::from(key.as_str())).duplicate(errors);
        }
        taken.insert(key);
    }
}

/// Images of Pods, unlike those of templates, have no white space around them.
pub(crate) fn image_of_pod(container: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let image = container.get("image");
    if image.text().trim() != image.text() {
        image.invalid(errors, "must not have leading or trailing whitespace");
    }
}
