use super::*;
use crate::field::{FieldErrors, FieldPath};
use proptest::prelude::*;
use serde_json::json;

fn s(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

#[test]
fn canonical_text() {
    for (text, want) in [
        ("", ""),
        ("  \t", ""),
        ("b=2, a = 1", "a=1,b=2"),
        ("x in (c,a , b)", "x in (a,b,c)"),
        ("x in ()", "x in ()"),
        ("x in (a,,a)", "x in (,a)"),
        ("x in (,)", "x in ()"),
        ("x notin (in)", "x notin (in)"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("notin", "notin"),
        ("a,!b", "a,!b"),
        ("! b", "!b"),
        ("a==b", "a==b"),
        ("a!=b", "a!=b"),
        ("a=,b", "a=,b"),
        ("a=", "a="),
        ("a>1,b<2", "a>1,b<2"),
        ("k8s.io/x=y", "k8s.io/x=y"),
    ] {
        assert_eq!(s(text).to_string(), want, "{text:?}");
        assert_eq!(s(want).to_string(), want, "{want:?} again");
    }
}

#[test]
fn errors_are_upstreams() {
    let refused = |text: &str| Selector::parse(text).unwrap_err().to_string();
    for (text, want) in [
        ("a,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (,", "unable to parse requirement: found '', expected: ',', or identifier"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must \
             be an integer",
        ),
    ] {
        assert_eq!(refused(text), want, "{text:?}");
    }
    assert!(
        refused("-a")
            .starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must")
    );
    assert!(refused("a in (-,b,_)").starts_with(
        "unable to parse requirement: [values[0][a]: Invalid value: \"-\": a valid label must be"
    ));
    assert!(refused("a\0b").contains("Invalid value"));
    let metadata = FieldPath::root("metadata");
    let path = metadata.child("labels");
    assert!(
        Selector::parse_at("-a", &path).unwrap_err().to_string().contains("metadata.labels: Invalid value")
    );
}

#[test]
fn matching() {
    let labels = [("app", "web"), ("empty", ""), ("rank", "5"), ("tier", "front")];
    for (text, want) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier=front", true),
        ("app=api", false),
        ("app!=api,gone!=x", true),
        ("app!=web", false),
        ("app in (api,web)", true),
        ("gone in (x)", false),
        ("gone notin (x)", true),
        ("app notin (web)", false),
        ("app,!gone", true),
        ("gone", false),
        ("!app", false),
        ("empty=", true),
        ("gone=", false),
        ("rank>4,rank<6", true),
        ("rank>5", false),
        ("app>1", false),
        ("gone<1", false),
    ] {
        assert_eq!(s(text).matches_sorted(&labels), want, "{text:?}");
        let map = labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        assert_eq!(s(text).matches_json(Some(&map)), want, "{text:?}");
    }
    assert!(!Selector::nothing().matches_sorted(&labels) && Selector::nothing().is_nothing());
    assert!(Selector::everything().matches_json(None) && Selector::everything().is_everything());
    assert_eq!(s("app in (a),b=1,c in (x,y)").exact("app"), Some("a"));
    assert_eq!(s("c in (x,y),d!=1").exact("c"), None);
    assert_eq!(Selector::of_labels([("b", "1"), ("a", "2")]).to_string(), "a=2,b=1");
}

#[test]
fn objects_compile() {
    let compile = |value| LabelSelector::compile_json(Some(&value)).map(|s| s.to_string());
    assert_eq!(compile(json!({})), Ok(String::new()));
    assert!(LabelSelector::compile_json(None).unwrap().is_nothing());
    assert!(LabelSelector::compile_json(Some(&json!(null))).unwrap().is_nothing());
    let selector = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [
        {"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "NotIn", "values": ["z"]},
        {"key": "e", "operator": "Exists"}, {"key": "f", "operator": "DoesNotExist", "values": null}]});
    assert_eq!(compile(selector), Ok("a=2,b=1,c in (x,y),d notin (z),e,!f".to_owned()));
    let refused = compile(json!({"matchExpressions": [{"key": "c", "operator": "Gt"}]})).unwrap_err();
    assert_eq!(refused.to_string(), "\"Gt\" is not a valid label selector operator");
    let refused = compile(json!({"matchExpressions": [{"key": "c", "operator": "In"}]})).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
    );
}

#[test]
fn objects_are_validated() {
    let selector: LabelSelector = serde_json::from_value(json!({"matchLabels": {"a b": "-"}, "matchExpressions": [
        {"key": "c", "operator": "In"}, {"key": "c", "operator": "Exists", "values": ["-"]}, {"operator": "x"}]}))
    .unwrap();
    let validate = |leniency| {
        let mut errors = FieldErrors::default();
        selector.validate(leniency, &FieldPath::root("spec").child("selector"), &mut errors);
        errors.into_iter().map(|e| (e.field, e.body.split(": ").last().unwrap_or_default().to_owned()))
    };
    let fields: Vec<_> = validate(Leniency::default()).map(|(field, _)| field).collect();
    assert_eq!(
        fields,
        [
            "spec.selector.matchLabels",
            "spec.selector.matchLabels",
            "spec.selector.matchExpressions[0].values",
            "spec.selector.matchExpressions[1].values",
            "spec.selector.matchExpressions[1].values[0]",
            "spec.selector.matchExpressions[2].operator",
            "spec.selector.matchExpressions[2].key",
            "spec.selector.matchExpressions[2].key",
        ]
    );
    let texts: Vec<_> = validate(Leniency::default()).map(|(_, text)| text).collect();
    assert_eq!(texts[2], "must be specified when `operator` is 'In' or 'NotIn'");
    assert_eq!(texts[3], "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    assert_eq!(texts[5], "not a valid selector operator");
    assert_eq!(validate(Leniency { invalid_label_value: true, unknown_operator: true }).count(), 6);
}

#[test]
fn field_selectors() {
    let f = |text: &str| FieldSelector::parse(text).unwrap();
    for (text, want) in [
        ("", ""),
        (",", ""),
        ("b!=2,a=1", "a=1,b!=2"),
        ("a==b", "a=b"),
        ("a=", "a="),
        (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
        ("a!b=c", "a!b=c"),
        ("a!!=c", "a!!=c"),
    ] {
        assert_eq!(f(text).to_string(), want, "{text:?}");
    }
    assert_eq!(f(r"a=x\,y").requirements()[0].value, "x,y");
    let selector = f("spec.nodeName=n1,status.phase!=Failed");
    let fields = |node: &'static str| move |field: &str| if field == "spec.nodeName" { node } else { "" };
    assert!(selector.matches(fields("n1")) && !selector.matches(fields("n2")));
    assert_eq!((selector.exact("spec.nodeName"), selector.exact("status.phase")), (Some("n1"), None));
    let refused = |text: &str| FieldSelector::parse(text).unwrap_err().to_string();
    assert_eq!(refused("a=1,b"), "invalid selector: 'a=1,b'; can't understand 'b'");
    assert_eq!(refused("a!"), "invalid selector: 'a!'; can't understand 'a!'");
    assert_eq!(refused(r"a=\x"), r"invalid field selector: invalid escape sequence: \x");
    assert_eq!(refused(r"a=\"), r"invalid field selector: invalid escape sequence: \");
    assert_eq!(refused("a===b"), "invalid field selector: unescaped character in value: 61");
}

proptest! {
    #[test]
    fn printed_label_selectors_parse_back(text in "[ab/!=<>(), inot.1-]{0,24}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(s(&selector.to_string()).to_string(), selector.to_string());
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,24}") {
        let _ = Selector::parse(&text);
        let _ = FieldSelector::parse(&text);
    }

    #[test]
    fn field_values_round_trip(value in "\\PC{0,24}") {
        let one = FieldRequirement { field: "a.b".to_owned(), negated: false, value };
        let selector = FieldSelector::of(vec![one]);
        prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
    }
}
