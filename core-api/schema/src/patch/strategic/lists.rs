//! Lists in a strategic merge patch: merging by key, lists of scalars, `$patch` in elements, `$setElementOrder`.
//!
//! Upstream: apimachinery `pkg/util/strategicpatch/patch.go` (`mergeSlice`, `mergePatchIntoOriginal`).

use super::{
    DIRECTIVE, ELEMENT_ORDER, FieldPlan, Object, Place, Problem, go_text, merge_object, order,
    unknown_directive, without_directives, wrong_type,
};
use serde_json::Value;
use std::collections::HashSet;

const LIST: &str = "[]interface {}";
pub(super) const OBJECT: &str = "map[string]interface {}";

/// A list field of the patch onto one of the original.
pub(super) fn merge_field(
    original: Vec<Value>,
    patch: Vec<Value>,
    plan: FieldPlan<'_>,
) -> Result<Vec<Value>, Problem> {
    if !plan.merge_list {
        return Ok(patch);
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    match element_kind(&original, &patch)? {
        Kind::Scalars => Ok(merge_scalars(&original, &patch)),
        Kind::Objects => merge_by_key(original, patch, plan),
    }
}

/// Items of `original` without those named by `$deleteFromPrimitiveList`.
pub(super) fn delete(
    original: Vec<Value>,
    gone: Vec<Value>,
    plan: FieldPlan<'_>,
) -> Result<Vec<Value>, Problem> {
    if original.is_empty() && gone.is_empty() {
        return Ok(original);
    }
    match element_kind(&original, &gone)? {
        Kind::Scalars => {
            let gone = texts(&gone);
            Ok(original.into_iter().filter(|item| !gone.contains(&item.to_string())).collect())
        }
        Kind::Objects => merge_by_key(original, gone, plan),
    }
}

enum Kind {
    Scalars,
    Objects,
}

/// What the elements are; they must all be of one type and may not be lists.
fn element_kind(original: &[Value], patch: &[Value]) -> Result<Kind, Problem> {
    let mut all = original.iter().chain(patch);
    let first = all.next().ok_or_else(|| Problem::Other("no elements in any of the given slices".into()))?;
    if first.is_array() {
        return Err(Problem::ListOfLists);
    }
    if all.any(|item| go_text::type_name(item) != go_text::type_name(first)) {
        let lists = Value::Array(vec![original.into(), patch.into()]);
        return Err(Problem::Other(format!(
            "list element types are not identical: {}",
            go_text::plain(&lists)
        )));
    }
    Ok(if first.is_object() { Kind::Objects } else { Kind::Scalars })
}

fn texts(items: &[Value]) -> HashSet<String> {
    items.iter().map(Value::to_string).collect()
}

/// The union: items of the patch in the patch's order, items of the server alone where they were between them.
fn merge_scalars(original: &[Value], patch: &[Value]) -> Vec<Value> {
    let mut seen = HashSet::new();
    let both = original.iter().chain(patch).cloned();
    let merged: Vec<Value> = both.filter(|item| seen.insert(item.to_string())).collect();
    let in_patch = texts(patch);
    let (ours, theirs) = merged.into_iter().partition(|item| in_patch.contains(&item.to_string()));
    order::arrange(ours, theirs, &order::Index::of_scalars(patch), &order::Index::of_scalars(original))
}

fn merge_by_key(original: Vec<Value>, patch: Vec<Value>, plan: FieldPlan<'_>) -> Result<Vec<Value>, Problem> {
    let Some(key) = plan.key else {
        return Err(Problem::Other("cannot merge lists without merge key for struct".into()));
    };
    let (original, patch) = apply_directives(original, patch, key)?;
    let server_order = order::Index::of_objects(&original, key)?;
    let patch_order = order::Index::of_objects(&patch, key)?;
    let merged = merge_elements(original, patch, key, plan.place)?;
    let (ours, theirs) = partition(merged, &patch_order, key)?;
    Ok(order::arrange(ours, theirs, &patch_order, &server_order))
}

/// Items whose key is in `order`, and the others.
fn partition(
    items: Vec<Value>,
    order: &order::Index<'_>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Problem> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for item in items {
        order::key_text(&item, key)?;
        match order.position(&item) {
            Some(_) => ours.push(item),
            None => theirs.push(item),
        }
    }
    Ok((ours, theirs))
}

/// Handles elements with `$patch`: deletes matching items, or replaces the whole list.
fn apply_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Problem> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let gone = order::key_text(&item, key)?;
                original.retain(|item| order::key_text(item, key).ok().as_ref() != Some(&gone));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(Problem::Other("merging lists cannot yet be specified in the patch".into()));
            }
            _ => return Err(bad_element_directive(item)),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
}

fn bad_element_directive(item: Value) -> Problem {
    match item {
        Value::Object(mut map) => {
            let directive = map.remove(DIRECTIVE).unwrap_or_default();
            unknown_directive(directive, map)
        }
        other => wrong_type(OBJECT, &other),
    }
}

/// Each element of the patch onto the first original one with its key, or appended.
fn merge_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
    place: Place<'_>,
) -> Result<Vec<Value>, Problem> {
    let mut index = order::Index::of_objects(&original, key)?.into_owned();
    for item in patch {
        let text = order::key_text(&item, key)?;
        let Value::Object(item) = item else { return Err(wrong_type(OBJECT, &item)) };
        match index.get(&text) {
            Some(&at) => {
                let current = std::mem::take(&mut original[at]);
                let Value::Object(current) = current else { return Err(wrong_type(OBJECT, &current)) };
                original[at] = Value::Object(merge_object(current, item, place)?);
            }
            None => {
                index.insert(text, original.len());
                original.push(Value::Object(item));
            }
        }
    }
    Ok(original)
}

/// `$setElementOrder/<field>`: merges the lists that carry it, in the order that it gives, and takes them out of the
/// patch.
pub(super) fn merge_ordered(
    original: &mut Object,
    patch: &mut Object,
    place: Place<'_>,
) -> Result<(), Problem> {
    let directives: Vec<String> =
        patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let Some(value) = patch.remove(&directive) else { continue };
        let Value::Array(order) = value else { return Err(wrong_type(LIST, &value)) };
        let name = directive[ELEMENT_ORDER.len()..].strip_prefix('/').ok_or(Problem::ElementOrderFormat)?;
        let plan = place.plan(name);
        let before = take_list(original, name)?;
        let ours = take_list(patch, name)?;
        if let Some(merged) = merge_in_order(before, ours, &order, plan)? {
            original.insert(name.to_owned(), Value::Array(merged));
        }
    }
    Ok(())
}

fn take_list(object: &mut Object, name: &str) -> Result<Option<Vec<Value>>, Problem> {
    match object.remove(name) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(wrong_type(LIST, &other)),
    }
}

fn merge_in_order(
    before: Option<Vec<Value>>,
    ours: Option<Vec<Value>>,
    order: &[Value],
    plan: FieldPlan<'_>,
) -> Result<Option<Vec<Value>>, Problem> {
    check_order(ours.as_deref().unwrap_or_default(), order, plan.key)?;
    let server = before.clone().unwrap_or_default();
    let patch = ours.clone().unwrap_or_default();
    let merged = match (before, ours) {
        (None, None) => return Ok(None),
        (Some(before), None) => before,
        (None, Some(ours)) => ours.into_iter().filter_map(without_directives).collect(),
        (Some(before), Some(ours)) => merge_field(before, ours, plan)?,
    };
    element_kind(&server, &patch)?;
    let Some(key) = plan.key else {
        let listed = texts(order);
        let (ours, theirs) = merged.into_iter().partition(|item| listed.contains(&item.to_string()));
        let (order, server) = (order::Index::of_scalars(order), order::Index::of_scalars(&server));
        return Ok(Some(order::arrange(ours, theirs, &order, &server)));
    };
    let (order, server) = (order::Index::of_objects(order, key)?, order::Index::of_objects(&server, key)?);
    let (ours, theirs) = partition(merged, &order, key)?;
    Ok(Some(order::arrange(ours, theirs, &order, &server)))
}

/// The patch's elements must come in the order of the directive, and all be in it.
fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Problem> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let text = |item: &Value| match key {
        Some(key) => order::key_text(item, key),
        None => Ok(item.to_string()),
    };
    if key.is_some()
        && let Some(other) = patch.iter().find(|item| !item.is_object())
    {
        return Err(wrong_type(OBJECT, other));
    }
    let is_delete = |item: &&Value| item.get(DIRECTIVE).and_then(Value::as_str) == Some("delete");
    let mut items = patch.iter().filter(|item| !is_delete(item)).peekable();
    for next in order {
        // Other directives take no place, but only while there is order left to follow: as upstream.
        while items.next_if(|item| item.get(DIRECTIVE).is_some()).is_some() {}
        let Some(item) = items.peek() else { return Ok(()) };
        if text(item)? == text(next)? {
            items.next();
        }
    }
    match items.next() {
        Some(_) => Err(order_mismatch(patch, order)),
        None => Ok(()),
    }
}

fn order_mismatch(patch: &[Value], order: &[Value]) -> Problem {
    Problem::Other(format!(
        "The order in patch list:\n{}\n doesn't match {ELEMENT_ORDER} list:\n{}\n",
        go_text::plain(&patch.into()),
        go_text::plain(&order.into())
    ))
}
