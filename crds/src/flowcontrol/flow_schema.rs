//! flowcontrol.apiserver.k8s.io/v1 FlowSchema: which requests are of which priority, with `/status`.
//!
//! Upstream: `pkg/registry/flowcontrol/flowschema/strategy.go`,
//! `pkg/apis/flowcontrol/{v1/defaults,validation/validation}.go`.

use super::{conditions, named};
use crate::{
    cursor::Cursor,
    fill::{keep_metadata, same, sub, zero},
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::{Value, json};

const GREATEST_PRECEDENCE: i64 = 10_000;
const USUAL_PRECEDENCE: i64 = 1000;
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/// What a subject may be, and the field that says which one.
const SUBJECTS: [(&str, &str); 3] =
    [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("FlowSchema");
    let columns = [
        Column::name(),
        Column::text("PriorityLevel"),
        Column::text("MatchingPrecedence"),
        Column::text("DistinguisherMethod"),
        Column::age(),
        Column::text("MissingPL"),
    ];
    KindDef::cluster(gvk, "flowschemas", schema).with_status().with_table(&columns, row).with_strategy(
        Strategy {
            default: |object| zero(sub(object, "spec"), "matchingPrecedence", USUAL_PRECEDENCE),
            prepare_status: keep_metadata,
            validate,
            validate_status: |new, _, errors| conditions(new, errors),
            generation: Generation::Spec,
            ..Strategy::default()
        },
    )
}

/// The schemas that every server has, as they must be.
fn fixed(name: &str) -> Option<Value> {
    let all = |groups: &[&str]| {
        let subjects: Vec<_> =
            groups.iter().map(|group| json!({"kind": "Group", "group": {"name": group}})).collect();
        json!([{
            "subjects": subjects,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
                "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }])
    };
    match name {
        "exempt" => Some(json!({
            "priorityLevelConfiguration": {"name": "exempt"},
            "matchingPrecedence": 1,
            "rules": all(&["system:masters"]),
        })),
        "catch-all" => Some(json!({
            "priorityLevelConfiguration": {"name": "catch-all"},
            "matchingPrecedence": GREATEST_PRECEDENCE,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": all(&["system:unauthenticated", "system:authenticated"]),
        })),
        _ => None,
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    let precedence = spec.get("matchingPrecedence");
    if precedence.int() <= 0 {
        precedence.invalid(errors, "must be a positive value");
    }
    if precedence.int() > GREATEST_PRECEDENCE {
        precedence.invalid(errors, &format!("must not be greater than {GREATEST_PRECEDENCE}"));
    }
    if precedence.int() == 1 && name != "exempt" {
        precedence.invalid(errors, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if let Some(method) = spec.present("distinguisherMethod")
        && !METHODS.contains(&method.text_of("type"))
    {
        errors.not_supported(method.get("type").path(), method.value(), &METHODS);
    }
    let level = spec.get("priorityLevelConfiguration");
    let level = level.get("name");
    if level.is_empty() {
        level.required(errors, "must reference a priority level");
    } else {
        level.named(errors, names::is_dns1123_subdomain);
    }
    spec.get("rules").items().for_each(|rule| validate_rule(&rule, errors));
    if fixed(name).is_some_and(|fixed| !same(&fixed, spec.value())) {
        spec.invalid(errors, &format!("spec of '{name}' must equal the fixed value"));
    }
    conditions(object, errors);
}

fn validate_rule(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let subjects = at.get("subjects");
    if subjects.is_empty() {
        subjects.required(errors, "subjects must contain at least one value");
    }
    subjects.items().for_each(|subject| validate_subject(&subject, errors));
    let (resources, others) = (at.get("resourceRules"), at.get("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        at.required(errors, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for rule in resources.items() {
        verbs(&rule.get("verbs"), errors);
        let none = "resource rules must supply at least one api group";
        all_or_some(&rule.get("apiGroups"), none, "api groups", errors);
        let none = "resource rules must supply at least one resource";
        all_or_some(&rule.get("resources"), none, "resources", errors);
        namespaces(&rule, errors);
    }
    for rule in others.items() {
        verbs(&rule.get("verbs"), errors);
        let urls = rule.get("nonResourceURLs");
        let none = "nonResourceURLs must contain at least one value";
        if !all_or_some(&urls, none, "non-resource URLs", errors) {
            urls.items().for_each(|url| validate_url(&url, errors));
        }
    }
}

fn validate_subject(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let kind = at.get("kind");
    let Some((kind, own)) = SUBJECTS.into_iter().find(|(name, _)| *name == kind.text()) else {
        return kind.unsupported(errors, &["Group", "ServiceAccount", "User"]);
    };
    let subject = at.get(own);
    if subject.is_set() {
        let (name, namespace) = (subject.get("name"), subject.get("namespace"));
        if name.must_be_set(errors) && kind == "ServiceAccount" && name.text() != "*" {
            name.named(errors, names::is_dns1123_subdomain);
        }
        if kind == "ServiceAccount" && namespace.is_empty() {
            namespace.required(errors, "must specify namespace for service account");
        } else if kind == "ServiceAccount" {
            namespace.named(errors, names::is_dns1123_label);
        }
    } else {
        subject.required(errors, &format!("{own} is required when subject kind is '{kind}'"));
    }
    // Upstream's order.
    for (other, field) in SUBJECTS.into_iter().filter(|(other, _)| *other != kind) {
        if let Some(subject) = at.present(field) {
            subject.forbidden(errors, &format!("{field} is forbidden when subject kind is not '{other}'"));
        }
    }
}

/// Whether a list is `*`, or wrong in some other way; anything else is looked at further.
fn all_or_some(list: &Cursor<'_, '_>, none: &str, what: &str, errors: &mut FieldErrors) -> bool {
    let has_all = list.list().iter().any(|one| one == "*");
    if list.is_empty() {
        list.required(errors, none);
    } else if has_all && list.list().len() > 1 {
        list.invalid(errors, &format!("if '*' is present, must not specify other {what}"));
    }
    list.is_empty() || has_all
}

fn verbs(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let is_known = |verb: &Value| verb.as_str().is_some_and(|verb| VERBS.contains(&verb));
    if !all_or_some(list, "verbs must contain at least one value", "verbs", errors)
        && !list.list().iter().all(is_known)
    {
        list.unsupported(errors, &VERBS);
    }
}

fn namespaces(rule: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let list = rule.get("namespaces");
    if list.is_empty() && rule.get("clusterScope").is_true() {
        return;
    }
    let none = "resource rules that are not cluster scoped must supply at least one namespace";
    if all_or_some(&list, none, "namespaces", errors) {
        return;
    }
    for namespace in list.items() {
        for problem in names::is_dns1123_label(namespace.text()) {
            let text = format!("each member of this list must be '*' or a DNS-1123 label; {problem}");
            namespace.invalid(errors, &text);
        }
    }
}

fn validate_url(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let path = at.text();
    let stars = path.matches('*').count();
    let problem = match path {
        "" => "must not be empty",
        "/" => return,
        _ if !path.starts_with('/') => "must start with slash",
        _ if path.contains(' ') => "must not contain white-space",
        _ if path.contains("//") => "must not contain double slash",
        _ if stars > 1 || (stars == 1 && !path.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return,
    };
    at.invalid(errors, problem);
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let missing = table::condition(object, "Dangling");
    vec![
        table::name(object),
        table::text_or(&spec["priorityLevelConfiguration"]["name"], ""),
        table::number(&spec["matchingPrecedence"]),
        table::text_or(&spec["distinguisherMethod"]["type"], "<none>"),
        table::age(object, now),
        if missing.is_empty() { "?" } else { missing }.into(),
    ]
}
