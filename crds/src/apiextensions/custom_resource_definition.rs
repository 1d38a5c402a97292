//! apiextensions.k8s.io/v1 CustomResourceDefinition. What serves the kinds it defines is the registry.
//!
//! Schemas are checked by `proa_schema::crd`. Versions are converted by `proa_registry::conversion`.
//! Upstream: apiextensions `pkg/registry/customresourcedefinition/strategy.go`,
//! `pkg/apis/apiextensions/{v1/defaults.go,validation/validation.go}`.

mod versions;
mod warnings;

use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, keep, present, remove, set, sub, zero},
    webhook_client,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, gvk::Name, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
            validate_create: |object, errors| {
                name(object, errors);
                validate(object, None, errors);
            },
            validate_update: |new, old, errors| validate(new, Some(old), errors),
            validate_status: |new, _, errors| {
                let root = Cursor::root(new);
                resource_names(&root.get("status").get("acceptedNames"), errors);
            },
            create_warnings: |object| warnings::of(object, &Value::Null),
            update_warnings: warnings::of,
            generation: Generation::Spec,
            unconditional_update: false,
            // The first request only marks it: its objects go before it does.
            blocks_deletion: |object| !object["metadata"]["deletionTimestamp"].is_string(),
            mark_deleted,
            ..Strategy::default()
        })
        .with_table(&COLUMNS, row)
}

const COLUMNS: [Column; 8] = [
    Column::name(),
    column("Scope", "string", "Cluster/Namespaced", 0),
    column("Versions", "string", "Served versions", 0),
    Column::of("Created At", "date"),
    column("Group", "string", "API group", 1),
    column("Kind", "string", "CustomResource kind", 1),
    column("ShortNames", "string", "Short names", 1),
    column("Established", "boolean", "Established status", 1),
];

const fn column(name: &'static str, kind: &'static str, description: &'static str, priority: i32) -> Column {
    Column {
        name: Name::Borrowed(name),
        kind: Name::Borrowed(kind),
        format: Name::Borrowed(""),
        description: Name::Borrowed(description),
        priority,
    }
}

fn row(object: &Value, _: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let served =
        spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
    let mut versions: Vec<String> = served
        .map(|version| {
            let name = version["name"].as_str().unwrap_or_default();
            if version["storage"] == true { format!("{name}(storage)") } else { name.to_owned() }
        })
        .collect();
    versions.sort_unstable();
    let short = spec["names"]["shortNames"].as_array().into_iter().flatten();
    let short: Vec<&str> = short.filter_map(Value::as_str).collect();
    vec![
        crate::table::name(object),
        spec["scope"].clone(),
        versions.join(",").into(),
        object["metadata"]["creationTimestamp"].clone(),
        spec["group"].clone(),
        spec["names"]["kind"].clone(),
        short.join(",").into(),
        is_established(object).into(),
    ]
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
    // A webhook of which nothing is said is none: upstream's own form has no place for it.
    let conversion = sub(spec, "conversion");
    let says = |part: &str| !conversion["webhook"][part].is_null();
    if !says("clientConfig") && !says("conversionReviewVersions") {
        remove(conversion, "webhook");
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

/// The name says what is defined; so would the beginning of a generated one.
fn name(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (metadata, spec) = (root.get("metadata"), root.get("spec"));
    let wanted = format!("{}.{}", spec.get("names").text_of("plural"), spec.text_of("group"));
    for field in ["generateName", "name"] {
        let at = metadata.get(field);
        if !at.is_empty() && at.text() != wanted {
            at.invalid(errors, "must be spec.names.plural+\".\"+spec.group");
        }
    }
    // It stands behind what else is wrong with the same name.
    let mut all: Vec<_> = std::mem::take(errors).into_iter().collect();
    all.sort_by_key(|error| match error.field.as_str() {
        "metadata.generateName" => 0,
        "metadata.name" => 1,
        _ => 2,
    });
    all.into_iter().for_each(|error| errors.push(error));
}

fn validate(object: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let (group, names_at) = (spec.get("group"), spec.get("names"));
    if group.must_be_set(errors) {
        let problems = names::is_dns1123_subdomain(group.text());
        if !problems.is_empty() {
            group.invalid(errors, &problems.join(","));
        } else if !group.text().contains('.') {
            group.invalid(errors, "should be a domain with at least one dot");
        }
    }
    spec.get("scope").one_of(errors, &["Cluster", "Namespaced"]);
    versions::each(&spec, errors);
    for field in ["plural", "singular", "kind", "listKind"] {
        names_at.get(field).must_be_set(errors);
    }
    resource_names(&names_at, errors);
    versions::shared(&spec, errors);
    conversion(&spec, old, errors);
    if let Some(old) = old {
        immutable(&spec, old, errors);
    }
    let status = root.get("status");
    resource_names(&status.get("acceptedNames"), errors);
    stored_versions(&status.get("storedVersions"), &spec, errors);
    approval(object, old, errors);
    if old.is_none_or(|old| old["spec"]["preserveUnknownFields"] != true) {
        preserved(&spec, errors);
    }
}

fn is_established(object: &Value) -> bool {
    crate::table::condition(object, "Established") == "True"
}

/// What the stored objects depend on.
fn immutable(spec: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    let before = Cursor::root(old);
    let before = before.get("spec");
    let (names, old_names) = (spec.get("names"), before.get("names"));
    if is_established(old) {
        spec.get("scope").immutable(&before.get("scope"), errors);
        names.get("kind").immutable(&old_names.get("kind"), errors);
    }
    spec.get("group").immutable(&before.get("group"), errors);
    names.get("plural").immutable(&old_names.get("plural"), errors);
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

fn conversion(spec: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) {
    let at = spec.get("conversion");
    let strategy = at.get("strategy");
    if strategy.text() != "None" && spec.get("preserveUnknownFields").is_true() {
        strategy.invalid(errors, "must be None if spec.preserveUnknownFields is true");
    }
    strategy.one_of(errors, &["None", "Webhook"]);
    let webhook = at.get("webhook");
    let (client, versions) = (webhook.get("clientConfig"), webhook.get("conversionReviewVersions"));
    // The paths are those of an older version of the API, as upstream's.
    let (client_at, versions_at) = (at.get("webhookClientConfig"), at.get("conversionReviewVersions"));
    let (client, versions) = (client_at.with(client.value()), versions_at.with(versions.value()));
    if strategy.text() == "Webhook" {
        if client.is_set() {
            webhook_client::validate(&client, errors);
            authorities(&client.get("caBundle"), old, errors);
        } else {
            client.required(errors, "required when strategy is set to Webhook");
        }
        return webhook_client::review_versions(&versions, "", errors);
    }
    let is_set = [(client, client.is_set()), (versions, !versions.is_empty())];
    for (part, _) in is_set.into_iter().filter(|(_, is_set)| *is_set) {
        part.forbidden(errors, "should not be set when strategy is not set to Webhook");
    }
}

/// The webhook of an established definition is known by certificates, unless it was not before either.
fn authorities(bundle: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) {
    let problem = |bundle: &str| webhook_client::authorities_problem(bundle);
    let before = |old: &Value| old["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"].clone();
    let before = old.filter(|old| is_established(old)).map(before);
    if let Some(before) = before
        && before.as_str().and_then(problem).is_none()
        && let Some(why) = problem(bundle.text())
    {
        bundle.invalid(errors, &format!("unable to load root certificates: {why}"));
    }
}

fn stored_versions(list: &Cursor<'_, '_>, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if list.is_empty() {
        return errors.invalid(list.path(), &Value::Null, "must have at least one stored version");
    }
    let versions = spec.get("versions");
    // Each may be named by one version only.
    let mut left: BTreeSet<&str> = list.items().map(|stored| stored.text()).collect();
    for version in versions.items() {
        let name = version.text_of("name");
        if version.get("storage").is_true() && !left.contains(&name) {
            list.invalid(errors, &format!("must have the storage version {name}"));
        }
        left.remove(name);
    }
    for stored in list.items() {
        let name = stored.text();
        if left.contains(&name) {
            let text = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            stored.invalid(errors, &text);
        }
    }
}

fn preserved(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
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
