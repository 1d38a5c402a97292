//! v1 Pod.
//!
//! Upstream: `pkg/registry/core/pod/strategy.go`, `ValidatePod{Create,Update,StatusUpdate}`.

mod parts;
mod status;
mod table;

use crate::{
    core::{namespaced, proxy},
    cursor::Cursor,
    facts,
    fill::{keep, sub},
    pod_spec::{self, defaults, template, update, validate as spec_rules},
};
use proa_meta::{FieldErrors, Gvk};
use proa_registry::kind::{Column, Generation, KindDef, Selectable, Strategy, SubresourceDef};
use proa_schema::apply::Reset;
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Ready"),
        Column::text("Status"),
        Column::text("Restarts"),
        Column::age(),
        Column::text("IP").wide(),
        Column::text("Node").wide(),
        Column::text("Nominated Node").wide(),
        Column::text("Readiness Gates").wide(),
    ];
    let kind = namespaced("Pod", "pods")
        .short(&["po"])
        .categories(&["all"])
        .with_status()
        .selectable(&SELECTABLE)
        .with_table(&columns, table::row)
        .with_strategy(Strategy {
            default: |object| {
                let spec = sub(object, "spec");
                defaults::pod_spec(spec);
                defaults::pod_only(spec);
                status::default(object);
            },
            prepare_create: pod_spec::prepare::create,
            prepare_status,
            validate,
            validate_create,
            validate_update,
            validate_status: status::validate,
            create_warnings: warnings,
            generation: Generation::Spec,
            resets: |path| match path {
                "status" => Some(Reset::Exclude(&[
                    &["spec"],
                    &["metadata", "deletionTimestamp"],
                    &["metadata", "ownerReferences"],
                ])),
                _ => None,
            },
            grace: Some(grace),
            returns_deleted: true,
            ..Strategy::default()
        });
    let kind = parts::ALL.into_iter().fold(kind, KindDef::with_part);
    let kind = SUBRESOURCES.iter().fold(kind, |kind, part| kind.with_subresource(part.definition()));
    kind.with_subresource(proxy("PodProxyOptions"))
}

const SELECTABLE: [Selectable; 9] = [
    Selectable::indexed("spec.nodeName"),
    Selectable::new("spec.restartPolicy"),
    Selectable::new("spec.schedulerName"),
    Selectable::new("spec.serviceAccountName"),
    Selectable::new("spec.hostNetwork").or("false"),
    Selectable::new("status.phase"),
    Selectable::new("status.podIP"),
    // A list, which is empty to selectors, as upstream.
    Selectable::new("status.podIPs"),
    Selectable::new("status.nominatedNodeName"),
];

/// A subresource: name, group, kind of its body, verbs, type of its query.
struct Part(&'static str, &'static str, &'static str, &'static [&'static str], &'static str);

const CONNECT: &[&str] = &["create", "get"];
const SUBRESOURCES: [Part; 6] = [
    Part("binding", "", "Binding", &["create"], ""),
    Part("eviction", "policy", "Eviction", &["create"], ""),
    Part("log", "", "Pod", &["get"], "PodLogOptions"),
    Part("exec", "", "PodExecOptions", CONNECT, "PodExecOptions"),
    Part("attach", "", "PodAttachOptions", CONNECT, "PodAttachOptions"),
    Part("portforward", "", "PodPortForwardOptions", CONNECT, "PodPortForwardOptions"),
];

impl Part {
    fn definition(&self) -> SubresourceDef {
        let Self(name, group, kind, verbs, query) = *self;
        let package = if group.is_empty() { "core" } else { group };
        let schema = facts::find_schema(&format!("io.k8s.api.{package}.v1.{kind}"));
        let (gvk, schema) = (Gvk::new(group, "v1", kind), schema.unwrap_or_default());
        let query = facts::find_schema(&format!("io.k8s.api.core.v1.{query}"));
        SubresourceDef { name, gvk, schema, verbs, paths: false, query }
    }
}

/// A pod without a node, or one that has ended, goes at once.
fn grace(object: &Value, asked: Option<i64>) -> i64 {
    let spec = &object["spec"];
    let unbound = spec["nodeName"].as_str().is_none_or(str::is_empty);
    if unbound || matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
        return 0;
    }
    match asked.or(spec["terminationGracePeriodSeconds"].as_i64()).unwrap_or(0) {
        ..0 => 1,
        seconds => seconds,
    }
}

fn prepare_status(new: &mut Value, old: &Value) {
    keep(sub(new, "metadata"), &old["metadata"], "ownerReferences");
    status::prepare(sub(new, "status"), &old["status"]);
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (metadata, spec) = (root.get("metadata"), root.get("spec"));
    update::annotations(&metadata.get("annotations"), &spec, errors);
    spec_rules::pod_spec(&spec, metadata.value(), errors);
    if spec.text_of("serviceAccountName").is_empty() {
        for volume in spec.get("volumes").items() {
            let projected = volume.get("projected");
            for source in projected.get("sources").items() {
                if let Some(token) = source.present("serviceAccountToken") {
                    token.forbidden(errors, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        spec.get(list).items().for_each(|container| spec_rules::image_of_pod(&container, errors));
    }
}

fn validate_create(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    if !spec.get("ephemeralContainers").is_empty() {
        spec.get("ephemeralContainers").forbidden(errors, "cannot be set on create");
    }
    if !spec.get("nodeName").is_empty() && !spec.get("schedulingGates").is_empty() {
        let text = "cannot be set until all schedulingGates have been cleared";
        spec.get("nodeName").forbidden(errors, text);
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    let metadata = new.get("metadata");
    let before = &old.value()["metadata"]["annotations"];
    update::annotation_changes(&metadata.get("annotations"), before, errors);
    update::spec(&new.get("spec"), &old.get("spec"), errors);
}

fn warnings(object: &Value) -> Vec<String> {
    let mut found = template::name_warning(object, "the Pod's hostname");
    found.extend(pod_spec::warnings::warnings(&Cursor::root(object), false));
    found
}
