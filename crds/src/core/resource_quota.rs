//! v1 ResourceQuota.
//!
//! Upstream: `pkg/registry/core/resourcequota/strategy.go`, `pkg/apis/core/validation/validation.go`.

mod scopes;

use super::namespaced;
use crate::{
    cursor::{Cursor, IMMUTABLE},
    fill::present,
    pod_spec::{
        resources::{self, amount},
        validate as spec_rules,
    },
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, quantity::Quantity};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;
use std::collections::BTreeSet;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [Column::name(), Column::text("Request"), Column::text("Limit"), Column::age()];
    namespaced("ResourceQuota", "resourcequotas")
        .short(&["quota"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default: |object| {
                for (part, list) in [("spec", "hard"), ("status", "hard"), ("status", "used")] {
                    if let Some(list) = present(object, part).and_then(|part| present(part, list)) {
                        resources::round_up(list);
                    }
                }
            },
            validate: |object, errors| {
                let root = Cursor::root(object);
                let spec = root.get("spec");
                amounts(&spec.get("hard"), errors);
                scopes::validate(&spec, errors);
            },
            validate_update: |new, old, errors| {
                let (new, old) = (Cursor::root(new), Cursor::root(old));
                let (new, old) = (new.get("spec"), old.get("spec"));
                let scopes = |spec: &Cursor<'_, '_>| -> BTreeSet<String> {
                    spec.get("scopes").items().map(|scope| scope.text().to_owned()).collect()
                };
                if scopes(&new) != scopes(&old) {
                    let listed = new.get("scopes");
                    errors.invalid(listed.path(), listed.value(), IMMUTABLE);
                }
            },
            validate_status: |new, _, errors| {
                let root = Cursor::root(new);
                let status = root.get("status");
                amounts(&status.get("hard"), errors);
                amounts(&status.get("used"), errors);
            },
            create_warnings: warnings,
            returns_deleted: true,
            ..Strategy::default()
        })
}

/// Names that quotas may have, with quantities that fit them.
fn amounts(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for (name, entry) in list.entries() {
        spec_rules::resource_name(&entry, name, errors);
        if !name.contains('/') && !is_standard(name) {
            entry.with(&name.into()).invalid(errors, "must be a standard resource for quota");
        }
        spec_rules::resource_quantity(&entry, name, errors);
    }
}

/// Known to quotas by a plain name.
fn is_standard(name: &str) -> bool {
    resources::is_standard(name) && name != "storage"
}

/// Requests of more than the limits allow.
fn warnings(object: &Value) -> Vec<String> {
    let hard = &object["spec"]["hard"];
    let of = |name: String| amount(hard, &name).map(|quantity| (name, quantity));
    let too_much = |name: &str| -> Option<String> {
        let plain = matches!(name, "cpu" | "memory").then(|| name.to_owned());
        let (request, asked) = of(format!("requests.{name}")).or_else(|| of(plain?))?;
        let (limit, allowed) = of(format!("limits.{name}"))?;
        (asked > allowed)
            .then(|| format!("ResourceQuota {request} ({asked}) should be less than {limit} ({allowed})"))
    };
    ["cpu", "memory", "storage", "ephemeral-storage"].into_iter().filter_map(too_much).collect()
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let mut hard: Vec<_> = resources::amounts(&status["hard"]).into_iter().collect();
    hard.sort_by(|a, b| a.0.cmp(&b.0));
    let cell = |limits: bool| {
        let chosen = hard.iter().filter(|(name, _)| name.starts_with("limits.") == limits);
        let texts = chosen.map(|(name, hard)| {
            let used = amount(&status["used"], name).unwrap_or(Quantity::ZERO);
            format!("{name}: {used}/{hard}")
        });
        Value::from(texts.collect::<Vec<_>>().join(", "))
    };
    vec![table::name(object), cell(false), cell(true), table::age(object, now)]
}
