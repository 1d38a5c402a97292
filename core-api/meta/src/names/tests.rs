use super::*;

fn check(rule: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(rule(text), Vec::<String>::new(), "{text:?} is good");
    }
    for text in bad {
        assert!(!rule(text).is_empty(), "{text:?} is bad");
    }
}

#[test]
fn labels_and_subdomains() {
    let long = "x".repeat(63);
    let longer = "x".repeat(64);
    check(
        is_dns1123_label,
        &["a", "web-1", "0", "7up", &long],
        &["", "-a", "a-", "A", "a.b", "a_b", "é", &longer],
    );
    check(is_dns1035_label, &["a", "web-1", "a1"], &["", "1a", "a-", "A", "a.b", &longer]);
    check(
        is_dns1123_subdomain,
        &["a", "a.b", "1.2.3.4", &longer],
        &["", ".", "a.", ".a", "a..b", "A.b", "a_b"],
    );
    check(is_dns1123_subdomain_with_underscore, &["_srv._tcp.x", "a_b.c"], &["__a", "a_", "A"]);
    check(is_wildcard_dns1123_subdomain, &["*.a", "*.a.b"], &["*", "*.", "a.b", "*.*.a", "*a.b"]);
}

#[test]
fn keys_values_and_identifiers() {
    let long = "x".repeat(64);
    check(
        is_qualified_name,
        &["app", "a.b/C_d-1", "A"],
        &["", "/", "a/", "/a", "a/b/c", "a b", "-a", "A.b/c", &long],
    );
    check(is_label_value, &["", "1.2-3_X"], &["-", "a ", "_a", "a:b", &long]);
    check(is_c_identifier, &["_", "A1", "a_b"], &["", "1a", "a-b"]);
    check(is_config_map_key, &["a.b", "_", "-x", "a..b"], &["", ".", "..", "..a", "a/b"]);
    check(is_env_var_name, &["A", "a.b-c", "_1"], &["", "1A", "A=B", "..", "..x"]);
    check(is_relaxed_env_var_name, &["A B", "1", "a:b", "~"], &["", "a=b", "é", "\t", "\u{7f}"]);
    check(is_http_header_name, &["X-A"], &["", "a b", "a_b"]);
    check(is_valid_percent, &["0%", "120%"], &["", "%", "1", "-1%", "1%%"]);
    check(is_path_segment_name, &["a:b", "A B", ""], &[".", "..", "a/b", "50%"]);
}

#[test]
fn port_names_list_every_fault() {
    check(is_valid_port_name, &["http", "h2c-1"], &["", "8080", "-a", "a-", "a--b", "HTTP"]);
    assert_eq!(
        is_valid_port_name("-8--0-8-0-8-0-8-"),
        [
            "must be no more than 15 characters",
            "must contain at least one letter (a-z)",
            "must not contain consecutive hyphens",
            "must not begin or end with a hyphen",
        ]
    );
}

#[test]
fn texts_are_upstreams() {
    assert_eq!(
        is_dns1123_label("Web"),
        [
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
          and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
          '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ]
    );
    assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
    assert_eq!(is_label_value(&"x".repeat(64)), ["must be no more than 63 bytes"]);
    assert_eq!(is_dns1035_label(&"x".repeat(64)), ["must be no more than 63 characters"]);
    assert_eq!(
        is_qualified_name("a/b/c"),
        [
            "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
          an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
          '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. \
          'example.com/MyName')"
        ]
    );
    assert_eq!(is_qualified_name("/a"), ["prefix part must be non-empty"]);
    assert_eq!(is_valid_port_num(0), ["must be between 1 and 65535, inclusive"]);
}

#[test]
fn a_generate_name_may_end_in_a_dash() {
    for rule in [name_is_dns_subdomain, name_is_dns_label, name_is_dns1035_label] {
        assert!(rule("web-", true).is_empty());
        assert!(!rule("web-", false).is_empty());
        assert!(!rule("-", true).is_empty());
        assert!(rule("aB-", true).is_empty(), "the character before the dash is not looked at");
        assert!(!rule("é-", true).is_empty());
    }
    assert!(name_is_path_segment("..", true).is_empty());
    assert!(!name_is_path_segment("..", false).is_empty());
}

fn messages(rule: fn(&str, &FieldPath<'_>, &mut FieldErrors), text: &str) -> Vec<String> {
    let mut errors = FieldErrors::default();
    rule(text, &FieldPath::root("f"), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn domain_forms() {
    assert!(messages(validate_domain_prefixed_path, "acme.io/a~b").is_empty());
    assert_eq!(messages(validate_domain_prefixed_path, ""), ["f: Required value"]);
    assert_eq!(
        messages(validate_domain_prefixed_path, "acme.io/"),
        ["f: Invalid value: \"acme.io/\": must be a domain-prefixed path (such as \"acme.io/foo\")"]
    );
    assert_eq!(messages(validate_domain_prefixed_path, "A/ ").len(), 2);
    assert!(messages(validate_domain_prefixed_key, "a.b/c").is_empty());
    assert_eq!(messages(validate_domain_prefixed_key, "c").len(), 1);
    assert!(messages(validate_fully_qualified_name, "a.b.c").is_empty());
    assert_eq!(messages(validate_fully_qualified_name, "a.b").len(), 1);
    assert!(messages(validate_fully_qualified_domain_name, "a.b.").is_empty());
    assert_eq!(messages(validate_fully_qualified_domain_name, "a").len(), 1);
}

#[test]
fn labels_are_checked_key_and_value() {
    let mut errors = FieldErrors::default();
    validate_labels([("a", "b"), ("a b", "-")], &FieldPath::root("metadata").child("labels"), &mut errors);
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(|e| e.field == "metadata.labels"));
}
