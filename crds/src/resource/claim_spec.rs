//! The spec of a claim, in claims and in their templates.

use super::{configuration, driver, few, selectors, taint, text};
use crate::{
    cursor::Cursor,
    fill::{items, present, remove, zero},
};
use proa_meta::{FieldErrors, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const REQUESTS: usize = 32;
const CONSTRAINTS: usize = 32;
const ALTERNATIVES: usize = 8;

/// Completes what is asked for.
pub(super) fn default(spec: &mut Value) {
    each_request(spec, |request| {
        items(request, "tolerations").for_each(|toleration| zero(toleration, "operator", "Equal"));
        zero(request, "allocationMode", "ExactCount");
        if request["allocationMode"] == "ExactCount" {
            zero(request, "count", 1);
        }
    });
}

/// Takes out fields of features that are off.
pub(super) fn drop_disabled(spec: &mut Value) {
    each_request(spec, |request| remove(request, "derivedAttributes"));
}

fn each_request(spec: &mut Value, change: impl Fn(&mut Value)) {
    let Some(devices) = present(spec, "devices") else { return };
    for request in items(devices, "requests") {
        if let Some(exactly) = present(request, "exactly") {
            change(exactly);
        }
        items(request, "firstAvailable").for_each(&change);
    }
}

/// The names that a claim's requests have, and those of their alternatives.
pub(super) struct Requests<'v>(BTreeMap<&'v str, BTreeSet<&'v str>>);

impl<'v> Requests<'v> {
    /// Those of `spec.devices`.
    pub(super) fn of(devices: &'v Value) -> Self {
        let list = |value: &'v Value| value.as_array().into_iter().flatten();
        let alternatives = |request: &'v Value| {
            list(&request["firstAvailable"]).map(|one| text(one, "name")).collect::<BTreeSet<_>>()
        };
        Self(list(&devices["requests"]).map(|one| (text(one, "name"), alternatives(one))).collect())
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, alternative)) => self.0.get(request).is_some_and(|all| all.contains(alternative)),
        }
    }

    /// A name of a request, or of an alternative behind it.
    pub(super) fn reference(&self, at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
        const TEXT: &str = "must be the name of a request in the claim or the name of a request and a subrequest \
                            separated by '/'";
        let parts: Vec<&str> = at.text().split('/').collect();
        if parts.len() > 2 {
            return at.invalid(errors, TEXT);
        }
        for part in parts {
            at.with(&part.into()).named(errors, names::is_dns1123_label);
        }
        if !self.has(at.text()) {
            at.invalid(errors, TEXT);
        }
    }

    /// A list of such names.
    pub(super) fn references(&self, list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
        few(list, REQUESTS).for_each(|name| self.reference(&name, errors));
    }
}

/// Validates a spec.
pub(super) fn validate(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let devices = spec.get("devices");
    let names = Requests::of(devices.value());
    let requests = devices.get("requests");
    few(&requests, REQUESTS).for_each(|request| validate_request(&request, errors));
    let constraints = devices.get("constraints");
    few(&constraints, CONSTRAINTS).for_each(|constraint| validate_constraint(&constraint, &names, errors));
    for one in few(&devices.get("config"), super::CONFIGURATIONS) {
        names.references(&one.get("requests"), errors);
        configuration(&one, errors);
    }
}

fn validate_request(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const EITHER: &str = "exactly one of `exactly` or `firstAvailable` is required";
    at.get("name").named(errors, names::is_dns1123_label);
    let alternatives = at.get("firstAvailable");
    match (at.present("exactly"), alternatives.is_empty()) {
        (None, true) => at.required(errors, EITHER),
        (Some(_), false) => {
            let text = format!("{EITHER}, but multiple fields are set");
            errors.invalid(at.path(), &Value::Null, &text);
        }
        (Some(exactly), true) => {
            let class = exactly.get("deviceClassName");
            if class.must_be_set(errors) {
                class.named(errors, names::is_dns1123_subdomain);
            }
            validate_asked(&exactly, errors);
        }
        (None, false) => {
            for alternative in few(&alternatives, ALTERNATIVES) {
                alternative.get("name").named(errors, names::is_dns1123_label);
                validate_asked(&alternative, errors);
            }
        }
    }
}

fn validate_asked(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    selectors(&at.get("selectors"), errors);
    let (mode, count) = (at.get("allocationMode"), at.get("count"));
    match mode.text() {
        "All" if count.int() != 0 => {
            count.invalid(errors, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" => count.positive(errors),
        _ => {}
    }
    taint::tolerations(&at.get("tolerations"), errors);
}

fn validate_constraint(at: &Cursor<'_, '_>, names: &Requests<'_>, errors: &mut FieldErrors) {
    names.references(&at.get("requests"), errors);
    if !at.get("matchAttribute").is_set() && !at.get("distinctAttribute").is_set() {
        // The words of upstream, which also takes both.
        let text = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
        at.required(errors, text);
    }
}

/// Driver, pool and device, as they name one device.
pub(super) fn device(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    driver(&at.get("driver"), errors);
    super::pool(&at.get("pool"), errors);
    at.get("device").named(errors, names::is_dns1123_label);
}
