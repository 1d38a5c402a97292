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
        Shape::Object(object) => object.fields.values().for_each(|field| costs(field.schema.get(), false, out)),
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
    let groups: Vec<Group> =
        serde_saphyr::from_str(include_str!("../../../tests/rules/cases.yaml")).unwrap();
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
