//! admissionregistration.k8s.io/v1 MutatingWebhookConfiguration.
//!
//! Upstream: `pkg/registry/admissionregistration/mutatingwebhookconfiguration/strategy.go`.

use super::webhook;
use crate::{cursor::Cursor, facts, fill};
use proa_meta::{FieldErrors, Gvk};
use proa_registry::kind::{Generation, KindDef, Strategy};
use serde_json::Value;

const SCHEMA: &str = "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration");
    KindDef::cluster(gvk, "mutatingwebhookconfigurations", facts::schema(SCHEMA))
        .categories(&["api-extensions"])
        .with_table(&webhook::COLUMNS, webhook::row)
        .with_strategy(Strategy {
            default: |object| {
                for hook in fill::items(object, "webhooks") {
                    webhook::default(hook);
                    fill::absent(hook, "reinvocationPolicy", "Never");
                }
            },
            validate,
            generation: Generation::Spec,
            unconditional_update: false,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    webhook::validate(&root, errors, |hook, errors| {
        hook.get("reinvocationPolicy").opt_one_of(errors, &["IfNeeded", "Never"]);
    });
}
