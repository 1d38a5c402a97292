//! Options of list, watch and deletecollection.

use super::{refuse, resource_version};
use crate::{query::Query, request_info::RequestInfo};
use proa_meta::{
    ApiError, ApiResult, FieldErrors, FieldPath,
    selector::{FieldSelector, Selector},
};
use proa_registry::{
    KindDef,
    request::{ListOptions, Selection, VersionMatch, WatchOptions},
};
use proa_store::Revision;
use serde_json::json;

/// `ListOptions` as they came.
struct Listing {
    selection: Selection,
    resource_version: Option<Revision>,
    version_match: Option<String>,
    limit: i64,
    continue_token: Option<String>,
    timeout_seconds: Option<i64>,
    bookmarks: bool,
    send_initial_events: Option<bool>,
}

fn parse(query: &Query<'_>, info: &RequestInfo, def: &KindDef) -> ApiResult<Listing> {
    Ok(Listing {
        selection: selection(query, info, def)?,
        resource_version: resource_version(query)?,
        version_match: query.text("resourceVersionMatch").map(str::to_owned),
        limit: query.integer("limit")?.unwrap_or(0).max(0),
        continue_token: query.text("continue").map(str::to_owned),
        timeout_seconds: query.integer("timeoutSeconds")?,
        bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
        send_initial_events: query.flag("sendInitialEvents"),
    })
}

/// Options of a list.
pub(crate) fn list_options(query: &Query<'_>, info: &RequestInfo, def: &KindDef) -> ApiResult<ListOptions> {
    let listing = parse(query, info, def)?;
    listing.check_list()?;
    let names_revision = listing.resource_version.is_some_and(|v| v.0 != 0);
    if listing.continue_token.is_some() && names_revision {
        const WHY: &str = "specifying resource version is not allowed when using continue";
        return Err(ApiError::bad_request(WHY));
    }
    let version_match = match listing.version_match.as_deref() {
        Some("Exact") => Some(VersionMatch::Exact),
        Some(_) => Some(VersionMatch::NotOlderThan),
        // A page of a named revision is of exactly that one, as upstream.
        None => (listing.limit > 0 && names_revision).then_some(VersionMatch::Exact),
    };
    Ok(ListOptions {
        selection: listing.selection,
        resource_version: listing.resource_version,
        version_match,
        limit: usize::try_from(listing.limit).unwrap_or(usize::MAX),
        continue_token: listing.continue_token,
        metadata_only: false,
    })
}

/// Selectors of a deletecollection. Paging it is refused: it deletes all that is selected.
pub(crate) fn collection_selection(
    query: &Query<'_>,
    info: &RequestInfo,
    def: &KindDef,
) -> ApiResult<Selection> {
    let listing = parse(query, info, def)?;
    listing.check_list()?;
    if listing.limit > 0 || listing.continue_token.is_some() {
        const WHY: &str = "limit and continue are not supported for deletecollection";
        return Err(ApiError::bad_request(WHY));
    }
    Ok(listing.selection)
}

/// Options of a watch. `present` is the revision that a watch without initial events starts from when it names none.
pub(crate) fn watch_options(
    query: &Query<'_>,
    info: &RequestInfo,
    def: &KindDef,
    present: impl FnOnce() -> Revision,
    default_timeout: impl FnOnce() -> u64,
) -> ApiResult<WatchOptions> {
    let listing = parse(query, info, def)?;
    listing.check_watch()?;
    let unnamed = listing.resource_version.is_none_or(|v| v.0 == 0);
    let resource_version = match listing.send_initial_events {
        Some(false) if unnamed => Some(present()),
        _ => listing.resource_version,
    };
    let timeout = listing.timeout_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    Ok(WatchOptions {
        selection: listing.selection,
        resource_version,
        bookmarks: listing.bookmarks,
        send_initial_events: listing.send_initial_events == Some(true),
        timeout_seconds: Some(timeout.unwrap_or_else(default_timeout)),
        metadata_only: false,
    })
}

impl Listing {
    /// Upstream: `ValidateListOptions`.
    fn check_list(&self) -> ApiResult<()> {
        let mut errors = FieldErrors::default();
        let path = FieldPath::root("resourceVersionMatch");
        if let Some(given) = self.version_match.as_deref() {
            if self.resource_version.is_none() {
                errors
                    .forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if self.continue_token.is_some() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(given, "Exact" | "NotOlderThan") {
                errors.not_supported(&path, &json!(given), &["Exact", "NotOlderThan", ""]);
            }
            if given == "Exact" && self.resource_version == Some(Revision(0)) {
                let text = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.forbidden(&path, text);
            }
        }
        if self.send_initial_events.is_some() {
            let path = FieldPath::root("sendInitialEvents");
            errors.forbidden(&path, "sendInitialEvents is forbidden for list");
        }
        refuse("ListOptions", &errors)
    }

    /// Upstream: `validateWatchOptions`.
    fn check_watch(&self) -> ApiResult<()> {
        let mut errors = FieldErrors::default();
        let path = FieldPath::root("resourceVersionMatch");
        let given = self.version_match.as_deref();
        if self.send_initial_events.is_some() && given != Some("NotOlderThan") {
            let text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.forbidden(&path, text);
        }
        // Upstream turns a watch from nowhere in particular into one with initial events, which asks for a match.
        let is_legacy = self.resource_version.is_none_or(|version| version.0 == 0);
        if given.is_none() && self.send_initial_events.is_none() && is_legacy && self.continue_token.is_some()
        {
            errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
        }
        if let Some(given) = given {
            if self.send_initial_events.is_none() {
                let text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.forbidden(&path, text);
            }
            if given != "NotOlderThan" {
                errors.not_supported(&path, &json!(given), &["NotOlderThan"]);
            }
            if self.continue_token.is_some() {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
        }
        refuse("ListOptions", &errors)
    }
}

fn selection(query: &Query<'_>, info: &RequestInfo, def: &KindDef) -> ApiResult<Selection> {
    let labels = match query.text("labelSelector") {
        None => Selector::everything(),
        Some(text) => Selector::parse(text).map_err(|e| ApiError::bad_request(e.to_string()))?,
    };
    let fields = match query.text("fieldSelector") {
        None => FieldSelector::default(),
        Some(text) => FieldSelector::parse(text).map_err(|e| ApiError::bad_request(e.to_string()))?,
    };
    for requirement in fields.requirements() {
        check_label(def, &requirement.field)?;
    }
    let other_name = info.named_by_path
        && !fields.is_everything()
        && fields.exact("metadata.name") != Some(info.name.as_str());
    if other_name {
        return Err(ApiError::bad_request("fieldSelector metadata.name doesn't match requested name"));
    }
    Ok(Selection { labels, fields })
}

/// Upstream: `DefaultMetaV1FieldSelectorConversion` and the kinds' own conversions.
fn check_label(def: &KindDef, label: &str) -> ApiResult<()> {
    let known = matches!(label, "metadata.name" | "metadata.namespace")
        || def.selectable.iter().any(|s| s.is_called(label));
    if known {
        return Ok(());
    }
    Err(ApiError::bad_request(if def.selectable.iter().all(|s| s.is_anothers) {
        format!("{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {label}")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use proa_meta::Gvk;
    use proa_registry::kind::Selectable;

    fn def() -> KindDef {
        KindDef::namespaced(Gvk::new("", "v1", "Pod"), "pods", Default::default())
            .selectable(&[Selectable::indexed("spec.nodeName")])
    }
    fn list(query: &str) -> ApiResult<ListOptions> {
        let query = Query::parse(Some(query));
        let info = crate::request_info::parse(&Method::GET, "/api/v1/pods", &query).unwrap();
        list_options(&query, &info, &def())
    }
    fn watch(query: &str) -> ApiResult<WatchOptions> {
        let query = Query::parse(Some(query));
        let info = crate::request_info::parse(&Method::GET, "/api/v1/pods", &query).unwrap();
        watch_options(&query, &info, &def(), || Revision(9), || 1800)
    }
    fn refusal<T>(answer: ApiResult<T>) -> (u16, String) {
        let error = answer.err().unwrap();
        (error.code(), error.message().to_owned())
    }

    #[test]
    fn list_options_are_parsed() {
        let options = list("limit=5&labelSelector=a%3Db&resourceVersion=7").unwrap();
        assert_eq!((options.limit, options.resource_version), (5, Some(Revision(7))));
        assert_eq!(options.version_match, Some(VersionMatch::Exact));
        assert!(!options.selection.labels.is_everything());
        assert_eq!(list("resourceVersion=").unwrap().resource_version, None);
        assert!(list("fieldSelector=spec.nodeName%3Dn1,metadata.name%3Da").is_ok());
    }

    #[test]
    fn list_options_are_refused_with_upstreams_texts() {
        for (query, code, text) in [
            ("limit=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
            (
                "resourceVersion=abc",
                400,
                "invalid resource version: resourceVersion: Invalid value: \"abc\": \
                 strconv.ParseUint: parsing \"abc\": invalid syntax",
            ),
            ("fieldSelector=spec.foo%3Da", 400, "field label not supported: spec.foo"),
            (
                "resourceVersionMatch=Exact",
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
                 resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            (
                "resourceVersionMatch=Foo&resourceVersion=1",
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Foo\": \
                 supported values: \"Exact\", \"NotOlderThan\", \"\"",
            ),
            (
                "sendInitialEvents=true",
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: \
                 sendInitialEvents is forbidden for list",
            ),
            (
                "continue=x&resourceVersion=5",
                400,
                "specifying resource version is not allowed when using continue",
            ),
        ] {
            assert_eq!(refusal(list(query)), (code, text.to_owned()), "{query}");
        }
        assert_eq!(refusal(list("labelSelector=a%20b%20c")).0, 400);
    }

    #[test]
    fn watch_options_follow_the_streaming_list_rules() {
        let options = watch("watch=1&timeoutSeconds=5&allowWatchBookmarks=true&resourceVersion=3").unwrap();
        assert_eq!((options.timeout_seconds, options.bookmarks), (Some(5), true));
        let streaming =
            "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1";
        assert!(watch(streaming).unwrap().send_initial_events);
        let quiet = watch("watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan").unwrap();
        assert_eq!(quiet.resource_version, Some(Revision(9)));
        assert_eq!(watch("watch=1").unwrap().timeout_seconds, Some(1800));
        let (code, text) = refusal(watch("watch=1&sendInitialEvents=true"));
        assert_eq!(code, 422);
        assert!(text.ends_with("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        let (_, text) = refusal(watch("watch=1&resourceVersionMatch=Exact&resourceVersion=1"));
        assert!(text.contains("forbidden for watch unless sendInitialEvents"));
        assert!(text.contains("Unsupported value"));
    }
}
