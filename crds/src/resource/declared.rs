//! What upstream declares on the types of the group: limits, formats, enumerations, unions.
//!
//! It is told after everything that upstream's code finds, in the order of the fields, and not for values that an
//! update leaves as they were. The declarations are those of the facts table; a declared field that the table calls
//! required must be set.

use super::text;
use crate::{
    cursor::Cursor,
    facts::{self, Field, ListKind, Shape, TypeFacts},
    fill::{is_empty, same},
};
use proa_meta::{FieldError, FieldErrors, field::Problem, names};
use serde_json::Value;

const GROUP: &str = "io.k8s.api.resource.v1.";
const IDENTIFIER: usize = 32;
const PREFIX: usize = 63;
const POOL: usize = 253;

/// Tells what is wrong with a part of an object by the declarations of its type; `old` is what it was.
pub(super) fn validate(of: &str, at: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) {
    if let Some(of) = facts::type_facts(&format!("{GROUP}{of}")) {
        fields(of, at, old, errors);
    }
}

fn own_type(shape: Shape) -> Option<TypeFacts> {
    shape.type_facts().filter(|of| of.name.starts_with(GROUP))
}

fn fields(of: TypeFacts, at: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) {
    union(of, at, old, errors);
    for declared in of.fields() {
        let Some(name) = declared.name else {
            own_type(declared.shape).into_iter().for_each(|inlined| fields(inlined, at, old, errors));
            continue;
        };
        let (value, before) = (at.get(name), old.map(|old| &old[name]));
        if before.is_none_or(|before| !same(value.value(), before)) {
            field(&declared, &value, before, errors);
        }
    }
}

/// Exactly one of some fields is set.
fn union(of: TypeFacts, at: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) {
    let is_member = |field: &Field| field.validations().any(|one| one == "unionMember");
    let members: Vec<_> = of.fields().filter(is_member).filter_map(|field| field.name).collect();
    let set_in = |value: &Value| -> Vec<String> {
        let is_set = |name: &&&str| !value[**name].is_null();
        members.iter().filter(is_set).map(|name| (*name).to_owned()).collect()
    };
    let set = set_in(at.value());
    if members.is_empty() || set.len() == 1 || old.is_some_and(|old| set_in(old) == set) {
        return;
    }
    let all = members.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if set.is_empty() {
        return at.with(&"".into()).invalid(errors, &format!("must specify one of: {all}"));
    }
    let shown = format!("{{{}}}", set.join(", ")).into();
    at.with(&shown).invalid(errors, &format!("must specify exactly one of: {all}"));
}

fn field(declared: &Field, at: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) {
    let is_declared = declared.validations().next().is_some() || declared.enumeration().next().is_some();
    let is_absent = if declared.shape.is_pointer() { !at.is_set() } else { is_empty(at.value()) };
    if is_absent {
        if is_declared && declared.is_required() {
            at.required(errors, "");
        }
        return;
    }
    if declared.is_immutable() && old.is_some() {
        return at.declared_immutable(&at.with(&Value::Null), errors);
    }
    for rule in declared.validations() {
        if !follows(rule, at, old, errors) {
            return;
        }
    }
    let allowed: Vec<_> = declared.enumeration().collect();
    if !allowed.is_empty() && declared.shape.list_item().is_none() {
        at.enumeration(errors, &allowed);
    }
    if let Some(item) = declared.shape.list_item() {
        list(declared, item, at, old, errors);
    } else if let Some(of) = declared.shape.map_value().and_then(own_type) {
        for (key, one) in at.entries() {
            fields(of, &one, old.map(|old| &old[key]).filter(|old| !old.is_null()), errors);
        }
    } else if let Some(of) = own_type(declared.shape) {
        fields(of, at, old.filter(|old| !old.is_null()), errors);
    }
}

/// Applies one declaration; false when nothing else is looked at.
fn follows(rule: &str, at: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) -> bool {
    let (rule, limit) = rule.split_once('=').unwrap_or((rule, ""));
    let most = limit.parse().unwrap_or(usize::MAX);
    match rule {
        "maxItems" => return super::is_short(at, most, errors),
        "maxBytes" if at.text().len() > most => errors.too_long(at.path(), most),
        "maxLength" if at.text().chars().count() > most => {
            let body = format!("Too long: may not be more than {most} characters");
            errors.push(FieldError { problem: Problem::TooLong, field: at.path().to_string(), body });
        }
        "format" => format(limit, at, errors),
        "subfield(name)" => {
            let name = at.get("name");
            if !name.is_empty() {
                format(limit.trim_start_matches("+k8s:format="), &name, errors);
            }
        }
        "eachKey" => at.entries().for_each(|(key, _)| {
            format(limit.trim_start_matches("+k8s:format="), &at.with(&key.into()), errors);
        }),
        "update" if limit == "NoModify" && old.is_some_and(|old| !is_empty(old)) => {
            errors.invalid(at.path(), &Value::Null, "field cannot be modified once set");
            return false;
        }
        _ => {}
    }
    true
}

/// What tells the elements of a list apart, when something does.
fn keys(declared: &Field) -> Option<Vec<&'static str>> {
    match (declared.list_kind(), declared.name) {
        (ListKind::Map(keys), _) => Some(keys.split(',').collect()),
        (_, Some("consumesCounters")) => Some(vec!["counterSet"]),
        _ if declared.validations().any(|rule| rule == "unique=map") => Some(vec!["name"]),
        _ => None,
    }
}

fn list(declared: &Field, item: Shape, at: &Cursor<'_, '_>, old: Option<&Value>, errors: &mut FieldErrors) {
    let (of, keys) = (own_type(item), keys(declared));
    let key_of = |one: &Value| -> Option<Vec<String>> {
        Some(keys.as_ref()?.iter().map(|key| text(one, key).to_owned()).collect())
    };
    if of.is_some() && keys.is_some() {
        super::unique(at, key_of, errors);
    } else if declared.validations().any(|rule| rule == "unique=set") {
        super::unique(at, |one| one.as_str().unwrap_or(""), errors);
    }
    let Some(of) = of else { return };
    for one in at.items() {
        let is_it = |before: &&Value| match key_of(one.value()) {
            Some(key) => key_of(before).as_ref() == Some(&key),
            None => same(before, one.value()),
        };
        let before = old.and_then(|old| old.as_array()?.iter().find(is_it));
        if before.is_none_or(|before| !same(before, one.value())) {
            fields(of, &one, before, errors);
        }
    }
}

fn format(name: &str, at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let check = match name {
        "k8s-long-name" => long_name,
        "k8s-long-name-caseless" => names::is_dns1123_subdomain_of_any_case,
        "k8s-short-name" => names::is_dns1123_label_of_bytes,
        "k8s-label-key" => names::is_qualified_name,
        "k8s-uuid" => uid,
        "k8s-extended-resource-name" => extended_resource,
        "k8s-resource-pool-name" => return pool(at, errors),
        "k8s-resource-fully-qualified-name" => return qualified(at, errors),
        _ => return,
    };
    at.named(errors, check);
}

/// A subdomain, whose length is told in bytes.
fn long_name(text: &str) -> Vec<String> {
    let most = names::DNS_SUBDOMAIN_MAX;
    let told = |problem: String| match problem == names::max_len_error(most) {
        true => format!("must be no more than {most} bytes"),
        false => problem,
    };
    names::is_dns1123_subdomain(text).into_iter().map(told).collect()
}

/// A uid in its normal form.
fn uid(text: &str) -> Vec<String> {
    const LENGTH: usize = 36;
    let fits = |(i, b): (usize, u8)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
    };
    let is_uid = text.len() == LENGTH && text.bytes().enumerate().all(fits);
    let problem = "must be a lowercase UUID in 8-4-4-4-12 format".to_owned();
    (!is_uid).then_some(problem).into_iter().collect()
}

/// A resource of a domain that is not Kubernetes' own, and whose quota can be named.
fn extended_resource(name: &str) -> Vec<String> {
    const QUOTA: &str = "requests.";
    const OWN: &str = "kubernetes.io/";
    let mut problems = Vec::new();
    if !name.contains('/') {
        problems.push("a name must be a domain-prefixed path, such as 'example.com/my-prop'".to_owned());
    } else if name.contains(OWN) {
        problems.push(format!("must not have {OWN:?} domain"));
    }
    if name.starts_with(QUOTA) {
        problems.push(format!("must not have {QUOTA:?} prefix"));
    }
    problems.extend(names::is_qualified_name(&format!("{QUOTA}{name}")));
    problems
}

/// Subdomains between slashes.
fn pool(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.text().len() > POOL {
        errors.too_long(at.path(), POOL);
    }
    for (index, part) in at.text().split('/').enumerate() {
        if part.is_empty() {
            at.invalid(errors, &format!("segment {index}: must not be empty"));
            continue;
        }
        for problem in long_name(part) {
            at.with(&part.into()).invalid(errors, &format!("segment {index}: {problem}"));
        }
    }
}

/// An identifier behind the domain of who defined it.
fn qualified(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let empty = Value::from("");
    let identifier = |id: &str, errors: &mut FieldErrors| {
        if id.len() > IDENTIFIER {
            errors.too_long(at.path(), IDENTIFIER);
        }
        at.with(&id.into()).named(errors, names::is_c_identifier);
    };
    match at.text().split('/').collect::<Vec<_>>()[..] {
        [id] => identifier(id, errors),
        [prefix, id] => {
            if prefix.is_empty() {
                at.with(&empty).invalid(errors, "prefix must not be empty");
            } else {
                if prefix.len() > PREFIX {
                    errors.too_long(at.path(), PREFIX);
                }
                for problem in long_name(prefix) {
                    at.with(&prefix.into()).invalid(errors, &format!("prefix: {problem}"));
                }
            }
            match id {
                "" => at.with(&empty).invalid(errors, "name must not be empty"),
                id => identifier(id, errors),
            }
        }
        _ => {}
    }
    if !at.text().contains('/') {
        at.invalid(errors, "a fully qualified name must be a domain and a name separated by a slash");
    }
}
