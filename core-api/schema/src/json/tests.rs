use super::*;
use proptest::prelude::*;
use serde_json::json;

fn error(body: &str) -> String {
    parse(body.as_bytes()).unwrap_err().to_string()
}

#[test]
fn syntax_errors_read_as_gos() {
    for (body, want) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        (r#"{"a"#, "unexpected end of JSON input"),
        (r#"{"a":"#, "unexpected end of JSON input"),
        ("[1,", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("[,]", "invalid character ',' looking for beginning of value"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (r#"{"a":1 "b"}"#, r#"invalid character '"' after object key:value pair"#),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("\"a\nb\"", r"invalid character '\n' in string literal"),
        (r#""\x""#, "invalid character 'x' in string escape code"),
        (r#""\u12g4""#, r"invalid character 'g' in \u hexadecimal character escape"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("tru3", "invalid character '3' in literal true (expecting 'e')"),
        ("nil", "invalid character 'i' in literal null (expecting 'u')"),
        ("'", r"invalid character '\'' looking for beginning of value"),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        ("1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"),
    ] {
        assert_eq!(error(body), want, "{body}");
    }
}

#[test]
fn values_are_read() {
    for (body, want) in [
        ("0", json!(0)),
        ("-0", json!(0)),
        ("-12", json!(-12)),
        ("1.0", json!(1.0)),
        ("1e3", json!(1000.0)),
        ("9223372036854775808", json!(9_223_372_036_854_775_808_u64)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        (r#"  {"a" : [ true , false,null ] } "#, json!({"a": [true, false, null]})),
        (r#""a\u0041\n\/\ud83d\ude00\ud83dx""#, json!("aA\n/\u{1f600}\u{fffd}x")),
        (r#""\ud83d\u0041""#, json!("\u{fffd}A")),
        ("{}", json!({})),
        ("[]", json!([])),
    ] {
        assert_eq!(parse(body.as_bytes()).unwrap().value, want, "{body}");
    }
    let invalid_utf8 = parse(b"\"a\xffb\"").unwrap().value;
    assert_eq!(invalid_utf8, json!("a\u{fffd}b"));
}

#[test]
fn repeated_fields_are_reported_once_and_the_last_wins() {
    let body = br#"{"spec":{"a":1,"a":2,"a":3,"l":[{"b":1,"b":{}}]},"A":1,"a":2}"#;
    let parsed = parse(body).unwrap();
    assert_eq!(parsed.value["spec"]["a"], 3);
    let texts: Vec<_> = parsed.issues.iter().map(ToString::to_string).collect();
    assert_eq!(texts, [r#"duplicate field "spec.a""#, r#"duplicate field "spec.l[0].b""#]);
    assert_eq!(
        strict_text(&parsed.issues),
        r#"strict decoding error: duplicate field "spec.a", duplicate field "spec.l[0].b""#
    );
}

#[test]
fn nesting_is_bounded() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(parse(deep(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(error(&deep(MAX_DEPTH + 1)), "invalid character '[' exceeded max depth");
    assert_eq!(error(&"[".repeat(1_000_000)), "invalid character '[' exceeded max depth");
    assert!(parse_yaml(deep(MAX_DEPTH).as_bytes()).is_ok());
    assert!(parse_yaml(deep(MAX_DEPTH + 2).as_bytes()).is_err());
    assert!(parse_yaml(&b"- ".repeat(100_000)).is_err());
}

#[test]
fn unreadable_bodies_are_described() {
    let body = b"{not json, and longer than thirty bytes}";
    let error = parse(body).unwrap_err().unrecognized("Pod", body);
    assert_eq!(
        error.message(),
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: \
         invalid character 'n' looking for beginning of object key string ({not json, and longer than thi ...)"
    );
    assert!(unrecognized("Pod", "why", b"").message().ends_with("why (<empty>)"));
    assert!(unrecognized("Pod", "why", b"ab").message().ends_with("why (6162)"));
}

#[test]
fn yaml_becomes_json() {
    let body = "
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: &labels {app: x}}
data:
  one: \"1\"
  two: |
    line
  yes: no
  float: 2.0
  half: 0.5
  date: 2024-01-02
  none:
  merged:
    <<: *labels
    b: 1
  7: seven
";
    let value = parse_yaml(body.as_bytes()).unwrap().value;
    assert_eq!(value["metadata"]["labels"], json!({"app": "x"}));
    assert_eq!(value["data"]["one"], "1");
    assert_eq!(value["data"]["two"], "line\n");
    assert_eq!(value["data"]["float"], 2);
    assert_eq!(value["data"]["half"], 0.5);
    assert_eq!(value["data"]["date"], "2024-01-02");
    assert_eq!(value["data"]["none"], Value::Null);
    assert_eq!(value["data"]["merged"], json!({"app": "x", "b": 1}));
    assert_eq!(value["data"]["7"], "seven");
}

#[test]
fn yaml_repetitions_and_errors() {
    let parsed = parse_yaml(b"a: 1\nb:\n  c: 2\n  c: 3\na: 2\n").unwrap();
    assert_eq!(parsed.value, json!({"a": 2, "b": {"c": 3}}));
    let lines = "yaml: unmarshal errors:\n  line 4: key \"c\" already set in map\n  line 5: key \"a\" already set in map";
    assert_eq!(strict_text(&parsed.issues), format!("strict decoding error: {lines}"));
    for body in ["a: [", "a: b: c", "a: .inf", "a: 1\n---\nb: 2\n"] {
        let error = parse_yaml(body.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("error converting YAML to JSON: yaml: "), "{body}: {error}");
        assert!(!error.contains('\n'));
    }
    assert_eq!(parse_yaml(b"").unwrap().value, Value::Null);
}

#[test]
fn yaml_bombs_are_refused() {
    let mut body = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let refs = vec![format!("*a{}", i - 1); 10].join(", ");
        body += &format!("a{i}: &a{i} [{refs}]\n");
    }
    assert!(parse_yaml(body.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse_yaml(&bytes);
    }

    #[test]
    fn near_json_is_survived(text in r#"[\[\]{}",:0-9a-fu\\. \-+eE]{0,60}"#) {
        let ours = parse(text.as_bytes());
        let theirs = serde_json::from_str::<Value>(&text);
        if let Ok(value) = theirs {
            prop_assert_eq!(ours.map(|parsed| parsed.value), Ok(value));
        }
    }

    #[test]
    fn written_values_are_read_back(value in crate::fixtures::any_value()) {
        let body = serde_json::to_vec(&value).unwrap();
        let parsed = parse(&body).unwrap();
        prop_assert_eq!(parsed.value, value);
        prop_assert!(parsed.issues.is_empty());
    }
}

#[test]
fn the_head_of_a_body_tells_its_kind() {
    let checked = |body: &str| {
        let mut value = parse(body.as_bytes()).unwrap().value;
        check_head(&mut value, "Pod", body.as_bytes()).map(|()| value)
    };
    assert_eq!(checked("null").unwrap(), serde_json::json!({}));
    let refused = |body: &str| checked(body).unwrap_err().message().to_owned();
    assert!(
        refused("[]").contains("cannot unmarshal array into Go value of type struct { APIVersion string")
    );
    assert!(
        refused(r#"{"kind":5}"#).contains("number into Go struct field .kind of type string ({\"kind\":5})")
    );
    assert!(refused(r#"{"apiVersion":"a/b/c"}"#).contains("unexpected GroupVersion string: a/b/c"));
}
