//! One device of a slice.

use super::{COUNTERS, capacity};
use crate::{
    cursor::Cursor,
    fill::{items, remove, same},
    pod_spec::validate::node_selector,
    resource::{few, is_short, qualified_name, taint},
};
use proa_meta::{FieldErrors, names};
use serde_json::Value;

const TAINTS: usize = 16;
const CONSUMED: usize = 2;
const ATTRIBUTES_AND_CAPACITIES: usize = 32;
const ATTRIBUTE: usize = 64;

/// Takes out fields of features that are off.
pub(super) fn drop_disabled(device: &mut Value) {
    remove(device, "nodeAllocatableResources");
    items(device, "consumesCounters").for_each(|one| remove(one, "compatibilityGroups"));
    let attributes = device.get_mut("attributes").and_then(Value::as_object_mut);
    for attribute in attributes.into_iter().flat_map(|attributes| attributes.values_mut()) {
        ["ints", "bools", "strings", "versions"].iter().for_each(|field| remove(attribute, field));
    }
}

/// Validates a device; `old` is what it was, `places_itself` whether each device says where it is.
pub(super) fn validate(
    at: &Cursor<'_, '_>,
    old: Option<&Value>,
    places_itself: bool,
    errors: &mut FieldErrors,
) {
    at.get("name").named(errors, names::is_dns1123_label);
    let (attributes, capacities) = (at.get("attributes"), at.get("capacity"));
    let count = |map: &Cursor<'_, '_>| map.value().as_object().map_or(0, serde_json::Map::len);
    let both = count(&attributes) + count(&capacities);
    if both > ATTRIBUTES_AND_CAPACITIES {
        let text = format!(
            "the total number of attributes and capacities must not exceed {ATTRIBUTES_AND_CAPACITIES}"
        );
        at.with(&both.into()).invalid(errors, &text);
    }
    for (name, attribute) in attributes.entries() {
        qualified_name(&attributes.with(&name.into()), errors);
        validate_attribute(&attribute, errors);
    }
    let has_changed = |field: &str| old.is_none_or(|old| !same(&old[field], &at.value()[field]));
    if has_changed("capacity") {
        for (name, one) in capacities.entries() {
            qualified_name(&capacities.with(&name.into()), errors);
            capacity::validate(&one, at.get("allowMultipleAllocations").is_true(), errors);
        }
    }
    let taints = at.get("taints");
    if has_changed("taints") && is_short(&taints, TAINTS, errors) {
        taints.items().for_each(|one| taint::taint(&one, errors));
    }
    for one in few(&at.get("consumesCounters"), CONSUMED) {
        is_short(&one.get("counters"), COUNTERS, errors);
    }
    placement(at, places_itself, errors);
    taint::binding_conditions(at, errors);
}

fn validate_attribute(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for field in ["string", "version"] {
        let value = at.get(field);
        if field == "version" && value.is_set() && !is_version(value.text()) {
            value.invalid(errors, "must be a string compatible with semver.org spec 2.0.0");
        }
        if value.text().len() > ATTRIBUTE {
            errors.too_long(value.path(), ATTRIBUTE);
        }
    }
}

/// A version as semver.org defines it.
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let is_identifier =
        |part: &str| is_word(part) && (is_number(part) || part.bytes().any(|b| !b.is_ascii_digit()));
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(is_identifier))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

/// Where a device is, if each says it for itself.
fn placement(at: &Cursor<'_, '_>, places_itself: bool, errors: &mut FieldErrors) {
    const EITHER: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                          `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    let (name, selector, all) = (at.get("nodeName"), at.get("nodeSelector"), at.get("allNodes"));
    if !places_itself {
        if name.is_set() || selector.is_set() || all.is_set() {
            let text = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is \
                        set to true in the ResourceSlice spec";
            errors.invalid(at.path(), &Value::Null, text);
        }
        return;
    }
    let mut set = Vec::new();
    if name.is_set() && name.is_empty() {
        name.invalid(errors, "must not be empty");
    } else if name.is_set() {
        set.push("`nodeName`");
        name.named(errors, names::is_dns1123_subdomain);
    }
    if selector.is_set() {
        set.push("`nodeSelector`");
        node_selector(&selector, errors);
    }
    if all.is_true() {
        set.push("`allNodes`");
    } else if all.is_set() {
        all.invalid(errors, "must be either unset or set to true");
    }
    match set.len() {
        0 => at.required(errors, EITHER),
        1 => {}
        _ => at.with(&format!("{{{}}}", set.join(", ")).into()).invalid(errors, EITHER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, ok) in [
            ("1.2.3", true),
            ("1.0.0-alpha.1+build.007", true),
            ("1.0.0--", true),
            ("1.2", false),
            ("01.2.3", false),
            ("1.2.3-01", false),
            ("1.2.3-", false),
            ("1.2.3+", false),
            ("v1.2.3", false),
        ] {
            assert_eq!(is_version(text), ok, "{text}");
        }
    }
}
