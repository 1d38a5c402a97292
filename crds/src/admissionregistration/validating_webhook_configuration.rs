//! admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration.
//!
//! Upstream: `pkg/registry/admissionregistration/validatingwebhookconfiguration/strategy.go`.

use super::webhook;
use crate::{cursor::Cursor, facts, fill};
use proa_meta::Gvk;
use proa_registry::kind::{Generation, KindDef, Strategy};

const SCHEMA: &str = "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
    KindDef::cluster(gvk, "validatingwebhookconfigurations", facts::schema(SCHEMA))
        .categories(&["api-extensions"])
        .with_table(&webhook::COLUMNS, webhook::row)
        .with_strategy(Strategy {
            default: |object| fill::items(object, "webhooks").for_each(webhook::default),
            validate: |object, errors| webhook::validate(&Cursor::root(object), errors, |_, _| {}),
            generation: Generation::Spec,
            unconditional_update: false,
            ..Strategy::default()
        })
}
