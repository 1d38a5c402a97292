//! `DeleteOptions`: from the body when there is one, else from the query, never from both, as upstream.

use super::{dry_run, refuse};
use crate::{
    handlers::body::from_protobuf,
    negotiate::{self, BodyForm},
    openapi::SchemaDocs,
    query::Query,
};
use http::HeaderMap;
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath};
use proa_registry::{kind::Propagation, request::DeleteOptions};
use proa_schema::json::Parsed;
use serde::Deserialize;
use serde_json::{Value, json};

/// As they came.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Given {
    kind: Option<String>,
    api_version: Option<String>,
    grace_period_seconds: Option<i64>,
    preconditions: Option<Preconditions>,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<String>,
    dry_run: Option<Vec<String>>,
    ignore_store_read_error_with_cluster_breaking_potential: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

pub(crate) fn delete_options(
    query: &Query<'_>,
    headers: &HeaderMap,
    body: &[u8],
    docs: &dyn SchemaDocs,
) -> ApiResult<DeleteOptions> {
    let given = if body.is_empty() { of_query(query)? } else { of_body(headers, body, docs)? };
    let mut errors = FieldErrors::default();
    let propagation = propagation(&given, &mut errors);
    let values: Vec<&str> = given.dry_run.iter().flatten().map(String::as_str).collect();
    let dry_run = dry_run(&values, &mut errors);
    if given.ignore_store_read_error_with_cluster_breaking_potential == Some(true) {
        let path = FieldPath::root("ignoreStoreReadErrorWithClusterBreakingPotential");
        errors.invalid(&path, &json!(true), "is not supported: objects are always readable here");
    }
    refuse("DeleteOptions", &errors)?;
    let preconditions = given.preconditions.unwrap_or_default();
    Ok(DeleteOptions {
        grace_period_seconds: given.grace_period_seconds,
        propagation,
        tells_of_waiting: given.orphan_dependents == Some(false),
        uid: preconditions.uid,
        resource_version: preconditions.resource_version,
        dry_run,
    })
}

fn of_query(query: &Query<'_>) -> ApiResult<Given> {
    const READ_ERRORS: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
    let dry_run: Vec<String> = query.all("dryRun").map(str::to_owned).collect();
    Ok(Given {
        grace_period_seconds: query.integer("gracePeriodSeconds")?,
        orphan_dependents: query.flag("orphanDependents"),
        propagation_policy: query.text("propagationPolicy").map(str::to_owned),
        dry_run: Some(dry_run),
        ignore_store_read_error_with_cluster_breaking_potential: query.flag(READ_ERRORS),
        ..Given::default()
    })
}

fn of_body(headers: &HeaderMap, body: &[u8], docs: &dyn SchemaDocs) -> ApiResult<Given> {
    const TYPE: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
    let parsed = match negotiate::body(headers, false)? {
        BodyForm::Json => proa_schema::json::parse(body),
        BodyForm::Yaml => proa_schema::json::parse_yaml(body),
        BodyForm::Protobuf => {
            let value = from_protobuf(docs.schema(TYPE).as_ref(), "DeleteOptions", body)?;
            Ok(Parsed { value, issues: Vec::new() })
        }
    };
    let value = parsed.map_err(|e| e.unrecognized("DeleteOptions", body))?.value;
    let given: Given = serde_json::from_value(without_nulls(value)).map_err(|e| {
        ApiError::bad_request(format!(
            "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {e}"
        ))
    })?;
    match (given.kind.as_deref(), given.api_version.as_deref()) {
        (None | Some("" | "DeleteOptions"), _) => Ok(given),
        (Some(kind), version) => {
            let version = version.unwrap_or_default();
            Err(ApiError::bad_request(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \"proa\""
            )))
        }
    }
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}

fn propagation(given: &Given, errors: &mut FieldErrors) -> Option<Propagation> {
    let path = FieldPath::root("propagationPolicy");
    let policy = given.propagation_policy.as_deref();
    if let (Some(_), Some(policy)) = (given.orphan_dependents, policy) {
        let text = "orphanDependents and deletionPropagation cannot be both set";
        errors.invalid(&path, &json!(policy), text);
    }
    match (policy, given.orphan_dependents) {
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some(other), _) => {
            let supported = &["Foreground", "Background", "Orphan", "nil"];
            errors.not_supported(&path, &json!(other), supported);
            None
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str, body: &str) -> ApiResult<DeleteOptions> {
        delete_options(
            &Query::parse(Some(query)),
            &HeaderMap::new(),
            body.as_bytes(),
            &crate::openapi::NoDocs,
        )
    }

    #[test]
    fn body_or_query() {
        let body = r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":5,"propagationPolicy":"Foreground",
                       "preconditions":{"uid":"u","resourceVersion":"7"},"dryRun":["All"],"orphanDependents":null}"#;
        let given = options("propagationPolicy=Orphan", body).unwrap();
        assert_eq!(given.grace_period_seconds, Some(5));
        assert_eq!(given.propagation, Some(Propagation::Foreground));
        assert_eq!((given.uid.as_deref(), given.resource_version.as_deref()), (Some("u"), Some("7")));
        assert!(given.dry_run);
        let given = options("gracePeriodSeconds=0&orphanDependents=false", "").unwrap();
        assert_eq!(given.grace_period_seconds, Some(0));
        assert_eq!(given.propagation, Some(Propagation::Background));
    }

    #[test]
    fn wrong_options_are_refused() {
        for (query, body, code, part) in [
            ("propagationPolicy=Foo", "", 422, "\"Foreground\", \"Background\", \"Orphan\", \"nil\""),
            ("propagationPolicy=Orphan&orphanDependents=true", "", 422, "cannot be both set"),
            ("gracePeriodSeconds=x", "", 400, "strconv.ParseInt"),
            ("", "{", 400, "must be of type DeleteOptions"),
            ("", r#"{"kind":"Pod","apiVersion":"v1"}"#, 400, "no kind \"Pod\""),
            ("", r#"{"gracePeriodSeconds":"x"}"#, 400, "cannot be handled as a DeleteOptions"),
            ("dryRun=x", "", 422, "supported values: \"All\""),
        ] {
            let error = options(query, body).unwrap_err();
            assert_eq!(error.code(), code, "{query} {body}");
            assert!(error.message().contains(part), "{}", error.message());
        }
    }
}
