//! admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy, with `/status`.
//!
//! Upstream: `pkg/registry/admissionregistration/validatingadmissionpolicy/strategy.go`.

use super::{expressions, policy};
use crate::{conditions, cursor::Cursor, facts, fill::keep_metadata};
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use proa_schema::{
    jsonpath::JsonPath,
    policy::{Compiler, Role},
};
use serde_json::Value;
use std::collections::BTreeSet;

const SCHEMA: &str = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy";
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const MOST_ANNOTATIONS: usize = 20;
const LONGEST_ANNOTATION: usize = 5 * 1024;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy");
    let columns =
        [Column::name(), Column::of("Validations", "integer"), Column::text("ParamKind"), Column::age()];
    KindDef::cluster(gvk, "validatingadmissionpolicies", facts::schema(SCHEMA))
        .categories(&["api-extensions"])
        .with_status()
        .with_table(&columns, |object, now| policy::row(object, "validations", now))
        .with_strategy(Strategy {
            prepare_status: keep_metadata,
            validate_status: |new, _, errors| validate_status(new, errors),
            ..policy::strategy(policy::default, validate)
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    policy::validate_head(&spec, errors);
    let has_params = spec.get("paramKind").is_set();
    expressions::conditions(&spec.get("matchConditions"), has_params, errors);
    let mut compiler = Compiler::new(has_params);
    expressions::variables(&spec.get("variables"), &mut compiler, errors);
    let (validations, annotations) = (spec.get("validations"), spec.get("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        validations.required(errors, why);
        annotations.required(errors, why);
        return;
    }
    validations.items().for_each(|at| validation(&at, &compiler, errors));
    if annotations.list().len() > MOST_ANNOTATIONS {
        annotations.invalid(errors, &format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations"));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut keys = BTreeSet::new();
    for at in annotations.items() {
        annotation(&at, name, &compiler, errors);
        let key = at.get("key");
        if !keys.insert(key.text()) {
            key.duplicate(errors);
        }
    }
}

fn validation(at: &Cursor<'_, '_>, compiler: &Compiler, errors: &mut FieldErrors) {
    let (expression, message) = (at.get("expression"), at.get("message"));
    if expression.text().trim().is_empty() {
        expression.required(errors, "expression is not specified");
    } else {
        expressions::compiles(&expression, Role::Validation, compiler, errors);
    }
    let made = at.get("messageExpression");
    if !made.is_empty() && made.text().trim().is_empty() {
        made.invalid(errors, "must be non-empty if specified");
    } else if !made.is_empty() {
        expressions::compiles(&made, Role::Message, compiler, errors);
    }
    let text = message.text().trim();
    if !message.is_empty() && text.is_empty() {
        message.invalid(errors, "must be non-empty if specified");
    } else if text.contains(['\n', '\r']) {
        message.invalid(errors, "must not contain line breaks");
    }
    at.get("reason").opt_one_of(errors, &REASONS);
}

fn annotation(at: &Cursor<'_, '_>, name: &str, compiler: &Compiler, errors: &mut FieldErrors) {
    let key = at.get("key");
    if name.is_empty() {
        key.invalid(errors, "requires metadata.name be non-empty");
    } else {
        let whole = format!("{name}/{}", key.text()).into();
        key.with(&whole).named(errors, names::is_qualified_name);
    }
    let value = at.get("valueExpression");
    let text = value.text().trim();
    if text.is_empty() {
        value.required(errors, "valueExpression is not specified");
    } else if text.len() > LONGEST_ANNOTATION {
        value.required(errors, &format!("must not exceed {LONGEST_ANNOTATION} bytes in length"));
    } else if let Err(why) = compiler.compile(text, Role::Annotation) {
        value.invalid(errors, &why);
    }
}

fn validate_status(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let status = root.get("status");
    let checked = status.get("typeChecking");
    for warning in checked.get("expressionWarnings").items() {
        warning.get("warning").must_be_set(errors);
        let field = warning.get("fieldRef");
        let text = field.text().trim();
        if text.is_empty() {
            field.required(errors, "");
        } else if let Err(why) = JsonPath::parse(&format!(".{}", text.trim_start_matches('.'))) {
            field.with(&text.into()).invalid(errors, &format!("invalid JSONPath: {why}"));
        }
    }
    conditions::validate(&status.get("conditions"), errors);
}
