//! apiextensions.k8s.io/v1 CustomResourceDefinition. What serves the kinds it defines is the registry.
//!
//! Schemas are checked by `proa_schema::crd`. Versions are converted by `proa_registry::conversion`.
//! Upstream: apiextensions `pkg/registry/customresourcedefinition/strategy.go`,
//! `pkg/apis/apiextensions/{v1/defaults.go,validation/validation.go}`.

mod versions;

use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, is_empty, keep, present, remove, set, sub, zero},
    webhook_client,
};
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Generation, KindDef, Strategy};
use serde_json::{Value, json};

/// Keeps a definition until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const APPROVED: &str = "api-approved.kubernetes.io";
const APPROVAL: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let schema = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";
    KindDef::cluster(gvk, "customresourcedefinitions", facts::schema(schema))
        .short(&["crd", "crds"])
        .categories(&["api-extensions"])
        .with_status()
        .with_strategy(Strategy {
            default,
            prepare_create: |object| {
                set(object, "status", json!({}));
                store_versions(object);
            },
            prepare_update: |new, old| {
                keep(new, old, "status");
                store_versions(new);
            },
            validate,
            validate_create: |object, errors| {
                approval(object, None, errors);
                preserved(object, errors);
            },
            validate_update,
            generation: Generation::Spec,
            unconditional_update: false,
            // The first request only marks it: its objects go before it does.
            blocks_deletion: |object| !object["metadata"]["deletionTimestamp"].is_string(),
            mark_deleted,
            ..Strategy::default()
        })
}

/// What upstream does besides, when a definition is first deleted; it counts no generation and no grace.
fn mark_deleted(object: &mut Value) {
    if !crate::table::condition(object, "Terminating").is_empty() {
        return;
    }
    let metadata = sub(object, "metadata");
    remove(metadata, "deletionGracePeriodSeconds");
    let generation = metadata["generation"].as_i64().unwrap_or(1);
    set(metadata, "generation", generation - 1);
    let time = metadata["deletionTimestamp"].clone();
    push(metadata, "finalizers", json!(CLEANUP));
    let condition = json!({
        "type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "lastTransitionTime": time,
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    });
    push(sub(object, "status"), "conditions", condition);
}

fn push(object: &mut Value, list: &str, value: Value) {
    match object[list].as_array_mut() {
        Some(list) if list.contains(&value) => {}
        Some(list) => list.push(value),
        None => set(object, list, json!([value])),
    }
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    absent(spec, "conversion", json!({"strategy": "None"}));
    let webhook = present(spec, "conversion").and_then(|conversion| present(conversion, "webhook"));
    if let Some(client) = webhook.and_then(|webhook| present(webhook, "clientConfig")) {
        webhook_client::default(client);
    }
    let names = sub(spec, "names");
    let kind = names["kind"].as_str().unwrap_or("").to_owned();
    zero(names, "singular", kind.to_lowercase());
    if !kind.is_empty() {
        zero(names, "listKind", format!("{kind}List"));
    }
}

/// A storage version is remembered until nothing is stored in it.
fn store_versions(object: &mut Value) {
    let versions = object["spec"]["versions"].as_array().into_iter().flatten();
    let Some(storage) = versions.into_iter().find(|version| version["storage"] == true) else { return };
    let name = storage["name"].clone();
    let status = sub(object, "status");
    match status["storedVersions"].as_array_mut() {
        Some(list) if list.contains(&name) => {}
        Some(list) => list.push(name),
        None => set(status, "storedVersions", json!([name])),
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (metadata, spec) = (root.get("metadata"), root.get("spec"));
    let (group, names_at) = (spec.get("group"), spec.get("names"));
    let name = metadata.get("name");
    if name.text() != format!("{}.{}", names_at.text_of("plural"), group.text()) {
        name.invalid(errors, "must be spec.names.plural+\".\"+spec.group");
    }
    if group.must_be_set(errors) {
        let problems = names::is_dns1123_subdomain(group.text());
        if !problems.is_empty() {
            group.invalid(errors, &problems.join(","));
        } else if !group.text().contains('.') {
            group.invalid(errors, "should be a domain with at least one dot");
        }
    }
    spec.get("scope").one_of(errors, &["Cluster", "Namespaced"]);
    versions::versions(&spec, errors);
    for field in ["plural", "singular", "kind", "listKind"] {
        names_at.get(field).must_be_set(errors);
    }
    resource_names(&names_at, errors);
    conversion(&spec.get("conversion"), errors);
    let status = root.get("status");
    resource_names(&status.get("acceptedNames"), errors);
    stored_versions(&status.get("storedVersions"), &spec, errors);
}

fn resource_names(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let label = |at: &Cursor<'_, '_>, text: &str, prefix: &str, errors: &mut FieldErrors| {
        let problems = names::is_dns1035_label(text);
        if !problems.is_empty() {
            at.invalid(errors, &format!("{prefix}{}", problems.join(",")));
        }
    };
    for field in ["plural", "singular"].into_iter().filter(|field| !at.get(field).is_empty()) {
        label(&at.get(field), at.text_of(field), "", errors);
    }
    for field in ["kind", "listKind"].into_iter().filter(|field| !at.get(field).is_empty()) {
        let prefix = "may have mixed case, but should otherwise match: ";
        label(&at.get(field), &at.text_of(field).to_lowercase(), prefix, errors);
    }
    at.get("shortNames").items().for_each(|name| label(&name, name.text(), "", errors));
    if !at.get("kind").is_empty() && at.text_of("kind") == at.text_of("listKind") {
        at.get("listKind").invalid(errors, "kind and listKind may not be the same");
    }
    at.get("categories").items().for_each(|name| label(&name, name.text(), "", errors));
}

fn conversion(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let strategy = at.get("strategy");
    strategy.one_of(errors, &["None", "Webhook"]);
    let webhook = at.get("webhook");
    if strategy.text() == "Webhook" {
        let shown = at.get("webhookClientConfig");
        let client = webhook.get("clientConfig");
        if client.is_set() {
            webhook_client::validate(&shown.with(client.value()), errors);
        } else {
            shown.required(errors, "required when strategy is set to Webhook");
        }
        let versions = webhook.get("conversionReviewVersions");
        let shown = at.get("conversionReviewVersions");
        return webhook_client::review_versions(&shown.with(versions.value()), "", errors);
    }
    let parts =
        [("clientConfig", "webhookClientConfig"), ("conversionReviewVersions", "conversionReviewVersions")];
    for (_, shown) in parts.into_iter().filter(|(part, _)| webhook.get(part).is_set()) {
        at.get(shown).forbidden(errors, "should not be set when strategy is not set to Webhook");
    }
}

fn stored_versions(list: &Cursor<'_, '_>, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if list.is_empty() {
        return errors.invalid(list.path(), &Value::Null, "must have at least one stored version");
    }
    let versions = spec.get("versions");
    for version in versions.items().filter(|version| version.get("storage").is_true()) {
        if !list.list().iter().any(|stored| stored == version.text_of("name")) {
            let text = format!("must have the storage version {}", version.text_of("name"));
            list.invalid(errors, &text);
        }
    }
    for stored in list.items() {
        let name = stored.text();
        if !versions.items().any(|version| version.text_of("name") == name) {
            let text = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            stored.invalid(errors, &text);
        }
    }
}

fn preserved(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let flag = spec.get("preserveUnknownFields");
    if flag.is_true() {
        let text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        flag.invalid(errors, text);
    }
}

#[derive(PartialEq, Eq)]
enum Approval {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

fn approval_of(annotation: &str) -> Approval {
    let url = annotation
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.split('/').next().unwrap_or("").is_empty());
    match annotation {
        "" => Approval::Missing,
        text if text.starts_with("unapproved") => Approval::Bypassed,
        _ if url => Approval::Approved,
        _ => Approval::Invalid,
    }
}

/// Groups of Kubernetes itself need an approval.
fn approval(object: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let group = object["spec"]["group"].as_str().unwrap_or("");
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    let state = |object: &Value| approval_of(crate::fill::annotation(object, APPROVED));
    let now = state(object);
    if !protected || old.is_some_and(|old| state(old) == now) {
        return;
    }
    let root = Cursor::root(object);
    let metadata = root.get("metadata");
    let annotations = metadata.get("annotations");
    let at = annotations.key(APPROVED);
    let needed = format!("protected groups must have approval annotation {APPROVED:?}");
    match now {
        Approval::Missing => at.required(errors, &format!("{needed}, {APPROVAL}")),
        Approval::Invalid => {
            let text =
                format!("{needed} with either a URL or a reason starting with \"unapproved\", {APPROVAL}");
            at.invalid(errors, &text);
        }
        Approval::Bypassed | Approval::Approved => {}
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (now, before) = (Cursor::root(new), Cursor::root(old));
    let (spec, old_spec) = (now.get("spec"), before.get("spec"));
    let (names_at, old_names) = (spec.get("names"), old_spec.get("names"));
    if crate::table::condition(old, "Established") == "True" {
        spec.get("scope").immutable(&old_spec.get("scope"), errors);
        names_at.get("kind").immutable(&old_names.get("kind"), errors);
    }
    spec.get("group").immutable(&old_spec.get("group"), errors);
    names_at.get("plural").immutable(&old_names.get("plural"), errors);
    approval(new, Some(old), errors);
    if is_empty(&old["spec"]["preserveUnknownFields"]) || old["spec"]["preserveUnknownFields"] == false {
        preserved(new, errors);
    }
}
