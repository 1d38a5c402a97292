//! flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration: how much of the server a priority gets, with `/status`.
//!
//! Upstream: `pkg/registry/flowcontrol/prioritylevelconfiguration/strategy.go`,
//! `pkg/apis/flowcontrol/{v1/defaults,validation/validation}.go`.

use super::{conditions, named};
use crate::{
    cursor::Cursor,
    fill::{absent, keep_metadata, present, remove, same, zero},
    table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::{Value, json};

const MOST_QUEUES: i64 = 10_000_000;
const MOST_BITS: f64 = 60.0;
const NOT_NEGATIVE: &str = "must be a non-negative integer";
/// Upstream's annotation for an older version of the API, which is not served here.
const ROUND_TRIP: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("PriorityLevelConfiguration");
    let columns = [
        Column::name(),
        Column::text("Type"),
        Column::text("NominalConcurrencyShares"),
        Column::text("Queues"),
        Column::text("HandSize"),
        Column::text("QueueLengthLimit"),
        Column::age(),
    ];
    KindDef::cluster(gvk, "prioritylevelconfigurations", schema)
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            prepare_status: keep_metadata,
            validate,
            validate_status: |new, _, errors| conditions(new, errors),
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let Some(spec) = present(object, "spec") else { return };
    for (kind, shares) in [("limited", 30), ("exempt", 0)] {
        let Some(level) = present(spec, kind) else { continue };
        absent(level, "nominalConcurrencyShares", shares);
        absent(level, "lendablePercent", 0);
        let queuing = present(level, "limitResponse").and_then(|response| present(response, "queuing"));
        if let Some(queuing) = queuing {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                zero(queuing, field, value);
            }
        }
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let metadata = root.get("metadata");
    let name = metadata.text_of("name");
    let annotations = metadata.get("annotations");
    if annotations.get(ROUND_TRIP).is_set() {
        annotations.forbidden(errors, &format!("annotation '{ROUND_TRIP}' is forbidden"));
    }
    let kind = spec.get("type");
    if (name == "exempt") != (kind.text() == "Exempt") {
        kind.invalid(errors, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind.text() {
        "" => {}
        "Exempt" => shares(&spec.get("exempt"), errors),
        "Limited" => validate_limited(&spec.get("limited"), errors),
        _ => kind.unsupported(errors, &["Exempt", "Limited"]),
    }
    fixed(name, &spec, errors);
    conditions(object, errors);
    declared(&spec, errors);
}

/// What upstream declares with the fields; it comes last.
fn declared(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (kind, limited, exempt) = (spec.get("type"), spec.get("limited"), spec.get("exempt"));
    if exempt.is_set() && kind.text() != "Exempt" {
        exempt.forbidden(errors, "");
    }
    either(&limited, kind.text() == "Limited", errors);
    kind.must_be_set(errors);
    if limited.is_set() {
        let response = limited.get("limitResponse");
        let kind = response.get("type");
        either(&response.get("queuing"), kind.text() == "Queue", errors);
        kind.must_be_set(errors);
    }
}

/// A part that must be there or must not.
fn either(part: &Cursor<'_, '_>, is_wanted: bool, errors: &mut FieldErrors) {
    match (part.is_set(), is_wanted) {
        (false, true) => part.required(errors, ""),
        (true, false) => part.forbidden(errors, ""),
        _ => {}
    }
}

/// The levels that every server has are as they must be.
fn fixed(name: &str, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if name == "exempt" {
        let mut rest = spec.value().clone();
        remove(&mut rest, "exempt");
        if !same(&rest, &json!({"type": "Exempt"})) {
            spec.invalid(
                errors,
                "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
            );
        }
    }
    let catch_all = json!({"type": "Limited", "limited": {
        "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}});
    if name == "catch-all" && !same(spec.value(), &catch_all) {
        spec.invalid(errors, "spec of 'catch-all' must equal the fixed value");
    }
}

fn shares(level: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let nominal = level.get("nominalConcurrencyShares");
    if nominal.int() < 0 {
        nominal.invalid(errors, NOT_NEGATIVE);
    }
    lendable(level, errors);
}

fn lendable(level: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let percent = level.get("lendablePercent");
    if !(0..=100).contains(&percent.int()) {
        percent.invalid(errors, "must be between 0 and 100, inclusive");
    }
}

fn validate_limited(level: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !level.is_set() {
        return;
    }
    let nominal = level.get("nominalConcurrencyShares");
    if nominal.int() < 0 {
        nominal.invalid(errors, NOT_NEGATIVE);
    }
    let response = level.get("limitResponse");
    let (kind, queuing) = (response.get("type"), response.get("queuing"));
    match kind.text() {
        "Queue" if queuing.is_set() => validate_queuing(&queuing, errors),
        "" | "Queue" | "Reject" => {}
        _ => kind.unsupported(errors, &["Queue", "Reject"]),
    }
    lendable(level, errors);
    let borrowing = level.get("borrowingLimitPercent");
    if borrowing.int() < 0 {
        borrowing.invalid(errors, "if specified, must be a non-negative integer");
    }
}

fn validate_queuing(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const POSITIVE: &str = "must be positive";
    let (length, queues, hand) = (at.get("queueLengthLimit"), at.get("queues"), at.get("handSize"));
    if length.int() <= 0 {
        length.invalid(errors, POSITIVE);
    }
    if queues.int() <= 0 {
        queues.invalid(errors, POSITIVE);
    } else if queues.int() > MOST_QUEUES {
        queues.invalid(errors, &format!("must not be greater than {MOST_QUEUES}"));
    }
    // The number of bits that choosing a hand of queues takes from a hash.
    let bits = ((queues.int() as f64).log2() * hand.int() as f64).ceil();
    if hand.int() <= 0 {
        hand.invalid(errors, POSITIVE);
    } else if hand.int() > queues.int() {
        hand.invalid(errors, &format!("should not be greater than queues ({})", queues.int()));
    } else if bits > MOST_BITS {
        let text = format!(
            "required entropy bits of deckSize {} and handSize {} should not be greater than {MOST_BITS}",
            queues.int(),
            hand.int()
        );
        hand.invalid(errors, &text);
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let or_none = |value: &Value| value.as_i64().map_or_else(|| "<none>".into(), Value::from);
    let queuing = &spec["limited"]["limitResponse"]["queuing"];
    vec![
        table::name(object),
        table::text_or(&spec["type"], ""),
        or_none(&spec["limited"]["nominalConcurrencyShares"]),
        or_none(&queuing["queues"]),
        or_none(&queuing["handSize"]),
        or_none(&queuing["queueLengthLimit"]),
        table::age(object, now),
    ]
}
