//! What the writer of a CustomResourceDefinition is warned of: formats that nothing checks, sets of lists and objects.
//!
//! An update is warned of what it brings in. Upstream: apiextensions `pkg/registry/customresourcedefinition/strategy.go`.

use proa_schema::{crd, validate::format};
use serde_json::Value;
use std::collections::BTreeSet;

/// The warnings of a definition in the place of `old`, null for a new one.
pub(super) fn of(new: &Value, old: &Value) -> Vec<String> {
    let (now, before) = (Found::of(new), Found::of(old));
    let known: BTreeSet<&str> = before.formats.iter().copied().collect();
    let formats = now.formats.iter().filter(|format| !known.contains(**format));
    let formats = formats.map(|format| format!("unrecognized format {format:?}"));
    let sets = now.sets.difference(&before.sets).map(|kind| {
        format!("x-kubernetes-list-type: set for items of type {kind:?} is not supported by server-side apply or CEL validation rules")
    });
    formats.chain(sets).collect()
}

#[derive(Default)]
struct Found<'v> {
    formats: Vec<&'v str>,
    sets: BTreeSet<&'v str>,
}

impl<'v> Found<'v> {
    fn of(definition: &'v Value) -> Self {
        let mut found = Self::default();
        let versions = definition["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
        let schema = |version: &'v Value| &version["schema"]["openAPIV3Schema"];
        // What all versions share is told once.
        let is_shared = versions.windows(2).all(|pair| crate::fill::same(schema(&pair[0]), schema(&pair[1])));
        for version in &versions[..if is_shared { versions.len().min(1) } else { versions.len() }] {
            crd::each_node(schema(version), &mut |node| found.note(node));
        }
        found
    }

    fn note(&mut self, node: &'v Value) {
        let (kind, format) =
            (node["type"].as_str().unwrap_or_default(), node["format"].as_str().unwrap_or_default());
        if !format.is_empty() && !format::is_checked(kind, format) {
            self.formats.push(format);
        }
        let items = node["items"]["type"].as_str().unwrap_or_default();
        if node["x-kubernetes-list-type"] == "set" && matches!(items, "object" | "array") {
            self.sets.insert(items);
        }
    }
}
