//! Requests and limits.

use super::Context;
use crate::{
    cursor::{Cursor, NEGATIVE},
    pod_spec::resources::{self, Amounts},
};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use std::collections::BTreeSet;

type NameCheck = fn(&Cursor<'_, '_>, &str, &mut FieldErrors);

/// `resources` of a container.
pub(super) fn container(at: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    requirements(at, container_name, errors);
    claims(&at.get("claims"), context, errors);
}

/// `resources` of a pod.
pub(super) fn pod(at: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    requirements(at, pod_name, errors);
    claims(&at.get("claims"), context, errors);
}

fn requirements(at: &Cursor<'_, '_>, check: NameCheck, errors: &mut FieldErrors) {
    let (limits, requests) = (at.get("limits"), at.get("requests"));
    let allowed = resources::amounts(limits.value());
    let asked = resources::amounts(requests.value());
    entries(&limits, check, errors);
    for (name, entry) in requests.entries() {
        one(&entry, name, check, errors);
        if let Some(quantity) = asked.get(name) {
            within_limit(name, *quantity, &allowed, &limits, &requests, errors);
        }
    }
    huge_pages_need_more(at, &allowed, &asked, errors);
}

/// A list that is checked as limits are (`overhead`); errors name `shown.limits`.
pub(crate) fn limits(list: &Cursor<'_, '_>, shown: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let limits = shown.get("limits");
    let limits = limits.with(list.value());
    entries(&limits, container_name, errors);
    huge_pages_need_more(shown, &resources::amounts(list.value()), &Amounts::new(), errors);
}

fn entries(list: &Cursor<'_, '_>, check: NameCheck, errors: &mut FieldErrors) {
    for (name, entry) in list.entries() {
        one(&entry, name, check, errors);
    }
}

fn one(entry: &Cursor<'_, '_>, name: &str, check: NameCheck, errors: &mut FieldErrors) {
    check(entry, name, errors);
    quantity(entry, name, errors);
    if resources::is_hugepages(name) && !is_divisible(entry, name) {
        entry.invalid(errors, &format!("{} is not positive integer multiple of {name}", entry.text()));
    }
}

fn is_divisible(entry: &Cursor<'_, '_>, name: &str) -> bool {
    let size = name.strip_prefix("hugepages-").and_then(|size| Quantity::parse(size).ok());
    let value = Quantity::from_json(entry.value()).map_or(0, |q| q.value());
    size.is_some_and(|size| size > Quantity::ZERO && size.is_integer() && value % size.value() == 0)
}

fn within_limit(
    name: &str,
    quantity: Quantity,
    allowed: &Amounts,
    limits: &Cursor<'_, '_>,
    requests: &Cursor<'_, '_>,
    errors: &mut FieldErrors,
) {
    let shown = quantity.to_string().into();
    match (allowed.get(name), resources::is_overcommit_allowed(name)) {
        (Some(limit), false) if *limit != quantity => {
            requests.with(&shown).invalid(errors, &format!("must be equal to {name} limit of {limit}"));
        }
        (Some(limit), _) if quantity > *limit => {
            let text = format!("must be less than or equal to {name} limit of {limit}");
            requests.with(&shown).invalid(errors, &text);
        }
        (None, false) => limits.required(errors, "Limit must be set for non overcommitable resources"),
        _ => {}
    }
}

fn huge_pages_need_more(at: &Cursor<'_, '_>, limits: &Amounts, requests: &Amounts, errors: &mut FieldErrors) {
    let any = |fits: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| fits(name));
    if any(resources::is_hugepages) && !any(|name| matches!(name, "cpu" | "memory")) {
        at.forbidden(errors, "HugePages require cpu or memory");
    }
}

/// Not negative, and whole where only whole units exist.
pub(crate) fn quantity(entry: &Cursor<'_, '_>, name: &str, errors: &mut FieldErrors) {
    let Ok(quantity) = Quantity::from_json(entry.value()) else { return };
    if quantity.is_negative() {
        entry.invalid(errors, NEGATIVE);
    }
    if resources::is_integer(name) && quantity.milli_value() % 1000 != 0 {
        entry.invalid(errors, "must be an integer");
    }
}

/// A qualified name, or a plain one that is known; whether it is.
pub(crate) fn name_of(entry: &Cursor<'_, '_>, name: &str, errors: &mut FieldErrors) -> bool {
    let shown = name.into();
    let shown = entry.with(&shown);
    if !shown.named(errors, names::is_qualified_name) {
        return false;
    }
    let known = name.contains('/') || resources::is_standard(name);
    if !known {
        shown.invalid(errors, "must be a standard resource type or fully qualified");
    }
    known
}

/// A name that containers may ask for.
pub(crate) fn container_name(entry: &Cursor<'_, '_>, name: &str, errors: &mut FieldErrors) {
    name_of(entry, name, errors);
    let shown = name.into();
    let shown = entry.with(&shown);
    if !name.contains('/') {
        if !resources::is_standard_container(name) {
            shown.invalid(errors, "must be a standard resource for containers");
        }
    } else if !resources::is_native(name) && !resources::is_extended(name) {
        shown.invalid(errors, "doesn't follow extended resource name standard");
    }
}

fn pod_name(entry: &Cursor<'_, '_>, name: &str, errors: &mut FieldErrors) {
    if name_of(entry, name, errors) && !resources::is_pod_level(name) {
        entry.with(&name.into()).unsupported(errors, &["cpu", "hugepages-", "memory"]);
    }
}

fn claims(list: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in list.items() {
        let (name, request) = (claim.text_of("name"), claim.get("request"));
        if name.is_empty() {
            claim.required(errors, "");
            continue;
        }
        request.opt_named(errors, names::is_dns1123_label);
        let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{}", request.text()) };
        let prefix = format!("{name}/");
        let covered = seen.contains(name)
            || seen.contains(&key)
            || (request.is_empty() && seen.iter().any(|other| other.starts_with(&prefix)));
        if covered {
            claim.with(&if seen.contains(name) { name.into() } else { key.clone().into() }).duplicate(errors);
        }
        seen.insert(key);
        unknown_claim(&claim, name, context, errors);
    }
}

fn unknown_claim(claim: &Cursor<'_, '_>, name: &str, context: &Context<'_>, errors: &mut FieldErrors) {
    if context.claims.contains(name) {
        return;
    }
    let known: Vec<&str> = context.claims.iter().copied().collect();
    let which = if known.is_empty() { " which is empty".into() } else { format!(": {}", known.join(", ")) };
    errors.push(proa_meta::FieldError {
        problem: proa_meta::field::Problem::NotFound,
        field: claim.path().to_string(),
        body: format!("Not found: {name:?}: must be one of the names in pod.spec.resourceClaims{which}"),
    });
}
