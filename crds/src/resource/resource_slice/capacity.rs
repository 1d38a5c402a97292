//! How much of a capacity one request may take: one of some values, or a range with steps.
//!
//! Values are compared as whole numbers: fractions are a feature that is off by default.

use crate::{
    cursor::{Cursor, NEGATIVE},
    resource::is_short,
};
use proa_meta::{FieldErrors, quantity::Format, quantity::Quantity};
use serde_json::Value;
use std::collections::BTreeSet;

const VALUES: usize = 10;

fn quantity(value: &Value) -> Quantity {
    Quantity::from_json(value).unwrap_or(Quantity::ZERO)
}

/// Validates a capacity; only one of a device that several claims may share has a policy.
pub(super) fn validate(at: &Cursor<'_, '_>, is_shared: bool, errors: &mut FieldErrors) {
    let Some(policy) = at.present("requestPolicy") else { return };
    if !is_shared {
        return policy.forbidden(errors, "allowMultipleAllocations must be true");
    }
    let (values, range) = (policy.get("validValues"), policy.present("validRange"));
    let (most, default) = (&at.value()["value"], policy.get("default"));
    match (values.is_empty(), range) {
        (false, Some(_)) => policy.forbidden(
            errors,
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
        ),
        (false, None) if !default.is_set() => {
            default.required(errors, "required when validValues is defined");
        }
        (false, None) => validate_values(&values, default.value(), most, errors),
        (true, Some(_)) if !default.is_set() => {
            default.required(errors, "required when validRange is defined");
        }
        (true, Some(range)) => validate_range(&range, default.value(), most, errors),
        (true, None) => {}
    }
}

fn validate_values(list: &Cursor<'_, '_>, default: &Value, most: &Value, errors: &mut FieldErrors) {
    let mut before = None;
    for one in list.items() {
        let now = quantity(one.value());
        if before.is_some_and(|before| before > now) {
            one.invalid(errors, "values must be sorted in ascending order");
        }
        before = Some(now);
    }
    if is_short(list, VALUES, errors) {
        for one in list.items().filter(|one| quantity(one.value()) > quantity(most)) {
            one.invalid(errors, &format!("option is larger than capacity value: {}", shown(most)));
        }
        let mut seen = BTreeSet::new();
        for one in list.items().filter(|one| !seen.insert(quantity(one.value()).value())) {
            one.with(&quantity(one.value()).value().to_string().into()).duplicate(errors);
        }
    }
    if !list.list().iter().take(VALUES).any(|one| quantity(one) == quantity(default)) {
        list.with(default).invalid(errors, "default value is not valid according to the requestPolicy");
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn validate_range(range: &Cursor<'_, '_>, default: &Value, most: &Value, errors: &mut FieldErrors) {
    let (min, max, step) = (range.get("min"), range.present("max"), range.present("step"));
    if !min.is_set() {
        return min.required(errors, "required when validRange is defined");
    }
    let (least, usual) = (quantity(min.value()), quantity(default));
    let of_default = range.get("default");
    let of_default = of_default.with(default);
    let larger = |what: &str| format!("{what} is larger than capacity value: {}", shown(most));
    if least > quantity(most) {
        min.invalid(errors, &larger("min"));
    }
    if usual < least {
        of_default.invalid(errors, &format!("default is less than min: {}", shown(min.value())));
    }
    if let Some(max) = max {
        let greatest = quantity(max.value());
        if least > greatest {
            max.with(min.value()).invalid(errors, &format!("min is larger than max: {}", shown(max.value())));
        }
        if greatest > quantity(most) {
            max.invalid(errors, &larger("max"));
        }
        if usual > greatest {
            of_default.invalid(errors, &format!("default is more than max: {}", shown(max.value())));
        }
    }
    let Some(step) = step else { return };
    let by = quantity(step.value());
    if by <= Quantity::ZERO {
        return step.invalid(errors, "must be greater than zero");
    }
    let second = least + by;
    if second > quantity(most) {
        step.invalid(errors, &larger(&format!("one step {second}")));
    }
    let all = [Some(of_default), Some(min), max, Some(step)];
    let whole = all.into_iter().flatten().filter(|value| !is_whole(value, errors)).count() == 0;
    if whole {
        for value in [Some(of_default), max].into_iter().flatten() {
            // Both are between zero and the largest number.
            if (quantity(value.value()).value() - least.value()) % by.value() != 0 {
                let (by, least) = (shown(step.value()), shown(min.value()));
                let text = format!("value is not a multiple of a given step ({by}) from ({least})");
                step.with(value.value()).invalid(errors, &text);
            }
        }
    }
}

/// Whether a quantity can be counted with.
fn is_whole(at: &Cursor<'_, '_>, errors: &mut FieldErrors) -> bool {
    let value = quantity(at.value());
    if value.is_negative() {
        at.invalid(errors, NEGATIVE);
    } else if value > Quantity::new(i64::MAX, Format::DecimalSi) {
        at.invalid(errors, "must not be larger than 9223372036854775807");
    } else {
        return true;
    }
    false
}
