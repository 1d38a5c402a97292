//! networking.k8s.io/v1 IngressClass.
//!
//! Upstream: `pkg/registry/networking/ingressclass/strategy.go`,
//! `pkg/apis/networking/{v1/defaults,validation/validation}.go`.

use super::reference;
use crate::{
    cursor::{Cursor, IMMUTABLE},
    facts,
    fill::{absent, annotation, present},
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

const LONGEST_CONTROLLER: usize = 250;
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("networking.k8s.io", "v1", "IngressClass");
    let columns = [Column::name(), Column::text("Controller"), Column::text("Parameters"), Column::age()];
    KindDef::cluster(gvk, "ingressclasses", facts::schema("io.k8s.api.networking.v1.IngressClass"))
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default: |object| {
                let spec = present(object, "spec");
                if let Some(parameters) = spec.and_then(|spec| present(spec, "parameters")) {
                    absent(parameters, "scope", "Cluster");
                }
            },
            validate_create: validate,
            validate_update: |object, old, errors| {
                let (new, old) = (Cursor::root(object), Cursor::root(old));
                let (new, old) = (new.get("spec"), old.get("spec"));
                if new.text_of("controller") != old.text_of("controller") {
                    new.get("controller").invalid(errors, IMMUTABLE);
                }
                validate(object, errors);
            },
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let controller = spec.get("controller");
    if controller.text().len() > LONGEST_CONTROLLER {
        errors.too_long(controller.path(), LONGEST_CONTROLLER);
    }
    names::validate_domain_prefixed_path(controller.text(), controller.path(), errors);
    let Some(parameters) = spec.present("parameters") else { return };
    reference(&parameters, errors);
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    if !scope.enumeration(errors, &["Cluster", "Namespace"]) {
        return;
    }
    match (scope.text(), namespace.is_set()) {
        ("Namespace", false) => namespace.required(errors, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", true) => {
            namespace.named(errors, names::is_dns1123_label);
        }
        (_, true) => namespace.forbidden(errors, "`parameters.scope` is set to 'Cluster'"),
        (_, false) => {}
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let name =
        if annotation(object, IS_DEFAULT) == "true" { format!("{name} (default)") } else { name.to_owned() };
    let spec = &object["spec"];
    let parameters = spec["parameters"].as_object().map_or_else(
        || "<none>".to_owned(),
        |parameters| {
            let text = |field: &str| parameters.get(field).and_then(Value::as_str);
            let group = text("apiGroup").map(|group| format!(".{group}")).unwrap_or_default();
            format!("{}{group}/{}", text("kind").unwrap_or_default(), text("name").unwrap_or_default())
        },
    );
    vec![name.into(), spec["controller"].clone(), parameters.into(), table::age(object, now)]
}
