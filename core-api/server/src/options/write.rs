//! Options of create, update and patch.

use super::{dry_run, refuse};
use crate::query::Query;
use http::{HeaderMap, header};
use proa_meta::{ApiResult, FieldErrors, FieldPath};
use proa_registry::request::{FieldValidation, Given, PatchType, WriteOptions};
use serde_json::json;

/// Longest field manager, in bytes.
const LONGEST_MANAGER: usize = 128;

/// Options of create and update; `kind` is `CreateOptions` or `UpdateOptions`.
pub(crate) fn write_options(
    query: &Query<'_>,
    headers: &HeaderMap,
    kind: &'static str,
) -> ApiResult<WriteOptions> {
    let mut errors = FieldErrors::default();
    let options = common(query, headers, &mut errors);
    refuse(kind, &errors)?;
    Ok(options)
}

/// Options of a patch of the given type.
pub(crate) fn patch_options(
    query: &Query<'_>,
    headers: &HeaderMap,
    patch: PatchType,
) -> ApiResult<WriteOptions> {
    let mut errors = FieldErrors::default();
    let force = query.flag("force");
    if patch == PatchType::Apply {
        if query.text("fieldManager").is_none() {
            errors.required(&FieldPath::root("fieldManager"), "is required for apply patch");
        }
    } else if force.is_some() {
        errors.forbidden(&FieldPath::root("force"), "may not be specified for non-apply patch");
    }
    let options = WriteOptions { force: force == Some(true), ..common(query, headers, &mut errors) };
    refuse("PatchOptions", &errors)?;
    Ok(options)
}

fn common(query: &Query<'_>, headers: &HeaderMap, errors: &mut FieldErrors) -> WriteOptions {
    let manager = query.get("fieldManager").unwrap_or_default();
    check_manager(manager, errors);
    let dry_run = dry_run(&query.all("dryRun").collect::<Vec<_>>(), errors);
    WriteOptions {
        dry_run,
        field_manager: if manager.is_empty() { manager_of_agent(headers) } else { manager.to_owned() },
        field_validation: field_validation(query.get("fieldValidation").unwrap_or_default(), errors),
        force: false,
        given: Given {
            field_manager: !manager.is_empty(),
            field_validation: query.text("fieldValidation").is_some(),
        },
    }
}

fn check_manager(manager: &str, errors: &mut FieldErrors) {
    let path = FieldPath::root("fieldManager");
    if manager.len() > LONGEST_MANAGER {
        errors.too_long(&path, LONGEST_MANAGER);
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| !is_printable(*c)) {
        let text = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.invalid(&path, &json!(manager), &text);
    }
}

fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

fn field_validation(text: &str, errors: &mut FieldErrors) -> FieldValidation {
    match text {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            let supported = &["", "Ignore", "Strict", "Warn"];
            errors.not_supported(&FieldPath::root("fieldValidation"), &json!(other), supported);
            FieldValidation::Warn
        }
    }
}

/// The user agent up to its first slash. Upstream: `prefixFromUserAgent`.
fn manager_of_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut manager = String::new();
    let product = agent.split('/').next().unwrap_or_default();
    for c in product.chars().filter(|c| is_printable(*c)) {
        if manager.len() + c.len_utf8() > LONGEST_MANAGER {
            break;
        }
        manager.push(c);
    }
    manager
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::USER_AGENT, text.parse().unwrap())])
    }

    #[test]
    fn the_manager_comes_from_the_query_or_the_agent() {
        let manager = |query: &str, headers: &HeaderMap| {
            write_options(&Query::parse(Some(query)), headers, "CreateOptions").unwrap().field_manager
        };
        assert_eq!(manager("", &agent("kubectl/v1.37 (linux/amd64)")), "kubectl");
        assert_eq!(manager("fieldManager=me", &agent("kubectl/v1.37")), "me");
        assert_eq!(manager("", &agent(&"x".repeat(200))).len(), 128);
        assert_eq!(manager("", &HeaderMap::new()), "");
    }

    #[test]
    fn wrong_options_are_refused() {
        for (query, text) in [
            ("dryRun=Some", "dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""),
            ("dryRun=", "dryRun: Unsupported value: [\"\"]: supported values: \"All\""),
            (
                "fieldValidation=Foo",
                "fieldValidation: Unsupported value: \"Foo\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
            ),
            (
                "fieldManager=a%0Ab",
                "fieldManager: Invalid value: \"a\\nb\": invalid character U+000A (at position 1)",
            ),
        ] {
            let error =
                write_options(&Query::parse(Some(query)), &HeaderMap::new(), "CreateOptions").unwrap_err();
            assert_eq!(error.message(), format!("CreateOptions.meta.k8s.io \"\" is invalid: {text}"));
        }
    }

    #[test]
    fn apply_needs_a_manager_and_others_take_no_force() {
        let patch = |query: &str, kind| patch_options(&Query::parse(Some(query)), &HeaderMap::new(), kind);
        let error = patch("", PatchType::Apply).unwrap_err();
        assert_eq!(
            error.message(),
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
        );
        assert!(patch("force=true&fieldManager=x", PatchType::Apply).unwrap().force);
        assert_eq!(patch("force=true", PatchType::Merge).unwrap_err().code(), 422);
        assert!(patch("dryRun=All", PatchType::Json).unwrap().dry_run);
    }
}
