//! Which texts are names, label keys, port names and the like, with upstream's messages.
//!
//! Every check returns the messages of what is wrong; none means valid. Lengths are bytes. Matching is by hand, not by
//! regular expression, since names are checked on every write.
//! Deliberately absent: IP addresses and CIDRs (they belong to the kinds that carry them).
//! Upstream: apimachinery `pkg/util/validation/validation.go`, `pkg/api/validate/content/*.go` and
//! `pkg/api/validation/generic.go`. The two upstream packages word "too long" differently; so does this module.

use crate::field::{FieldErrors, FieldPath};
use serde_json::Value;

/// Longest DNS label.
pub const DNS_LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const DNS_SUBDOMAIN_MAX: usize = 253;
/// Longest label value, and longest name part of a label key.
pub const LABEL_VALUE_MAX: usize = 63;

const LABEL_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_1123: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_1123_UNDERSCORE: &str =
    r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const WILDCARD_1123: &str = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const HTTP_PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// `must be no more than N characters`.
pub fn max_len_error(length: usize) -> String {
    format!("must be no more than {length} characters")
}

fn max_bytes_error(length: usize) -> String {
    format!("must be no more than {length} bytes")
}

/// `must be between LO and HI, inclusive`.
pub fn inclusive_range_error(lo: i64, hi: i64) -> String {
    format!("must be between {lo} and {hi}, inclusive")
}

/// Text of a value that must not be empty.
pub const EMPTY_ERROR: &str = "must be non-empty";

/// `MESSAGE (e.g. 'A', or 'B', regex used for validation is 'REGEX')`.
pub fn regex_error(message: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    let mut text = format!("{message} (e.g. ");
    for (i, example) in examples.iter().enumerate() {
        if i > 0 {
            text.push_str(" or ");
        }
        text.push_str(&format!("'{example}', "));
    }
    text.push_str(&format!("regex used for validation is '{regex}')"));
    text
}

/// Whether `first` fits the first byte, `last` the last, and `middle` all between; a single byte must fit `single`.
fn is_framed(text: &str, first: fn(u8) -> bool, middle: fn(u8) -> bool, last: fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        [one] => first(*one),
        [head, body @ .., tail] => first(*head) && last(*tail) && body.iter().all(|&b| middle(b)),
    }
}

const fn is_lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}
const fn is_lower_alnum_dash(b: u8) -> bool {
    is_lower_alnum(b) || b == b'-'
}
const fn is_alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}
const fn is_label_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn is_label_1123(text: &str) -> bool {
    is_framed(text, is_lower_alnum, is_lower_alnum_dash, is_lower_alnum)
}

fn is_subdomain_1123(text: &str) -> bool {
    text.split('.').all(is_label_1123)
}

fn is_label_1123_underscore(text: &str) -> bool {
    let rest = text.strip_prefix('_').unwrap_or(text);
    is_framed(rest, is_lower_alnum, |b| is_lower_alnum_dash(b) || b == b'_', is_lower_alnum)
}

fn is_label_key_name(text: &str) -> bool {
    is_framed(text, is_alnum, is_label_char, is_alnum)
}

/// RFC 1123 label: most object names that become host names.
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    label_errors(value, max_len_error)
}

/// The same, in upstream's words where the rule is declared on a type.
pub fn is_dns1123_label_of_bytes(value: &str) -> Vec<String> {
    label_errors(value, max_bytes_error)
}

fn label_errors(value: &str, too_long: fn(usize) -> String) -> Vec<String> {
    const TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS_LABEL_MAX {
        errors.push(too_long(DNS_LABEL_MAX));
    }
    if !is_label_1123(value) {
        errors.push(if is_subdomain_1123(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(TEXT, LABEL_1123, &["my-name", "123-abc"])
        });
    }
    errors
}

/// RFC 1123 subdomain: the usual rule for object names.
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain_errors(value, max_len_error)
}

fn subdomain_errors(value: &str, too_long: fn(usize) -> String) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(too_long(DNS_SUBDOMAIN_MAX));
    }
    if !is_subdomain_1123(value) {
        errors.push(regex_error(SUBDOMAIN_TEXT, SUBDOMAIN_1123, &["example.com"]));
    }
    errors
}

/// RFC 1123 subdomain whose labels may start with and contain underscores.
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    const TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(max_len_error(DNS_SUBDOMAIN_MAX));
    }
    if !value.split('.').all(is_label_1123_underscore) {
        errors.push(regex_error(TEXT, SUBDOMAIN_1123_UNDERSCORE, &["example.com"]));
    }
    errors
}

/// An RFC 1123 subdomain in letters of either case.
pub fn is_dns1123_subdomain_of_any_case(value: &str) -> Vec<String> {
    const TEXT: &str = "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(max_bytes_error(DNS_SUBDOMAIN_MAX));
    }
    if !is_subdomain_1123(&value.to_ascii_lowercase()) {
        errors.push(regex_error(TEXT, SUBDOMAIN_1123, &["Example.com"]));
    }
    errors
}

/// `*.` followed by an RFC 1123 subdomain.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    const TEXT: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(max_len_error(DNS_SUBDOMAIN_MAX));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain_1123) {
        errors.push(regex_error(TEXT, WILDCARD_1123, &["*.example.com"]));
    }
    errors
}

/// RFC 1035 label: names of Services.
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    const TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS_LABEL_MAX {
        errors.push(max_len_error(DNS_LABEL_MAX));
    }
    if !is_framed(value, |b| b.is_ascii_lowercase(), is_lower_alnum_dash, is_lower_alnum) {
        errors.push(regex_error(TEXT, LABEL_1035, &["my-name", "abc-123"]));
    }
    errors
}

/// Qualified name: `[subdomain/]name`, as label keys, annotation keys (lower-cased), taints and resources have it.
pub fn is_qualified_name(value: &str) -> Vec<String> {
    const EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];
    let mut errors = Vec::new();
    let mut parts = value.split('/');
    let (prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => (None, name),
        (Some(prefix), Some(name), None) => (Some(prefix), name),
        _ => {
            let text = regex_error(LABEL_KEY_TEXT, LABEL_KEY, EXAMPLES);
            return vec![format!(
                "a valid label key {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    match prefix {
        None => {}
        Some("") => errors.push(format!("prefix part {EMPTY_ERROR}")),
        Some(prefix) => {
            errors
                .extend(subdomain_errors(prefix, max_bytes_error).iter().map(|e| format!("prefix part {e}")));
        }
    }
    if name.is_empty() {
        errors.push(format!("name part {EMPTY_ERROR}"));
    } else if name.len() > LABEL_VALUE_MAX {
        errors.push(format!("name part {}", max_bytes_error(LABEL_VALUE_MAX)));
    }
    if !is_label_key_name(name) {
        errors.push(format!("name part {}", regex_error(LABEL_KEY_TEXT, LABEL_KEY, EXAMPLES)));
    }
    errors
}

/// Value of a label; may be empty.
pub fn is_label_value(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > LABEL_VALUE_MAX {
        errors.push(max_bytes_error(LABEL_VALUE_MAX));
    }
    if !value.is_empty() && !is_label_key_name(value) {
        errors.push(regex_error(TEXT, LABEL_VALUE, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// C identifier.
pub fn is_c_identifier(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    let rest = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if is_framed(value, |b| b.is_ascii_alphabetic() || b == b'_', rest, rest) {
        return Vec::new();
    }
    vec![regex_error(TEXT, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// `lo <= value <= hi`.
pub fn is_in_range(value: i64, lo: i64, hi: i64) -> Vec<String> {
    if (lo..=hi).contains(&value) { Vec::new() } else { vec![inclusive_range_error(lo, hi)] }
}

/// Port number, not zero.
pub fn is_valid_port_num(port: i64) -> Vec<String> {
    is_in_range(port, 1, 65535)
}

/// Unix user or group id.
pub fn is_valid_user_id(id: i64) -> Vec<String> {
    is_in_range(id, 0, i64::from(i32::MAX))
}

/// IANA service name: what names a port.
pub fn is_valid_port_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let bytes = value.as_bytes();
    if bytes.len() > 15 {
        errors.push(max_len_error(15));
    }
    if bytes.is_empty() || !bytes.iter().all(|&b| is_lower_alnum_dash(b)) {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !bytes.iter().any(u8::is_ascii_lowercase) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// Digits and `%`.
pub fn is_valid_percent(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid percent string must be a numeric string followed by an ending '%'";
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex_error(TEXT, "[0-9]+%", &["1%", "93%"])]
}

/// Name of an HTTP header, as probes set it.
pub fn is_http_header_name(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
    if !value.is_empty() && value.bytes().all(|b| is_alnum(b) || b == b'-') {
        return Vec::new();
    }
    vec![regex_error(TEXT, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// Name of an environment variable, the strict rule.
pub fn is_env_var_name(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
    const EXAMPLES: &[&str] = &["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
    let mut errors = Vec::new();
    let first = |b: u8| is_label_char(b) && !b.is_ascii_digit();
    if !is_framed(value, first, is_label_char, is_label_char) {
        errors.push(regex_error(TEXT, "[-._a-zA-Z][-._a-zA-Z0-9]*", EXAMPLES));
    }
    errors.extend(dot_dot_error(value));
    errors
}

/// Name of an environment variable, the rule in force: printable ASCII but `=`.
pub fn is_relaxed_env_var_name(value: &str) -> Vec<String> {
    const TEXT: &str =
        "a valid environment variable name must consist only of printable ASCII characters other than '='";
    if value.is_empty() {
        return vec![format!("environment variable name {EMPTY_ERROR}")];
    }
    if value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec![TEXT.to_owned()]
}

/// Key of a ConfigMap or Secret.
pub fn is_config_map_key(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    let mut errors = Vec::new();
    if value.len() > DNS_SUBDOMAIN_MAX {
        errors.push(max_len_error(DNS_SUBDOMAIN_MAX));
    }
    if value.is_empty() || !value.bytes().all(is_label_char) {
        errors.push(regex_error(TEXT, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    errors.extend(dot_dot_error(value));
    errors
}

fn dot_dot_error(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// A name that can be one segment of a URL path: the only rule for RBAC names and the like. Empty is not refused.
pub fn is_path_segment_name(value: &str) -> Vec<String> {
    match value {
        "." | ".." => vec![format!("may not be '{value}'")],
        _ => is_path_segment_prefix(value),
    }
}

/// As [`is_path_segment_name`], for a generateName.
pub fn is_path_segment_prefix(value: &str) -> Vec<String> {
    let found = ["/", "%"].into_iter().filter(|part| value.contains(part));
    found.map(|part| format!("may not contain '{part}'")).collect()
}

/// How a kind's names are checked: `is_prefix` is true for a generateName.
pub type NameCheck = fn(name: &str, is_prefix: bool) -> Vec<String>;

/// Name check of most kinds.
pub fn name_is_dns_subdomain(name: &str, is_prefix: bool) -> Vec<String> {
    with_masked_dash(name, is_prefix, is_dns1123_subdomain)
}

/// Name check of Namespaces and the like.
pub fn name_is_dns_label(name: &str, is_prefix: bool) -> Vec<String> {
    with_masked_dash(name, is_prefix, is_dns1123_label)
}

/// Name check of Services.
pub fn name_is_dns1035_label(name: &str, is_prefix: bool) -> Vec<String> {
    with_masked_dash(name, is_prefix, is_dns1035_label)
}

/// Name check of RBAC kinds.
pub fn name_is_path_segment(name: &str, is_prefix: bool) -> Vec<String> {
    if is_prefix { is_path_segment_prefix(name) } else { is_path_segment_name(name) }
}

/// A trailing dash of a prefix is followed by more; upstream also swallows the character before it.
fn with_masked_dash(name: &str, is_prefix: bool, check: fn(&str) -> Vec<String>) -> Vec<String> {
    match name.strip_suffix('-') {
        Some(stem) if is_prefix && !stem.is_empty() => {
            let kept = stem.len() - usize::from(stem.ends_with(|c: char| c.is_ascii()));
            check(&format!("{}a", &stem[..kept]))
        }
        _ => check(name),
    }
}

/// Checks `key` as a label key, adding to `errors`.
pub fn validate_label_name(key: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    for message in is_qualified_name(key) {
        errors.invalid(path, &Value::from(key), &message);
    }
}

/// Checks a set of labels in the order given, adding to `errors`.
pub fn validate_labels<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    for (key, value) in labels {
        validate_label_name(key, path, errors);
        for message in is_label_value(value) {
            errors.invalid(path, &Value::from(value), &message);
        }
    }
}

/// `host/path`, as signer names and the like have it.
pub fn validate_domain_prefixed_path(value: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if value.is_empty() {
        return errors.required(path, "");
    }
    let (host, rest) = match value.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => (host, rest),
        _ => {
            let text = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            return errors.invalid(path, &Value::from(value), text);
        }
    };
    for message in is_dns1123_subdomain(host) {
        errors.invalid(path, &Value::from(host), &message);
    }
    if !rest.bytes().all(|b| is_alnum(b) || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        errors.invalid(path, &Value::from(rest), &regex_error("Invalid path", HTTP_PATH, &[]));
    }
}

/// `host/key`, as finalizers of Namespaces and condition types have it.
pub fn validate_domain_prefixed_key(value: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if value.is_empty() {
        return errors.required(path, "");
    }
    let messages = is_qualified_name(value);
    for message in &messages {
        errors.invalid(path, &Value::from(value), message);
    }
    if messages.is_empty() && !value.contains('/') {
        let text = "must be a domain-prefixed key (such as \"acme.io/foo\")";
        errors.invalid(path, &Value::from(value), text);
    }
}

/// A subdomain of at least three labels.
pub fn validate_fully_qualified_name(value: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if value.is_empty() {
        return errors.required(path, "");
    }
    let messages = is_dns1123_subdomain(value);
    if !messages.is_empty() {
        errors.invalid(path, &Value::from(value), &messages.join(","));
    } else if value.split('.').count() < 3 {
        let text = "should be a domain with at least three segments separated by dots";
        errors.invalid(path, &Value::from(value), text);
    }
}

/// A subdomain of at least two labels of at most 63 bytes; one trailing dot is allowed.
pub fn validate_fully_qualified_domain_name(value: &str, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if value.is_empty() {
        return errors.required(path, "");
    }
    let name = value.strip_suffix('.').unwrap_or(value);
    let messages = is_dns1123_subdomain(name);
    if !messages.is_empty() {
        return errors.invalid(path, &Value::from(name), &messages.join(","));
    }
    if !name.contains('.') {
        let text = "should be a domain with at least two segments separated by dots";
        return errors.invalid(path, &Value::from(name), text);
    }
    for label in name.split('.') {
        let messages = is_dns1123_label(label);
        if !messages.is_empty() {
            return errors.invalid(path, &Value::from(label), &messages.join(","));
        }
    }
}

#[cfg(test)]
mod tests;
