//! Where a webhook is served: the `clientConfig` of webhook configurations and of CustomResourceDefinitions.
//!
//! Upstream: apiserver `pkg/util/webhook/validation.go`.

use crate::{
    cursor::Cursor,
    fill::{absent, present},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proa_meta::{FieldErrors, names, pem};
use serde_json::Value;
use std::collections::BTreeSet;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const FORM: &str = "; desired format: https://host[/path]";

/// Defaults.
pub(crate) fn default(client: &mut Value) {
    if let Some(service) = present(client, "service") {
        absent(service, "port", 443);
    }
}

/// Either a URL or a Service, well formed.
pub(crate) fn validate(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (address, service) = (at.get("url"), at.get("service"));
    match (address.is_set(), service.is_set()) {
        (true, false) => url(&address, errors),
        (false, true) => self::service(&service, errors),
        _ => at.required(errors, "exactly one of url or service is required"),
    }
}

/// Versions of a review that a webhook understands: at least one that this server speaks. `missing` is said when there
/// is none at all.
pub(crate) fn review_versions(list: &Cursor<'_, '_>, missing: &str, errors: &mut FieldErrors) {
    if list.is_empty() {
        return list.required(errors, missing);
    }
    let mut seen = BTreeSet::new();
    for version in list.items() {
        if seen.insert(version.text()) {
            version.named(errors, names::is_dns1035_label);
        } else {
            version.invalid(errors, "duplicate version");
        }
    }
    if !REVIEW_VERSIONS.iter().any(|version| seen.contains(version)) {
        list.invalid(errors, &format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")));
    }
}

/// What is wrong with the authorities of a webhook, base64 of certificates in PEM: one must be good. None at all are
/// fine. Upstream: client-go `transport/transport.go`.
pub(crate) fn authorities_problem(bundle: &str) -> Option<String> {
    if bundle.is_empty() {
        return None;
    }
    let text = STANDARD.decode(bundle).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let blocks = pem::blocks(&text);
    let certificates = || blocks.iter().filter(|block| block.kind == "CERTIFICATE" && !block.has_headers);
    let why = if certificates().any(|block| X509Certificate::from_der(&block.bytes).is_ok()) {
        return None;
    } else if certificates().next().is_some() {
        "failed to parse certificate: x509: malformed certificate"
    } else if blocks.is_empty() {
        "unable to parse bytes as PEM block"
    } else {
        "no valid certificate authority data seen"
    };
    Some(why.to_owned())
}

/// The parts of a URL that matter here, as Go's `net/url` takes it apart.
struct Parts<'a> {
    scheme: String,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

fn parts(text: &str) -> Result<Parts<'_>, String> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err(format!("parse {text:?}: net/url: invalid control character in URL"));
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    if rest.starts_with(':') {
        return Err(format!("parse {text:?}: missing protocol scheme"));
    }
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        Some((first, _)) if !first.contains('/') => {
            return Err(format!("parse {text:?}: first path segment in URL cannot contain colon"));
        }
        _ => (String::new(), rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or_default());
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if let Some(bad) = host.chars().find(|c| c.is_whitespace() || "<>\"{}|\\^`".contains(*c)) {
        return Err(format!("parse {text:?}: invalid character {:?} in host name", bad.to_string()));
    }
    if let Some((_, port)) = host.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
        && !port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(format!("parse {text:?}: invalid port {:?} after host", format!(":{port}")));
    }
    Ok(Parts { scheme, user, host, query, fragment })
}

fn url(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let parts = match parts(at.text()) {
        Ok(parts) => parts,
        Err(why) => return at.required(errors, &format!("url must be a valid URL: {why}{FORM}")),
    };
    let mut refuse = |part: &str, why: &str| errors.invalid(at.path(), &Value::from(part), why);
    if parts.scheme != "https" {
        refuse(&parts.scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if parts.host.is_empty() {
        refuse(parts.host, &format!("host must be specified{FORM}"));
    }
    if let Some(user) = parts.user {
        refuse(user, "user information is not permitted in the URL");
    }
    if !parts.fragment.is_empty() {
        refuse(parts.fragment, "fragments are not permitted in the URL");
    }
    if !parts.query.is_empty() {
        refuse(parts.query, "query parameters are not permitted in the URL");
    }
}

fn service(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.get("name").must_be_set(errors);
    at.get("namespace").must_be_set(errors);
    let port = at.get("port");
    let problems = names::is_valid_port_num(port.int());
    if !problems.is_empty() {
        port.invalid(errors, &format!("port is not valid: {}", problems.join(", ")));
    }
    path(&at.get("path"), errors);
}

fn path(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let text = at.text();
    if matches!(text, "" | "/") {
        return;
    }
    if text == "//" {
        return at.invalid(errors, "segment[0] may not be empty");
    }
    if !text.starts_with('/') {
        at.invalid(errors, "must start with a '/'");
    }
    // The first character is taken for the slash in any case.
    let rest = text.get(1..).unwrap_or_default();
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            at.invalid(errors, &format!("segment[{i}] may not be empty"));
            continue;
        }
        for problem in names::is_dns1123_subdomain(step) {
            at.invalid(errors, &format!("segment[{i}]: {problem}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(client: &Value) -> String {
        let mut errors = FieldErrors::default();
        validate(&Cursor::root(client), &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn urls_are_https_and_plain() {
        for (text, problem) in [
            ("https://example.com/a", ""),
            ("https://[::1]:8443/a", ""),
            ("http://a", "url: Invalid value: \"http\": 'https' is the only allowed URL scheme"),
            ("https:///a", "url: Invalid value: \"\": host must be specified"),
            ("https://u:p@a", "url: Invalid value: \"u:p\": user information is not permitted in the URL"),
            ("https://a#b", "url: Invalid value: \"b\": fragments are not permitted in the URL"),
            ("https://a?b=c", "url: Invalid value: \"b=c\": query parameters are not permitted in the URL"),
            (
                "https://a:b",
                "url: Required value: url must be a valid URL: parse \"https://a:b\": invalid port",
            ),
            ("a b", "url: Invalid value: \"\": 'https' is the only allowed URL scheme"),
        ] {
            let found = problems(&json!({"url": text}));
            assert!(
                if problem.is_empty() { found.is_empty() } else { found.starts_with(problem) },
                "{text}: {found}"
            );
        }
    }

    #[test]
    fn authorities_are_certificates() {
        let problem = |text: &str| authorities_problem(&STANDARD.encode(text)).unwrap_or_default();
        let bad = pem::encode("CERTIFICATE", &[0]);
        assert_eq!(authorities_problem(""), None);
        assert_eq!(problem("x"), "unable to parse bytes as PEM block");
        assert_eq!(problem(&bad), "failed to parse certificate: x509: malformed certificate");
        assert_eq!(problem(&pem::encode("KEY", &[0])), "no valid certificate authority data seen");
    }

    #[test]
    fn services_have_a_port_and_a_clean_path() {
        let service = |path: &str, port: i64| {
            problems(&json!({"service": {"name": "a", "namespace": "b", "port": port, "path": path}}))
        };
        assert_eq!(service("/a/b", 443), "");
        assert_eq!(service("/", 443), "");
        assert!(
            service("", 0).starts_with("service.port: Invalid value: 0: port is not valid: must be between")
        );
        assert_eq!(service("//", 1), "service.path: Invalid value: \"//\": segment[0] may not be empty");
        assert!(service("a", 1).starts_with("service.path: Invalid value: \"a\": must start with a '/'"));
        assert!(service("/a//b", 1).contains("segment[1] may not be empty"));
        let both = json!({"url": "https://a", "service": {}});
        for wrong in [json!({}), both] {
            let found = problems(&wrong);
            assert!(found.ends_with("Required value: exactly one of url or service is required"), "{found}");
        }
    }
}
