//! Kinds of the group `resource.k8s.io`, `v1`: devices, and what asks for them.
//!
//! Fields of features that are off by default are dropped, as upstream drops them: derived attributes, lists as
//! attributes, allocatable resources of nodes, compatibility groups, types of partitions, skipped node operations.
//! What upstream's code checks is in the files of the kinds; what it declares on the types is `declared`.
//! Deliberately absent: whatever acts on devices.
//! Upstream: `pkg/apis/resource/validation/validation.go`.

pub(crate) mod device_class;
pub(crate) mod device_taint_rule;
pub(crate) mod resource_claim;
pub(crate) mod resource_claim_template;
pub(crate) mod resource_slice;

mod claim_spec;
mod declared;
mod taint;

use crate::{cursor::Cursor, facts, storage};
use proa_meta::{FieldErrors, Gvk, names};
use proa_schema::{
    SchemaRef,
    cel::{self, Misfit},
};
use serde_json::Value;
use std::collections::BTreeSet;

use storage::driver_name as driver;

const SELECTORS: usize = 32;
const CONFIGURATIONS: usize = 32;
const EXPRESSION: usize = 10 << 10;
const PARAMETERS: usize = 10 << 10;
const POOL: usize = 253;
const IDENTIFIER: usize = 32;

/// Name and schema of a kind of the group.
fn named(kind: &'static str) -> (Gvk, SchemaRef) {
    let schema = facts::schema(&format!("io.k8s.api.resource.v1.{kind}"));
    (Gvk::new("resource.k8s.io", "v1", kind), schema)
}

/// Whether a list has no more elements than it may; one that does is not looked at further.
fn is_short(list: &Cursor<'_, '_>, most: usize, errors: &mut FieldErrors) -> bool {
    let len = list.value().as_object().map_or_else(|| list.list().len(), serde_json::Map::len);
    if len > most {
        errors.too_many(list.path(), len, most);
    }
    len <= most
}

/// The elements of a list that has no more than it may; that one has more is declared.
fn few<'v, 'b>(list: &'b Cursor<'v, '_>, most: usize) -> impl Iterator<Item = Cursor<'v, 'b>> {
    list.items().filter(move |_| list.list().len() <= most)
}

/// Elements whose key was there before.
fn unique<'v, K: Ord>(list: &Cursor<'v, '_>, key: impl Fn(&'v Value) -> K, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for item in list.items().filter(|item| !seen.insert(key(item.value()))) {
        item.duplicate(errors);
    }
}

/// A text of a field, empty when absent.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or("")
}

/// Subdomains between slashes.
fn pool(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !at.must_be_set(errors) {
        return;
    }
    if at.text().len() > POOL {
        errors.too_long(at.path(), POOL);
    }
    for part in at.text().split('/') {
        at.with(&part.into()).named(errors, names::is_dns1123_subdomain);
    }
}

/// The name of an attribute or a capacity: an identifier, maybe behind the domain of who defined it.
fn qualified_name(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    match at.text().split('/').collect::<Vec<_>>()[..] {
        [id] => identifier(&at.with(&id.into()), errors),
        [domain, id] => {
            let empty = Value::from("");
            match domain {
                "" => at.with(&empty).invalid(errors, "the domain must not be empty"),
                domain => driver(&at.with(&domain.into()), errors),
            }
            match id {
                "" => at.with(&empty).invalid(errors, "the name must not be empty"),
                id => identifier(&at.with(&id.into()), errors),
            }
        }
        _ => {}
    }
}

fn identifier(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.text().len() > IDENTIFIER {
        errors.too_long(at.path(), IDENTIFIER);
    }
    at.named(errors, names::is_c_identifier);
}

/// Expressions that devices must meet.
fn selectors(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for selector in few(list, SELECTORS) {
        let cel = selector.get("cel");
        if !cel.is_set() {
            cel.required(errors, "");
            continue;
        }
        let expression = cel.get("expression");
        if expression.text().len() > EXPRESSION {
            errors.too_long(expression.path(), EXPRESSION);
            continue;
        }
        match cel::check_device_expression(expression.text()) {
            Ok(()) => {}
            Err(Misfit::Wrong(why)) => expression.invalid(errors, &why),
            Err(Misfit::TooComplex) => expression.forbidden(errors, "too complex, exceeds cost limit"),
        }
    }
}

/// What a driver is told, which only it can read.
fn configuration(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let opaque = at.get("opaque");
    if !opaque.is_set() {
        return opaque.required(errors, "");
    }
    raw(&opaque.get("parameters"), PARAMETERS, errors);
}

/// An object of whatever fields.
fn raw(at: &Cursor<'_, '_>, longest: usize, errors: &mut FieldErrors) {
    if !at.is_set() {
        at.required(errors, "");
    } else if at.value().to_string().len() > longest {
        errors.too_long(at.path(), longest);
    } else if !at.value().is_object() {
        at.with(&"<value omitted>".into()).invalid(errors, "must be a valid JSON object");
    }
}
