//! apiregistration.k8s.io/v1 APIService: a version of a group, and the Service that answers for it, with `/status`.
//!
//! Upstream: kube-aggregator `pkg/registry/apiservice/{strategy,etcd/etcd}.go`,
//! `pkg/apis/apiregistration/{helpers,v1/defaults,validation/validation}.go`.

use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, keep, present, sub},
    table,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::{Value, json};

const SCHEMA: &str = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";
const HIGHEST_GROUP_PRIORITY: i64 = 20_000;
const HIGHEST_VERSION_PRIORITY: i64 = 1000;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("apiregistration.k8s.io", "v1", "APIService");
    let columns = [Column::name(), Column::text("Service"), Column::text("Available"), Column::age()];
    KindDef::cluster(gvk, "apiservices", facts::schema(SCHEMA))
        .categories(&["api-extensions"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            name: names::name_is_path_segment,
            default: |object| {
                if let Some(service) = present(object, "spec").and_then(|spec| present(spec, "service")) {
                    absent(service, "port", 443);
                }
            },
            prepare_create,
            prepare_status: |new, old| {
                for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                    keep(sub(new, "metadata"), &old["metadata"], field);
                }
            },
            validate,
            validate_status,
            unconditional_update: false,
            ..Strategy::default()
        })
}

/// What the server answers itself is available at once.
fn prepare_create(object: &mut Value) {
    if object["spec"]["service"].is_null() {
        object["status"] = json!({"conditions": [{
            "type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available",
            "lastTransitionTime": object["metadata"]["creationTimestamp"],
        }]});
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let (group, version) = (spec.get("group"), spec.get("version"));
    named(&root, &format!("{}.{}", version.text(), group.text()), errors);
    if group.is_empty() && version.text() != "v1" {
        group.required(errors, "only v1 may have an empty group and it better be legacy kube");
    }
    group.opt_named(errors, names::is_dns1123_subdomain);
    version.named(errors, names::is_dns1035_label);
    for (field, most) in
        [("groupPriorityMinimum", HIGHEST_GROUP_PRIORITY), ("versionPriority", HIGHEST_VERSION_PRIORITY)]
    {
        let priority = spec.get(field);
        if !(1..=most).contains(&priority.int()) {
            let shown = Value::from(priority.int());
            priority.with(&shown).invalid(errors, &format!("must be positive and less than {most}"));
        }
    }
    match spec.present("service") {
        Some(service) => validate_remote(&spec, &service, errors),
        None => validate_local(&spec, errors),
    }
}

/// A name that could be one at all says what the object is about.
fn named(root: &Cursor<'_, '_>, wanted: &str, errors: &mut FieldErrors) {
    let metadata = root.get("metadata");
    let name = metadata.get("name");
    let is_segment = names::is_path_segment_name(name.text()).is_empty();
    if !name.is_empty() && is_segment && name.text() != wanted {
        name.invalid(errors, &format!("must be `spec.version+\".\"+spec.group`: {wanted:?}"));
    }
}

fn validate_local(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (bundle, insecure) = (spec.get("caBundle"), spec.get("insecureSkipTLSVerify"));
    if !bundle.is_empty() {
        let size = BASE64_STANDARD.decode(bundle.text()).map_or(0, |bytes| bytes.len());
        let shown = Value::from(format!("{size} bytes"));
        bundle.with(&shown).invalid(errors, "local APIServices may not have a caBundle");
    }
    if insecure.is_true() {
        insecure.invalid(errors, "local APIServices may not have insecureSkipTLSVerify");
    }
}

fn validate_remote(spec: &Cursor<'_, '_>, service: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    service.get("namespace").must_be_set(errors);
    service.get("name").must_be_set(errors);
    let port = service.get("port");
    let problems = names::is_valid_port_num(port.int());
    if !problems.is_empty() {
        port.invalid(errors, &format!("port is not valid: {}", problems.join(", ")));
    }
    let insecure = spec.get("insecureSkipTLSVerify");
    if insecure.is_true() && !spec.get("caBundle").is_empty() {
        insecure.invalid(errors, "may not be true if caBundle is present");
    }
}

fn validate_status(new: &Value, _: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let status = root.get("status");
    for condition in status.get("conditions").items() {
        condition.get("status").enumeration(errors, &["False", "True", "Unknown"]);
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let service = match service {
        Value::Null => "Local".to_owned(),
        service => format!("{}/{}", text(&service["namespace"]), text(&service["name"])),
    };
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let available = match conditions.into_iter().find(|condition| condition["type"] == "Available") {
        None => "Unknown".to_owned(),
        Some(condition) => match (text(&condition["status"]), text(&condition["reason"])) {
            (status, reason) if status == "True" || reason.is_empty() => status,
            (status, reason) => format!("{status} ({reason})"),
        },
    };
    vec![table::name(object), service.into(), available.into(), table::age(object, now)]
}
