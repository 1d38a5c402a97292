use super::*;
use proptest::prelude::*;
use serde_json::json;

fn object() -> Value {
    json!({
        "metadata": {"labels": {"a": "1", "app.io/name": "web"}, "x-y": 2},
        "spec": {"list": [10, 20, 30], "names": ["a", "b"]},
        "status": {"conditions": [
            {"type": "Ready", "status": "True", "n": 1},
            {"type": "Old", "status": "False", "n": 2, "b": true},
        ]},
    })
}

fn found(path: &str) -> Vec<Value> {
    let object = object();
    JsonPath::parse(path).unwrap().find(&object).unwrap().into_iter().map(Cow::into_owned).collect()
}

#[test]
fn paths_find_values() {
    for (path, want) in [
        (".spec.list", vec![json!([10, 20, 30])]),
        ("spec", vec![]),
        ("$.metadata.x-y", vec![json!(2)]),
        (".metadata.labels['a']", vec![json!("1")]),
        (".metadata.labels.app\\.io/name", vec![json!("web")]),
        (".metadata.labels['app\\.io/name']", vec![json!("web")]),
        (".metadata.labels['app.io/name']", vec![]),
        (".spec.list[0]", vec![json!(10)]),
        (".spec.list[-1]", vec![json!(30)]),
        (".spec.list[1:]", vec![json!(20), json!(30)]),
        (".spec.list[:2]", vec![json!(10), json!(20)]),
        (".spec.list[::2]", vec![json!(10), json!(30)]),
        (".spec.list[*]", vec![json!(10), json!(20), json!(30)]),
        (".spec.list[0,2]", vec![json!(10), json!(30)]),
        (".metadata['x-y', 'labels'].a", vec![json!("1")]),
        (".spec['names','list'][0]", vec![json!("a"), json!(10)]),
        (".status.conditions[?(@.type==\"Ready\")].status", vec![json!("True")]),
        (".status.conditions[?(@.type=='Old')].status", vec![json!("False")]),
        (".status.conditions[?(@.type!=\"Ready\")].n", vec![json!(2)]),
        (".status.conditions[?(@.n > 1)].type", vec![json!("Old")]),
        (".status.conditions[?(@.n<=1)].type", vec![json!("Ready")]),
        (".status.conditions[?(@.b)].type", vec![json!("Old")]),
        (".status.conditions[?(@.b==true)].type", vec![json!("Old")]),
        (".status.conditions[?(@.type==\"a)b\")].type", vec![]),
        (".status.conditions.*.n", vec![json!(1), json!(2)]),
        ("..type", vec![json!("Ready"), json!("Old")]),
        (".none.deeper[0]", vec![]),
    ] {
        if path == "spec" {
            assert_eq!(JsonPath::parse(path).unwrap_err().to_string(), "unrecognized identifier spec");
            continue;
        }
        assert_eq!(found(path), want, "{path}");
    }
}

#[test]
fn wrong_paths_are_refused() {
    for (path, want) in [
        (".a[", "unterminated array"),
        (".a[x]", "invalid array index x"),
        (".a[\"b\"]", "invalid array index \"b\""),
        (".a[?(@.b", "unterminated filter"),
        (".a[?(@.b)", "unclosed array expect ]"),
        (".a[?(@.b=~1)]", "unrecognized character in action: U+007E '~'"),
        ("..a....b", "invalid multiple recursive descent"),
        (".a \"b", "unterminated quoted string"),
        (".a{", "unrecognized character in action: U+007B '{'"),
    ] {
        let error = JsonPath::parse(path).map_err(|e| e.to_string());
        assert_eq!(error, Err(want.to_owned()), "{path}");
    }
    let deep = format!("{}@.a{}", "[?(".repeat(50), ")]".repeat(50));
    assert!(JsonPath::parse(&deep).is_err());
}

#[test]
fn impossible_steps_are_errors_without_a_first_value() {
    for path in [".spec.list[9]", ".spec.names[?(@==1)]", ".spec[0]", ".spec[?(@.a)]", ".spec.list[2:1]"] {
        let object = object();
        let path = JsonPath::parse(path).unwrap();
        assert!(path.find(&object).is_err(), "{path:?}");
        assert_eq!(path.first(&object), None);
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in r#"[.\[\]?()@$'"*:,a-c0-2<>=! \\\-]{0,40}"#) {
        if let Ok(path) = JsonPath::parse(&text) {
            let _ = path.find(&object());
            let _ = path.first(&object());
        }
    }
}
