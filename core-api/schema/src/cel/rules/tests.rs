use super::*;
use crate::crd::{self, StatusSubresource};
use serde::Deserialize;

/// Schemas, objects and rules; each rule is tried by itself at the root of its schema.
#[derive(Deserialize)]
struct Group {
    schema: Json,
    object: Option<Json>,
    old: Option<Json>,
    #[serde(default)]
    rules: Vec<Json>,
}

/// What upstream says: of the definition, what its rules cost, of the object.
#[derive(Debug, Default, Deserialize, PartialEq)]
struct Answer {
    #[serde(default)]
    definition: Vec<String>,
    #[serde(default)]
    costs: Vec<u64>,
    #[serde(default)]
    errors: Vec<String>,
}

fn costs(schema: &Schema, is_root: bool, out: &mut Vec<u64>) {
    match &schema.shape {
        Shape::List(list) => costs(list.items.get(), false, out),
        Shape::Map(map) => costs(map.values.get(), false, out),
        Shape::Object(object) => {
            object.fields.values().for_each(|field| costs(field.schema.get(), false, out));
        }
        _ => {}
    }
    if schema.rules.as_ref().is_some_and(|rules| !rules.validations.is_empty()) {
        let checked = check(schema, is_root || schema.embedded_resource).unwrap();
        out.extend(checked.iter().map(|rule| rule.cost));
    }
}

fn texts(errors: &FieldErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn ours(json: &Json, group: &Group) -> Answer {
    let mut answer = Answer::default();
    let mut errors = FieldErrors::default();
    let root = FieldPath::root("spec");
    let versions = root.child("versions");
    let version = versions.index(0);
    let schema = version.child("schema");
    crd::compile(json, StatusSubresource::Absent, &schema.child("openAPIV3Schema"), &mut errors);
    answer.definition = texts(&errors);
    if answer.definition.iter().any(|text| !text.contains("cost")) {
        return answer;
    }
    let schema = crd::schema_of(json).unwrap();
    costs(&schema, true, &mut answer.costs);
    if let Some(object) = &group.object {
        let mut errors = FieldErrors::default();
        if let Some(validator) = Validator::of(&schema) {
            validator.validate(&schema, object, group.old.as_ref(), &FieldPath::root(""), &mut errors);
        }
        answer.errors = texts(&errors);
    }
    answer
}

/// Whole texts, costs and all, as apiextensions-apiserver 0.37.2 has them.
#[test]
fn rules_are_judged_as_upstream_judges_them() {
    let groups: Vec<Group> = serde_saphyr::from_str(include_str!("../../../tests/rules/cases.yaml")).unwrap();
    let answers: Vec<Vec<Answer>> =
        serde_json::from_str(include_str!("../../../tests/rules/upstream.json")).unwrap();
    let mut wrong = Vec::new();
    for (group, answers) in groups.iter().zip(answers) {
        let rules = if group.rules.is_empty() { vec![Json::Null] } else { group.rules.clone() };
        assert_eq!(rules.len(), answers.len());
        for (rule, mut wanted) in rules.iter().zip(answers) {
            let mut schema = group.schema.clone();
            match rule {
                Json::Null => {}
                Json::String(_) => schema["x-kubernetes-validations"] = serde_json::json!([{"rule": rule}]),
                rule => schema["x-kubernetes-validations"] = serde_json::json!([rule]),
            }
            let mut found = ours(&schema, group);
            for answer in [&mut wanted, &mut found] {
                answer.definition.sort();
                answer.errors.sort();
            }
            if found != wanted {
                wrong.push(format!("{rule}\n  ours {found:#?}\n  upstream {wanted:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn errors_of(schema: &Json, value: &Json, old: Option<&Json>) -> (Vec<String>, Vec<String>) {
    let schema = crd::schema_of(schema).unwrap();
    let mut errors = FieldErrors::default();
    let validator = Validator::of(&schema).unwrap();
    let warnings = validator.validate(&schema, value, old, &FieldPath::root(""), &mut errors);
    (texts(&errors), warnings)
}

#[test]
fn what_was_wrong_before_is_a_warning() {
    let schema = serde_json::json!({"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]},
        "b": {"type": "integer"},
    }});
    let (old, new) = (serde_json::json!({"a": 9, "b": 1}), serde_json::json!({"a": 9, "b": 2}));
    let told = vec!["a: Invalid value: 9: failed rule: self < 5".to_owned()];
    assert_eq!(errors_of(&schema, &new, None), (told.clone(), Vec::new()));
    assert_eq!(errors_of(&schema, &new, Some(&old)), (Vec::new(), told.clone()));
    let other = serde_json::json!({"a": 8});
    assert_eq!(errors_of(&schema, &new, Some(&other)), (told, Vec::new()));
}

#[test]
fn rules_stop_when_the_budget_is_used_up() {
    const ALL: &str = "self.list.all(a, self.list.all(b, a == b || a != b))";
    let rules: Vec<Json> = (0..20).map(|_| serde_json::json!({"rule": ALL})).collect();
    let schema = serde_json::json!({
        "type": "object",
        "x-kubernetes-validations": rules,
        "properties": {"list": {"type": "array", "items": {"type": "integer"}}},
    });
    let list = |n: i32| serde_json::json!({"list": (0..n).collect::<Vec<_>>()});
    let (errors, _) = errors_of(&schema, &list(300), None);
    assert_eq!(
        errors,
        [
            "<nil>: Invalid value: \"object\": validation failed due to running out of cost budget, no further validation rules will be run"
        ]
    );
    let (errors, _) = errors_of(&schema, &list(2000), None);
    let [only] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(only.contains("actual cost limit exceeded': no further validation rules will be run"), "{only}");
}

#[test]
fn schemas_without_rules_have_no_validator() {
    let schema =
        crd::schema_of(&serde_json::json!({"type": "object", "properties": {"a": {"type": "string"}}}));
    let schema = schema.unwrap();
    assert!(schema.expressions.of(&schema).is_none());
}

/// Any JSON: also of types that the schema does not say.
fn any_json() -> impl proptest::strategy::Strategy<Value = Json> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-zäö./:0-9]{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Each rule of the corpus, compiled.
fn corpus() -> &'static Vec<(Json, Schema, Validator)> {
    static CORPUS: OnceLock<Vec<(Json, Schema, Validator)>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let groups: Vec<Group> =
            serde_saphyr::from_str(include_str!("../../../tests/rules/cases.yaml")).unwrap();
        let first = groups.into_iter().next().unwrap();
        let one = |rule: &Json| {
            let mut json = first.schema.clone();
            let rule = if rule.is_string() { serde_json::json!({"rule": rule}) } else { rule.clone() };
            json["x-kubernetes-validations"] = serde_json::json!([rule]);
            let schema = crd::schema_of(&json).unwrap();
            let validator = Validator::of(&schema)?;
            Some((rule, schema, validator))
        };
        first.rules.iter().filter_map(one).collect()
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_value_breaks_evaluation(value in any_json(), old in any_json(), at in 0usize..4) {
        let names = ["int", "str", "list", "obj", "any", "words", "few", "map", "keyed", "set", "time", "num"];
        let object = |value: &Json, i: usize| {
            let map = names.iter().enumerate().map(|(j, name)| {
                let part = if (i + j).is_multiple_of(2) { value.clone() } else { Json::from("a") };
                ((*name).to_owned(), part)
            });
            Json::Object(map.collect())
        };
        let (new, old) = (object(&value, at), object(&old, at + 1));
        for (_, schema, validator) in corpus() {
            let mut errors = FieldErrors::default();
            validator.validate(schema, &new, Some(&old), &FieldPath::root(""), &mut errors);
        }
    }
}
