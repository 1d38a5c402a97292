//! v1 PodTemplate: a template that no workload owns.
//!
//! Upstream: `pkg/registry/core/podtemplate/strategy.go`.

use crate::{
    core::namespaced,
    cursor::Cursor,
    pod_spec::{defaults, template, warnings},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns =
        [Column::name(), Column::text("Containers"), Column::text("Images"), Column::text("Pod Labels")];
    namespaced("PodTemplate", "podtemplates").with_table(&columns, row).with_strategy(Strategy {
        default: defaults::template,
        validate,
        warnings: |object| {
            let root = Cursor::root(object);
            warnings::warnings(&root.get("template"), true)
        },
        generation: Generation::Spec,
        returns_deleted: true,
        ..Strategy::default()
    })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    template::template(&root.get("template"), errors);
}

fn row(object: &Value, _: Timestamp) -> Vec<Value> {
    let template = &object["template"];
    let [names, images] = table::containers(&template["spec"]);
    vec![table::name(object), names, images, selector::label_text(&template["metadata"]["labels"]).into()]
}
