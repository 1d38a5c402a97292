//! DefaultStorageClass: a new claim without a class gets the default one, if there is one.
//!
//! Of several defaults the youngest counts. Upstream: `plugin/pkg/admission/storage/storageclass/setdefault/admission.go`,
//! `pkg/volume/util/storageclass.go`.

use super::{is_core, map_at};
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiResult, Gvr};
use proa_registry::{AdmissionRequest, Mutate, Operation, Registry};
use serde::Deserialize;
use serde_json::Value;
use std::{cmp::Reverse, collections::HashMap};

const ANNOTATION: &str = "storageclass.kubernetes.io/is-default-class";
const ANNOTATIONS: [&str; 2] = [ANNOTATION, "storageclass.beta.kubernetes.io/is-default-class"];
/// A class that the claim names in the older way.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The plugin.
pub struct DefaultStorageClass;

/// What is read of a class.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ClassView {
    metadata: ClassMeta,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClassMeta {
    name: String,
    creation_timestamp: Option<String>,
    annotations: HashMap<String, String>,
}

impl ClassView {
    fn is_default(&self, annotations: &[&str]) -> bool {
        let own = &self.metadata.annotations;
        annotations.iter().any(|key| own.get(*key).is_some_and(|said| said == "true"))
    }
}

/// The class of a kind that one of these annotations makes the default.
pub(super) fn default_class(registry: &Registry, kind: &Gvr, annotations: &[&str]) -> Option<String> {
    let classes = registry.kind(kind)?.snapshot();
    choose(classes.iter().filter_map(|entry| entry.decode::<ClassView>().ok()), annotations)
}

/// The youngest of the defaults, then the first by name. Times of one form compare as texts.
fn choose(classes: impl Iterator<Item = ClassView>, annotations: &[&str]) -> Option<String> {
    let defaults = classes.filter(|class| class.is_default(annotations)).map(|class| class.metadata);
    defaults
        .min_by_key(|class| (Reverse(class.creation_timestamp.clone()), class.name.clone()))
        .map(|c| c.name)
}

fn has_class(claim: &Value) -> bool {
    claim["metadata"]["annotations"].get(BETA_CLASS).is_some()
        || claim["spec"].get("storageClassName").is_some_and(|class| !class.is_null())
}

impl Mutate for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && is_core(request, "persistentvolumeclaims")
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        claim: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            if !has_class(claim)
                && let Some(class) = default_class(request.registry, &objects::STORAGE_CLASSES, &ANNOTATIONS)
                && let Some(spec) = map_at(claim, "spec")
            {
                spec.insert("storageClassName".to_owned(), class.into());
            }
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_youngest_default_counts() {
        let class = |name: &str, created: &str, default: &str| -> ClassView {
            let metadata =
                json!({"name": name, "creationTimestamp": created, "annotations": {ANNOTATION: default}});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let classes = [
            class("old", "2026-01-01T00:00:00Z", "true"),
            class("z", "2026-01-02T00:00:00Z", "true"),
            class("a", "2026-01-02T00:00:00Z", "true"),
            class("none", "2026-01-03T00:00:00Z", "false"),
        ];
        assert_eq!(choose(classes.into_iter(), &ANNOTATIONS).as_deref(), Some("a"));
        assert_eq!(choose([class("none", "2026-01-03T00:00:00Z", "yes")].into_iter(), &ANNOTATIONS), None);
    }

    #[test]
    fn the_empty_class_is_a_choice() {
        assert!(has_class(&json!({"spec": {"storageClassName": ""}})));
        assert!(has_class(&json!({"metadata": {"annotations": {BETA_CLASS: "x"}}})));
        assert!(!has_class(&json!({"spec": {"storageClassName": null}})));
    }
}
