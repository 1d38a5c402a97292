//! Bodies and definitions that were awkward once, kept as files: a name says what must happen.

use proa_meta::{FieldErrors, FieldPath};
use proa_schema::{
    crd::{self, StatusSubresource},
    default::default_values,
    json, prune,
    validate::validate_object,
};
use serde_json::Value;
use std::{fs, path::Path};

fn corpus(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).expect("the corpus is part of the crate") {
        let entry = entry.expect("the folder can be listed");
        let body = fs::read(entry.path()).expect("the file can be read");
        files.push((entry.file_name().to_string_lossy().into_owned(), body));
    }
    files.sort();
    assert!(!files.is_empty(), "{folder} has no files");
    files
}

/// `accepted_*`, `refused_*` or `any_*`.
fn assert_named(name: &str, is_accepted: bool, why: &str) {
    let word = if is_accepted { "accepted" } else { "refused" };
    assert!(name.starts_with(word) || name.starts_with("any"), "{name} was {word}: {why}");
}

#[test]
fn bodies_are_accepted_or_refused() {
    for (name, body) in corpus("bodies") {
        let parsed = if name.ends_with(".yaml") { json::parse_yaml(&body) } else { json::parse(&body) };
        let why = parsed.as_ref().map_or_else(ToString::to_string, |parsed| parsed.value.to_string());
        assert_named(&name, parsed.is_ok(), &why);
    }
}

#[test]
fn accepted_bodies_survive_being_written() {
    for (name, body) in corpus("bodies") {
        if let Ok(parsed) = json::parse(&body) {
            let written = serde_json::to_vec(&parsed.value).unwrap();
            assert_eq!(json::parse(&written).unwrap().value, parsed.value, "{name}");
        }
    }
}

#[test]
fn cut_and_bent_bodies_are_survived() {
    for folder in ["bodies", "definitions"] {
        for (_, body) in corpus(folder) {
            for end in 0..body.len() {
                let _ = json::parse(&body[..end]);
                let mut bent = body.clone();
                bent[end] ^= 0x11;
                let _ = json::parse(&bent);
                if body.len() < 100 {
                    let _ = json::parse_yaml(&bent);
                }
            }
        }
    }
}

#[test]
fn definitions_are_accepted_or_refused() {
    for (name, body) in corpus("definitions") {
        let schema = json::parse(&body).unwrap().value;
        let mut errors = FieldErrors::default();
        let compiled =
            crd::compile(&schema, StatusSubresource::Absent, &FieldPath::root("schema"), &mut errors);
        assert_named(&name, compiled.is_some(), &errors.summary());
    }
}

#[test]
fn an_object_goes_through_all_stages() {
    let (_, body) =
        corpus("definitions").into_iter().find(|(name, _)| name == "accepted_backup.json").unwrap();
    let schema = crd::schema_of(&json::parse(&body).unwrap().value).unwrap();
    let body = b"{\"apiVersion\":\"a.b/v1\",\"kind\":\"Backup\",\"metadata\":{\"name\":\"x\"},\"spec\":{
        \"schedule\":\"0 1 * * *\",\"size\":\"10Gi\",\"odd\":1,\"mode\":null,
        \"targets\":[{\"name\":\"a\",\"bucket\":\"b\"},{\"name\":\"a\",\"path\":\"p\",\"bucket\":\"b\"}]}}";
    let mut value = json::parse(body).unwrap().value;
    let dropped = prune::prune(&schema, &mut value, prune::Root::Resource);
    assert_eq!(json::strict_text(&dropped), "strict decoding error: unknown field \"spec.odd\"");
    default_values(&schema, &mut value);
    assert_eq!(value["spec"]["mode"], "Full");
    assert_eq!(value["spec"]["retention"], 7);
    assert_eq!(value["spec"]["suspend"], Value::Bool(false));
    let mut errors = FieldErrors::default();
    validate_object(&schema, &value, None, &mut errors);
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "<nil>: Invalid value: \"\": \"spec.targets[1]\" must validate one and only one schema (oneOf). Found 2 valid \
             alternatives",
            "spec.targets[1]: Duplicate value: {\"name\":\"a\"}",
        ]
    );
}
