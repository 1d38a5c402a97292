//! Every file of `tests/corpus/patch` is one patch: `{"type", "doc", "patch"}` with what comes out of it as `result`,
//! or as `code` and `message`. `patchText` in place of `patch` is a body that need not be JSON.
//! `UPDATE_GOLDEN=1` writes what comes out.

use crate::{cluster::manager_of, thing::schema};
use proa_meta::{ApiError, ApiResult};
use proa_schema::patch;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/patch")
}

fn outcome(case: &Value) -> ApiResult<Value> {
    let mut doc = case["doc"].clone();
    let body = match case["patchText"].as_str() {
        Some(text) => text.to_owned(),
        None => case["patch"].to_string(),
    };
    let decoded = || serde_json::from_str(&body).map_err(|e| ApiError::bad_request(e.to_string()));
    match case["type"].as_str() {
        Some("json") => patch::json_patch(doc, body.as_bytes()),
        Some("merge") => patch::merge_patch(doc, body.as_bytes()),
        Some("strategic") => patch::strategic(schema(), &mut doc, decoded()?).map(|()| doc),
        Some("apply") => manager_of("m", "").apply(Some(&doc), decoded()?, false),
        other => panic!("unknown type {other:?}"),
    }
}

#[test]
fn corpus_gives_what_it_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut seen = 0;
    for file in fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let mut case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let before = case.clone();
        let map = case.as_object_mut().unwrap();
        map.retain(|key, _| !["result", "code", "message"].contains(&key.as_str()));
        match outcome(&before) {
            Ok(result) => drop(map.insert("result".into(), result)),
            Err(error) => {
                map.insert("code".into(), json!(error.code()));
                map.insert("message".into(), json!(error.message()));
            }
        }
        if update {
            fs::write(&path, serde_json::to_string_pretty(&case).unwrap() + "\n").unwrap();
        } else {
            assert_eq!(case, before, "{}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} files");
}
